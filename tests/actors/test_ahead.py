"""What the first thread and its first turn need is imported before they are asked for, and never in the way of a request."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import trio
from benchmarks.driving import Speaker, configure
from trio.testing import MockClock

from spindle.actors.clients import greeting
from spindle.actors.registry.ahead import import_ahead

EMBEDDED = """
import json, sys, trio, spindle

async def main():
    async with spindle.open_runtime(home=sys.argv[1]) as runtime:
        before = set(sys.modules)
        async with runtime.start_thread() as thread:
            await thread.run("hello")
        print(json.dumps(sorted(set(sys.modules) - before)))

trio.run(main)
"""

SERVED = """
import json, sys, trio
from pathlib import Path
from spindle.actors.clients.connection import Connection
from spindle.actors.clients.greeting import greet
from spindle.actors.clients.methods import initialize
from spindle.actors.runtime import open_backend
from wires import Wire

class Idle:
    awaited = False
    def __init__(self, backend): self.backend, self.cwd = backend, backend.cwd

async def main():
    async with open_backend(home=sys.argv[1]) as backend, trio.open_nursery() as nursery:
        await greet(Idle(backend))
        before = set(sys.modules)
        wire = Wire()
        nursery.start_soon(Connection(backend, wire).run, lambda exited: None)

        async def call(method, **params):
            await wire.requests.send(json.dumps({"id": 0, "method": method, "params": params}).encode())
            while (message := await wire.messages.receive()).get("id") != 0: pass
            return message["result"]

        await call("initialize", clientInfo={"name": "n", "version": "1"})
        await call("thread/list")
        thread = (await call("thread/start"))["thread"]["id"]
        await call("turn/start", threadId=thread, input=[{"type": "text", "text": "hello"}])
        while (await wire.messages.receive()).get("method") != "turn/completed": pass
        print(json.dumps(sorted(set(sys.modules) - before)))
        nursery.cancel_scope.cancel()

trio.run(main)
"""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    model = Speaker()
    configure(tmp_path, model.url)
    yield tmp_path
    model.close()


@pytest.mark.parametrize("program", [EMBEDDED, SERVED], ids=["embedded", "served"])
def test_a_first_turn_imports_nothing(program: str, home: Path) -> None:
    command = [sys.executable, "-c", program, str(home)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60, cwd=Path(__file__).parent)
    assert json.loads(done.stdout) == []


@pytest.fixture
def names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Two modules that nothing has imported."""
    names = ["ahead_of_use_1", "ahead_of_use_2"]
    for name in names:
        (tmp_path / f"{name}.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    yield names
    for name in names:
        sys.modules.pop(name, None)


def loaded(names: list[str]) -> list[bool]:
    return [name in sys.modules for name in names]


async def test_no_module_is_imported_while_the_client_awaits_an_answer(
    opened: Any, names: list[str], monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    monkeypatch.setattr(greeting, "NEXT", names)
    seen: list[list[bool]] = []
    awaited = iter([True, True, False, False, True, True, False, False])

    class Caller:
        def __init__(self, backend: Any) -> None:
            self.backend = backend
            self.cwd = backend.cwd

        @property
        def awaited(self) -> bool:
            seen.append(loaded(names))
            return next(awaited)

    async with opened() as runtime:
        await greeting.greet(cast("Any", Caller(runtime._backend)))
    assert seen == [[False, False]] * 4 + [[True, False]] * 4
    assert loaded(names) == [True, True]


async def test_the_model_of_the_configured_provider_is_prepared(
    opened: Any, scripted: Any, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    monkeypatch.setattr(greeting, "NEXT", [])
    model = scripted()
    prepared: list[str] = []

    async def prepare() -> None:
        prepared.append("yes")

    model.prepare = prepare
    async with opened(model) as runtime:
        caller = SimpleNamespace(backend=runtime._backend, cwd=runtime._backend.cwd, awaited=False, notify=print)
        await greeting.greet(cast("Any", caller))
        assert prepared == ["yes"]
        (runtime.home / "config.toml").write_text('model_provider = "unknown"')
        await greeting.greet(cast("Any", caller))
        assert prepared == ["yes"], "there is no such provider"


async def test_cancelling_waits_for_one_module_only(names: list[str]) -> None:
    looks = 0

    def awaited() -> bool:
        nonlocal looks
        looks += 1
        if looks == 3:  # the first module is imported
            trio.from_thread.run_sync(scope.cancel)
        return False

    with trio.CancelScope() as scope:
        await import_ahead(names, awaited)
    assert scope.cancelled_caught
    assert loaded(names) == [True, False]
