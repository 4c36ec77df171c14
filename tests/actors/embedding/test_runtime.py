"""What a program sees of a runtime and of a thread: their public names lead to no actor, and errors leave them as raised."""

from __future__ import annotations

from typing import Any

import pytest
import trio

import spindle
from spindle.actors.delivery.outbox import Outbox
from spindle.actors.kernel.actor import Actor
from spindle.actors.kernel.mailbox import Mailbox
from spindle.actors.registry.backend import Backend
from spindle.actors.services.services import Services

INSIDES = (Actor, Backend, Mailbox, Outbox, Services, trio.Nursery, trio.CancelScope)


def public(thing: object) -> dict[str, Any]:
    return {name: getattr(thing, name) for name in dir(thing) if not name.startswith("_")}


async def test_public_names_lead_to_no_actor(opened: Any) -> None:
    async with opened() as runtime, runtime.start_thread() as thread, thread.turn("go") as turn:
        for shown in (runtime, thread, turn, thread.events()):
            for name, value in public(shown).items():
                assert not isinstance(value, INSIDES), f"{type(shown).__name__}.{name}"
                assert not (type(value).__module__ or "").startswith("spindle.storage"), f"{type(shown).__name__}.{name}"
        assert not hasattr(runtime, "__dict__")


async def test_a_runtime_says_its_home_and_its_loaded_threads(opened: Any) -> None:
    async with opened() as runtime:
        assert repr(runtime) == f"<Runtime home={str(runtime.home)!r} loaded=[]>"
        async with runtime.start_thread() as thread:
            assert repr(runtime) == f"<Runtime home={str(runtime.home)!r} loaded=[{thread.id!r}]>"


async def test_the_functions_of_the_namespace_are_the_methods(opened: Any) -> None:
    async with opened() as runtime, spindle.start_thread(runtime) as thread:
        await thread.run("one")
        async with spindle.resume_thread(runtime, thread.id) as again, spindle.fork_thread(runtime, thread.id) as fork:
            assert again.id == thread.id
            assert len(fork.info.thread.turns) == 1


class Own(Exception):
    """An exception of the application."""


async def test_an_exception_leaves_nested_blocks_while_turns_run_as_it_was_raised(opened: Any, scripted: Any) -> None:
    error = Own()
    model = scripted(["one", trio.Event()], ["two", trio.Event()])

    async def use() -> None:
        async with opened(model) as runtime, runtime.start_thread() as first, runtime.start_thread() as second:  # noqa: SIM117
            async with first.turn("go"), second.turn("go"):
                await model.waiting.wait()
                raise error

    with pytest.raises(Own) as caught:
        await use()
    assert caught.value is error
    assert error.__cause__ is None
    assert error.__context__ is None
