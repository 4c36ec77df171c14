"""Each of the registry's messages in each phase of a thread, and the shape of the actor that handles them."""

from __future__ import annotations

import ast
import inspect
import typing
from contextlib import asynccontextmanager
from typing import Any

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked
from uuid_utils import uuid7

from spindle.actors.delivery.outbox import Overflow
from spindle.actors.delivery.subscribers import Subscriber
from spindle.actors.kernel.mailbox import Reply, answer
from spindle.actors.registry import messages, registry
from spindle.actors.registry.messages import (
    End,
    Fork,
    Gone,
    Leave,
    LeaveAll,
    ListLoaded,
    LoadedOrStored,
    Look,
    Occupying,
    ReloadConfig,
    ReloadServers,
    Resume,
    Retire,
    ShutDown,
    Start,
    Started,
    ToThread,
)
from spindle.actors.registry.relocation import Archive, Delete, Unarchive
from spindle.actors.settings.client import ClientName
from spindle.actors.thread.loading import loading
from spindle.actors.thread.loading.openings import FromFork, FromRollout, NewThread
from spindle.actors.thread.messages import Attach, Detach, ReadThread
from spindle.rpc.protocol.threads import ThreadForkParams, ThreadResumeParams, ThreadStartParams
from spindle.storage.threads.summary import read_summary

US = ClientName("test", "test")
PHASES = ["absent", "starting", "live", "occupied", "closing"]


class Gate:
    """Where loading or ending waits until the test goes on."""

    def __init__(self) -> None:
        self.reached, self.go = trio.Event(), trio.Event()

    async def wait(self) -> None:
        self.reached.set()
        await self.go.wait()


class Asked:
    """A reply, and how it was settled: the value, or the text of the error."""

    def __init__(self) -> None:
        self.outcome: Any = None
        self.settled = trio.Event()
        self.reply: Reply[Any] = Reply(self._set, lambda error: self._set(str(error)))

    def _set(self, value: Any) -> None:
        assert not self.settled.is_set()
        self.outcome = value if isinstance(value, str | list) else str(value) if value is None else type(value).__name__
        self.settled.set()


class Scene:
    """A runtime with one stored thread, which is brought into a phase."""

    def __init__(self, runtime: Any, thread_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.runtime, self.id = runtime, thread_id
        self.registry = runtime._backend.registry
        self.member = Subscriber(Overflow.CLOSE)
        self.gate = Gate()
        self.patch = monkeypatch

    async def enter(self, phase: str) -> None:
        match phase:
            case "starting":
                real, gate = read_summary, self.gate

                def slow(*args: Any) -> Any:
                    trio.from_thread.run(gate.wait)
                    return real(*args)

                self.patch.setattr(loading, "read_summary", slow)
                self.registry.route(self.resume(Asked().reply))
                await gate.reached.wait()
            case "live":
                await answer(lambda reply: self.registry.route(self.resume(reply)))
            case "occupied":
                message = ReadThread(reply=Asked().reply)
                self.registry.route(LoadedOrStored(self.id, message, Occupying(self.gate.wait)))
                await self.gate.reached.wait()
            case "closing":
                await answer(lambda reply: self.registry.route(self.resume(reply)))
                actor = self.registry._actors[self.id]
                stopped, gate = actor.stopped, self.gate

                async def slowly() -> None:
                    await gate.wait()
                    await stopped()

                actor.stopped = slowly
                self.registry.route(End(self.id))
                await gate.reached.wait()
            case _:
                pass
        assert self.registry._table.phase(self.id) == (None if phase == "absent" else phase)

    def attach(self, reply: Reply[Any], params: ThreadResumeParams | None = None) -> Attach:
        return Attach(reply=reply, subscriber=self.member, params=params, in_process=True)

    def resume(self, reply: Reply[Any]) -> Resume:
        params = ThreadResumeParams(thread_id=self.id)
        return Resume(self.id, self.attach(reply, params), FromRollout(params=params, client=US))

    def message(self, kind: type, reply: Reply[Any]) -> Any:
        generation = self.registry._table._table[self.id].generation if self.id in list(self.registry._table) else 0
        fork = FromFork(params=ThreadForkParams(thread_id=self.id), client=US, source=self.id)
        made: dict[type, Any] = {
            Start: lambda: Start(str(uuid7()), self.attach(reply), NewThread(params=ThreadStartParams(), client=US)),
            Fork: lambda: Fork(str(uuid7()), self.attach(reply), fork),
            Resume: lambda: self.resume(reply),
            ToThread: lambda: ToThread(self.id, ReadThread(reply=reply)),
            Leave: lambda: Leave(self.id, Detach(reply=reply, subscriber=self.member)),
            LoadedOrStored: lambda: LoadedOrStored(self.id, ReadThread(reply=reply), lambda: reply.resolve("stored")),
            Look: lambda: LoadedOrStored(self.id, Look(reply=reply), lambda: reply.resolve("not loaded")),
            Archive: lambda: Archive(self.id, reply),
            Unarchive: lambda: Unarchive(self.id, reply),
            Delete: lambda: Delete(self.id, reply),
            ListLoaded: lambda: ListLoaded(reply=reply),
            LeaveAll: lambda: LeaveAll(self.member),
            ReloadServers: lambda: ReloadServers(),
            ReloadConfig: lambda: ReloadConfig(),
            Started: lambda: Started(self.id, generation),
            Retire: lambda: Retire(self.id, generation, 10**6),
            End: lambda: End(self.id),
            ShutDown: lambda: ShutDown(),
        }
        return made[kind]()


@pytest.fixture
def scene(opened, monkeypatch):
    """scene(phase) -> a Scene in that phase, for the length of the block."""
    @asynccontextmanager
    async def scene(phase: str) -> Any:
        async with opened() as runtime:
            async with runtime.start_thread() as thread:
                await thread.run("hello")
            await runtime._backend.registry.all_gone()
            scene = Scene(runtime, thread.id, monkeypatch)
            try:
                await scene.enter(phase)
                yield scene
            finally:
                scene.gate.go.set()

    return scene


STARTED, RESUMED, READ = "ThreadStartResponse", "ThreadResumeResponse", "Thread"
NOW: dict[type, dict[str, Any]] = {
    # what the answer is before the phase is over; None where it has to wait for that
    Start: dict.fromkeys(PHASES, STARTED),
    Fork: dict.fromkeys(PHASES, STARTED),
    Resume: {"absent": RESUMED, "starting": None, "live": RESUMED, "occupied": None, "closing": None},
    ToThread: {"absent": "thread not found", "starting": None, "live": READ, "occupied": None, "closing": None},
    Leave: {"absent": "notLoaded", "starting": None, "live": "unsubscribed", "occupied": None, "closing": None},
    LoadedOrStored: {"absent": "stored", "starting": None, "live": READ, "occupied": None, "closing": None},
    Look: {"absent": "not loaded", "starting": "None", "live": "OpenedThread", "occupied": None, "closing": None},
    Archive: {"absent": "None", "starting": None, "live": "None", "occupied": None, "closing": None},
    Unarchive: {
        "absent": "no archived rollout",
        "starting": None,
        "live": "no archived rollout",
        "occupied": None,
        "closing": None,
    },
    Delete: {"absent": "None", "starting": None, "live": "None", "occupied": None, "closing": None},
}
LATER: dict[type, dict[str, Any]] = {
    # what it is once the phase is over
    Resume: {"starting": RESUMED, "occupied": RESUMED, "closing": RESUMED},
    ToThread: {"starting": READ, "occupied": "thread not found", "closing": "thread not found"},
    Leave: {"starting": "unsubscribed", "occupied": "notLoaded", "closing": "notLoaded"},
    LoadedOrStored: {"starting": READ, "occupied": "stored", "closing": "stored"},
    Look: {"starting": "None", "occupied": "not loaded", "closing": "not loaded"},
    Archive: {"starting": "None", "occupied": "None", "closing": "None"},
    Unarchive: dict.fromkeys(("starting", "occupied", "closing"), "no archived rollout"),
    Delete: {"starting": "None", "occupied": "None", "closing": "None"},
}


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("kind", NOW, ids=lambda kind: kind.__name__)
async def test_what_a_request_comes_to_in_each_phase(scene, kind, phase):
    async with scene(phase) as here:
        asked = Asked()
        here.registry.route(here.message(kind, asked.reply))
        expected = NOW[kind][phase]
        if expected is None:
            await here.registry.settled()
            await wait_all_tasks_blocked()
            assert not asked.settled.is_set()
            here.gate.go.set()
            expected = LATER[kind][phase]
        await asked.settled.wait()
        assert asked.outcome.startswith(expected)
        here.gate.go.set()
        await answer(lambda reply: here.registry.route(Leave(here.id, Detach(reply=reply, subscriber=here.member))))


LOADED = {"starting": True, "live": True}
QUIET = [LeaveAll, ReloadServers, ReloadConfig, Started, Retire, End, ListLoaded]
AFTER = {
    # the phase right after it, where that is another one
    (Started, "starting"): "live",
    (End, "starting"): "closing",
}


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("kind", QUIET, ids=lambda kind: kind.__name__)
async def test_what_changes_with_a_message_in_each_phase(scene, kind, phase):
    async with scene(phase) as here:
        asked = Asked()
        gates = here.registry._table.phase(here.id)
        here.registry.route(here.message(kind, asked.reply))
        await here.registry.settled()
        if kind is ListLoaded:
            assert asked.outcome == ([here.id] if phase in LOADED else [])
        if (kind, phase) == (End, "live"):
            await here.registry.all_gone()
            assert here.registry._table.phase(here.id) is None
            return
        assert here.registry._table.phase(here.id) == AFTER.get((kind, phase), gates)
        assert here.registry.directory.is_known(here.id) == (phase != "absent")


@pytest.mark.parametrize("phase", PHASES)
async def test_the_end_of_the_runtime_in_each_phase(scene, phase):
    async with scene(phase) as here:
        here.registry.route(ShutDown())
        late = Asked()
        here.registry.route(here.message(Start, late.reply))
        await late.settled.wait()
        assert late.outcome == registry.ENDING
        here.gate.go.set()
        await here.registry.shut_down()
        assert list(here.registry._table) == []
        later = Asked()
        here.registry.route(here.message(ToThread, later.reply))
        assert later.outcome == registry.ENDING


@pytest.mark.parametrize("phase", PHASES)
async def test_what_an_older_incarnation_says_changes_nothing(scene, phase):
    async with scene(phase) as here:
        before = here.registry._table.phase(here.id)
        request = Archive(here.id, Asked().reply)
        for late in (
            Started(here.id, -1),
            Retire(here.id, -1, 0),
            messages.Freed(here.id, -1),
            messages.Decided(request, -1, None),
            messages.Kept(),
        ):
            here.registry.route(late)
        await here.registry.settled()
        assert here.registry._table.phase(here.id) == before


def test_the_messages_are_one_closed_union_and_each_is_frozen():
    union = set(typing.get_args(messages.Message))
    own = {kind for kind in vars(messages).values() if isinstance(kind, type) and kind.__module__ == messages.__name__}
    inner = {Look, Occupying, messages.Carrier}  # these go with a LoadedOrStored
    assert own - inner == union - {Archive, Unarchive, Delete}
    for kind in union:
        assert attrs.has(kind)
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            kind.__setattr__(object.__new__(kind), "thread_id", "x")
    tested = {*NOW, *QUIET, ShutDown, Gone, *(messages.Freed, messages.Decided, messages.Kept)}
    assert union <= tested


def test_handling_a_message_never_awaits():
    tree = ast.parse(inspect.getsource(registry))
    [cls] = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Registry"]
    methods = {node.name: node for node in cls.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    waiting = (ast.Await, ast.AsyncFor, ast.AsyncWith)
    assert not [node for node in ast.walk(methods["handle"]) if isinstance(node, waiting)]
    assert isinstance(methods["_handle"], ast.FunctionDef)
    matches = [node for node in ast.walk(methods["_handle"]) if isinstance(node, ast.Match)]
    assert len(matches) == 1
