"""Ask many questions, twenty at once, with a progress bar. What is answered is kept: after Ctrl-C, run it again to go on.

    python examples/batch.py questions.txt answers.jsonl

Each line of questions.txt is a question. With --offline the built-in offline model answers; else the provider in config.toml.
"""

import argparse
import json
import signal
from pathlib import Path
from typing import Any, TextIO

import trio
from rich.progress import Progress

import spindle

AT_ONCE = 20
ATTEMPTS = 5
REFUSED = (401, 403, 404)  # a key, an account or a model that is not accepted: it will not be for the other questions


async def ask(runtime: spindle.Runtime, question: str) -> dict[str, Any]:
    """One question in a thread of its own, which is not stored."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            async with runtime.start_thread(ephemeral=True, sandbox="read-only", approval_policy="never") as thread:
                result = await thread.run(question)
            return {"question": question, "answer": result.output, "tokens": result.usage and result.usage.total_tokens}
        except spindle.ProviderError as error:  # Spindle has tried again itself before it gives up
            if attempt == ATTEMPTS or error.status in REFUSED:
                raise
            await trio.sleep(error.retry_after or 2**attempt)
    raise AssertionError("the last attempt returns or raises")


async def main(todo: list[str], answers: TextIO, model: spindle.Model | None) -> None:
    """Answer the questions. Ctrl-C interrupts the turns that run. A question that fails is left for the next run."""
    count = tokens = 0
    with Progress() as progress, trio.open_signal_receiver(signal.SIGINT) as signals:
        bar = progress.add_task("questions", total=len(todo))

        async def work(question: str) -> None:
            nonlocal count, tokens
            try:
                async with limit:
                    answer = await ask(runtime, question)
            except spindle.ProviderError as error:
                progress.console.print(f"{question}: {error}", markup=False)
                if error.status in REFUSED:
                    nursery.cancel_scope.cancel()
            else:
                print(json.dumps(answer), file=answers, flush=True)
                count, tokens = count + 1, tokens + (answer["tokens"] or 0)
                progress.advance(bar)

        async def stop() -> None:  # as a cancellation: a KeyboardInterrupt may come at any line, also within a library
            await anext(signals)
            nursery.cancel_scope.cancel()

        limit = trio.Semaphore(AT_ONCE)
        async with spindle.open_runtime(model=model) as runtime, trio.open_nursery() as nursery:
            nursery.start_soon(stop)
            async with trio.open_nursery() as questions:
                for question in todo:
                    questions.start_soon(work, question)
            nursery.cancel_scope.cancel()
    print(f"{count} of {len(todo)} questions are answered, with {tokens} tokens")


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
        trio.run(main, left, file, spindle.OfflineModel() if options.offline else None)
