"""Threads inside a trio program: a streamed turn, a logger, a second subscriber, and a cancel scope that interrupts.

    python examples/embedding.py

It runs on the built-in offline model. Without `model=…` in `open_runtime`, the provider in config.toml answers.
"""

import tempfile
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import trio

import spindle

MODEL = spindle.OfflineModel(
    [
        "A thread is a conversation that is kept.",
        "Noted.",
        "Both of you.",
        spindle.ScriptedAnswer(chunks=["This ", "would ", "take ", "hours."], pace=0.05),
    ]
)


async def main() -> None:
    with tempfile.TemporaryDirectory() as home:
        async with spindle.open_runtime(home=home, model=MODEL) as runtime:
            async with runtime.start_thread(cwd=home, on_question=ask) as thread:  # subscribed inside the block
                await stream(thread)
                await log(thread)
                await share(runtime, thread)
                await cancel(thread)
                turns = (await thread.read(include_turns=True)).turns
                print("turns:", ", ".join(turn.status for turn in turns))
            # the last subscriber has left, so the thread is closed; its rollout stays
            async with runtime.resume_thread(thread.id) as again:
                stored = again.info.thread
                print("resumed with", len(stored.turns), "turns from", Path(stored.path or "").name)
                print("says:", (await again.run("Are you still there?")).text)


async def stream(thread: spindle.ThreadHandle) -> None:
    """A turn is a stream of typed events."""
    async with thread.turn("What is a thread?") as turn:
        async for event in turn:
            match event:
                case spindle.AgentMessageDeltaNotification(delta=text):
                    print(text, end="", flush=True)
                case spindle.TurnCompletedNotification(turn=ended):
                    print(f"  [{ended.status}]")
                case _:
                    pass


async def ask(question: spindle.Question) -> None:
    """Answers what the agent asks before it runs a command or changes a file. The offline model asks nothing."""
    print("declined:", question)
    question.decline("this is only an example")


async def log(thread: spindle.ThreadHandle) -> None:
    """Each stream of a handle gets every event, however many streams there are."""
    counted = 0

    async def count(events: AsyncIterator[object]) -> None:
        nonlocal counted
        async for event in events:
            counted += 1
            if isinstance(event, spindle.TurnCompletedNotification):
                return

    async with trio.open_nursery() as nursery:
        nursery.start_soon(count, thread.events())
        print("the agent says:  ", (await thread.run("Is anybody counting?")).text)
    print("events counted:  ", "more than five" if counted > 5 else counted)


async def share(runtime: spindle.Runtime, thread: spindle.ThreadHandle) -> None:
    """Any number of handles may subscribe to a thread. Each gets every event, and none waits for another."""

    async def listen(*, task_status: trio.TaskStatus[None]) -> None:
        async with runtime.resume_thread(thread.id) as second, aclosing(second.events()) as events:
            task_status.started()
            async for event in events:
                match event:
                    case spindle.AgentMessageDeltaNotification(delta=text):
                        heard.append(text)
                    case spindle.TurnCompletedNotification():
                        return
                    case _:
                        pass

    heard: list[str] = []
    async with trio.open_nursery() as nursery:
        await nursery.start(listen)
        print("the first hears: ", (await thread.run("Who hears this?")).text)
    print("the second hears:", "".join(heard))


async def cancel(thread: spindle.ThreadHandle) -> None:
    """Cancelling the block interrupts the turn. Leaving the block waits until the interrupt is recorded."""
    turn = None
    with trio.CancelScope() as scope:  # or trio.move_on_after(60), or the nursery of the task that wants the answer
        async with thread.turn("Do something long") as turn:
            async for event in turn:
                if isinstance(event, spindle.AgentMessageDeltaNotification):
                    print(event.delta, end="", flush=True)
                    if event.delta == "take ":
                        scope.cancel()
    assert turn is not None
    assert turn.result is not None
    print(f" [{turn.result.status}]")


if __name__ == "__main__":
    trio.run(main)
