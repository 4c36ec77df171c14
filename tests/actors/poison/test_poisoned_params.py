"""The params of every method, poisoned in every place: the request is answered once, and everything else goes on."""

from __future__ import annotations

import pytest
import trio

from spindle.actors.clients.methods import HANDLERS
from spindle.rpc.model.offline import OfflineModel
from spindle.rpc.protocol.catalog import METHODS, params_class

from .poisons import ACTING, POISONS, UNREADABLE, Samples, drawn, put

LASTING = 200
"""After so many requests the test checks that another thread can run a turn."""
OURS = "internal error"
"""How the message of an unexpected error begins."""


def poisonings() -> list[tuple[str, str, str]]:
    """(method, where, poison's name), in the order of their drawing."""
    samples = Samples()
    places = [
        (method, where)
        for method in ["initialize", *HANDLERS]
        if not method.startswith(ACTING) or method == "thread/shellCommand"
        for where, _ in samples.poisoned(params_class(method) if METHODS[method].params else dict[str, object])
    ]
    # a message that cannot be read at all is the same wherever the poison is in it
    every = [
        (method, where, name) for method, where in places for name in POISONS if not where or name not in UNREADABLE
    ]
    return drawn(every, 700)


async def test_a_poisoned_request_is_answered_once_and_affects_no_other(opened, connect, tracebacks, tmp_path) -> None:
    ours: list[str] = []
    async with opened(OfflineModel()) as runtime:
        client, other = await connect(runtime), await connect(runtime)
        bystander = await other.start_thread()
        thread = ""
        for number, (method, where, name) in enumerate(poisonings()):
            if not runtime._backend.registry.directory.is_known(thread):
                thread = await client.start_thread()
            samples = Samples({"threadId": thread, "conversationId": thread, "cwd": str(tmp_path), "command": "true"})
            kind = params_class(method) if METHODS[method].params else dict[str, object]
            sample = next(value for place, value in samples.poisoned(kind) if place == where)
            try:
                answer = await client.ask(method, put(sample, POISONS[name]))
            except trio.TooSlowError:
                pytest.fail("\n".join([*ours, f"{method} {where}, {name}: never answered", *tracebacks()]))
            if answer.get("error", {}).get("message", "").startswith(OURS):
                ours.append(f"{method} {where}, {name}: {answer['error']['message'][:200]}")
            if number % LASTING == 0:
                assert (await other.run_turn(bystander))["status"] == "completed"
        assert (await other.run_turn(bystander))["status"] == "completed"
        await client.ask("thread/list", b"{}")
    assert set(client.answers.values()) == {1}
    if faults := [*ours, *tracebacks()]:
        pytest.fail("\n".join(faults))
