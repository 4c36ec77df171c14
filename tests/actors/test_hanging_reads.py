"""Reads that hang, as on a broken mount, block neither cancellation nor the end of a runtime."""

import threading
from collections.abc import Callable, Iterator

import pytest
import trio

from spindle.actors.registry import registry
from spindle.actors.tools.commands import rule_book
from spindle.storage.agents_md import Instructions


class Hanging:
    """Stands for a function that reads: it blocks its worker thread until the test is over."""

    def __init__(self, answer: object) -> None:
        self.begun, self.go_on, self.answer = trio.Event(), threading.Event(), answer

    def __call__(self, *args: object, **named: object) -> object:
        trio.from_thread.run_sync(self.begun.set)
        assert self.go_on.wait(60)
        return self.answer


@pytest.fixture
def hang(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, object], Hanging]]:
    made: list[Hanging] = []

    def replace(name: str, answer: object) -> Hanging:
        made.append(Hanging(answer))
        monkeypatch.setattr(name, made[-1])
        return made[-1]

    yield replace
    for one in made:
        one.go_on.set()


async def test_a_thread_that_is_being_loaded(opened, scripted, hang, monkeypatch) -> None:
    monkeypatch.setattr(registry, "PATIENCE", 0.1)
    reading = hang("spindle.actors.thread.state.read_instructions", Instructions())

    async def start(runtime) -> None:
        async with runtime.start_thread():
            pass

    with trio.fail_after(30):
        async with opened(scripted(["one"])) as runtime, trio.open_nursery() as nursery:
            nursery.start_soon(start, runtime)
            await reading.begun.wait()
            nursery.cancel_scope.cancel()


async def test_the_rules(tmp_path, hang) -> None:
    reading = hang("spindle.actors.tools.commands.rule_book.rule_files", [])
    book = rule_book.RuleBook(tmp_path, lambda warning: None)
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(book.current)
            await reading.begun.wait()
            nursery.cancel_scope.cancel()
    reading.go_on.set()
    assert not (await book.current()).rules
