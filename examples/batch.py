"""Ask many questions, twenty at once, with a progress bar. What is answered is kept: after Ctrl-C, run it again to go on.

    python examples/batch.py questions.txt answers.jsonl

Each line of questions.txt is a question. With --offline the built-in offline model answers; else the provider in config.toml.
"""

import argparse
import json
from pathlib import Path
from typing import Any, TextIO

import trio
from rich.progress import Progress

import spindle

AT_ONCE = 20
ATTEMPTS = 5


async def ask(runtime: spindle.Runtime, question: str) -> dict[str, Any]:
    """One question in a thread of its own, which is not stored."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            async with runtime.start_thread(ephemeral=True, sandbox="read-only", approval_policy="never") as thread:
                result = await thread.run(question)
            tokens = result.usage.total_tokens if result.usage else 0
            return {"question": question, "answer": result.output, "tokens": tokens}
        except spindle.ProviderError as error:  # Spindle has tried again itself before it gives up
            if attempt == ATTEMPTS or error.status in (401, 403, 404):
                raise
            await trio.sleep(error.retry_after or 2**attempt)
    raise AssertionError("the last attempt returns or raises")


async def main(todo: list[str], file: TextIO, offline: bool) -> None:
    tokens = 0
    with Progress() as progress:
        bar = progress.add_task("questions", total=len(todo))

        async def work(left: trio.MemoryReceiveChannel[str]) -> None:
            nonlocal tokens
            async for question in left:
                answer = await ask(runtime, question)
                tokens += answer["tokens"]
                file.write(json.dumps(answer) + "\n")
                file.flush()
                progress.advance(bar)

        async with spindle.open_runtime(model=spindle.OfflineModel() if offline else None) as runtime:
            send, left = trio.open_memory_channel[str](len(todo))
            async with trio.open_nursery() as nursery, send:
                for question in todo:
                    send.send_nowait(question)
                for _ in range(AT_ONCE):
                    nursery.start_soon(work, left)
    print(f"{len(todo)} questions answered with {tokens} tokens")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Ask many questions, twenty at once.")
    parser.add_argument("questions", type=Path)
    parser.add_argument("answers", type=Path)
    parser.add_argument("--offline", action="store_true")
    options = parser.parse_args()
    with options.answers.open("a+") as file:
        file.seek(0)
        done = {json.loads(line)["question"] for line in file}
        questions = [line for line in options.questions.read_text().splitlines() if line and line not in done]
        trio.run(main, questions, file, options.offline)
