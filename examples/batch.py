"""Ask many questions, twenty at once, with a progress bar. What is answered is kept: after Ctrl-C, run it again to go on.

    python examples/batch.py questions.txt answers.jsonl

Each line of questions.txt is a question. With --offline the built-in offline model answers; else the provider in config.toml.
"""

import argparse
import json
import sys
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
            return {"question": question, "answer": result.output, "tokens": result.usage and result.usage.total_tokens}
        except spindle.ProviderError as error:  # Spindle has tried again itself before it gives up
            if attempt == ATTEMPTS or error.status in (401, 403, 404):
                raise
            await trio.sleep(error.retry_after or 2**attempt)
    raise AssertionError("the last attempt returns or raises")


async def main(todo: list[str], answers: TextIO, model: spindle.Model | None) -> int:
    """Answer the questions, and return how many tokens that took. An error of one ends all; what is written stays."""
    tokens = 0
    limit = trio.Semaphore(AT_ONCE)
    with Progress() as progress:
        bar = progress.add_task("questions", total=len(todo))

        async def work(question: str) -> None:
            nonlocal tokens
            async with limit:
                answer = await ask(runtime, question)
            tokens += answer["tokens"] or 0
            answers.write(json.dumps(answer) + "\n")  # no await: Ctrl-C leaves whole lines
            answers.flush()
            progress.advance(bar)

        async with spindle.open_runtime(model=model) as runtime, trio.open_nursery() as nursery:
            for question in todo:
                nursery.start_soon(work, question)
    return tokens


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Ask many questions, twenty at once.")
    parser.add_argument("questions", type=Path)
    parser.add_argument("answers", type=Path)
    parser.add_argument("--offline", action="store_true")
    options = parser.parse_args()
    with options.answers.open("a+") as file:
        file.seek(0)
        done = {json.loads(line)["question"] for line in file}
        left = [line for line in dict.fromkeys(options.questions.read_text().splitlines()) if line and line not in done]
        try:
            print(trio.run(main, left, file, spindle.OfflineModel() if options.offline else None), "tokens")
        except* KeyboardInterrupt:
            sys.exit("stopped; the same command goes on")
        except* spindle.ProviderError as errors:
            sys.exit(f"the provider fails: {errors.exceptions[0]}")
