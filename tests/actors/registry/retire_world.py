"""A registry with real threads and a disk that is a set of names, and the judge of what clients see of them."""


from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
import trio
from trio.testing import MockClock

from spindle.actors.delivery.outbox import Overflow
from spindle.actors.delivery.subscribers import Audience, Subscriber
from spindle.actors.kernel import incarnations as table_module
from spindle.actors.kernel.mailbox import ActorExited, Mailbox, Reply
from spindle.actors.registry import relocation as relocation_module
from spindle.actors.registry.messages import Leave, Resume, ToThread
from spindle.actors.registry.registry import Registry
from spindle.actors.registry.relocation import Archive, Delete, Unarchive
from spindle.actors.services.models import Models
from spindle.actors.services.services import Services
from spindle.actors.settings.client import ClientName
from spindle.actors.settings.requests import settings_for
from spindle.actors.thread import actor as thread_module
from spindle.actors.thread.actor import ThreadActor
from spindle.actors.thread.conversation import Conversation
from spindle.actors.thread.joining import LOST_CLIENT_DELAY
from spindle.actors.thread.loading.openings import FromRollout, NewThread
from spindle.actors.thread.messages import Attach, Detach, ReadThread, StartTurn
from spindle.actors.thread.state import OpenedThread
from spindle.rpc.model.offline import OfflineModel, ScriptedAnswer
from spindle.rpc.protocol.errors import INTERNAL_ERROR, OVERLOADED, RpcError, invalid_request
from spindle.rpc.protocol.threads import NotLoadedStatus, ThreadResumeParams, ThreadStartParams
from spindle.rpc.protocol.turns import TurnStartParams
from spindle.rpc.protocol.user_input import TextInput
from spindle.storage.agents_md import Instructions
from spindle.storage.config import Config, ConfigLoader
from spindle.storage.home import Home
from spindle.storage.rollout.flusher import Flusher
from spindle.storage.state import StateUnavailable
from spindle.storage.threads.lineage import Lineage
from spindle.storage.threads.thread_errors import NoArchivedRollout, NoRollout

CLIENTS = 3
DELAY = 5
US = ClientName("test", "test")


class Fault(Exception):
    """A crash."""


class Timed(OfflineModel):
    """Takes as many seconds as the input says."""

    def answer(self, request):
        said = orjson.loads(request.input[-1])["content"][0]["text"]
        try:
            return ScriptedAnswer(chunks=("ok",), delay=float(said))
        except ValueError:
            return ScriptedAnswer(chunks=("ok",))


class Overheard(Audience):
    def __init__(self, world):
        super().__init__()
        self.world = world

    def announce(self, params):
        self.world.notified(params)


class Member(Subscriber):
    """One client, until it is lost."""

    def __init__(self, world, number):
        super().__init__(Overflow.CLOSE)
        self.world, self.number = world, number

    def deliver(self, event):
        self.world.notified(event.params)


class KeptNowhere:
    """A state that cannot be used: threads do without."""

    async def read(self, work, default):
        await trio.lowlevel.checkpoint()
        return default

    read_or = read

    async def change(self, work, *, durable=True):
        await trio.lowlevel.checkpoint()
        raise StateUnavailable("there is no disk")


class World:
    """The registry, what is stored, and the judge of all that is seen of both."""

    def __init__(
        self, delay: int | None, on_unsubscribe: str, loading: float, releasing: float, stop_fails: bool, capacity: int
    ) -> None:
        raw: dict[str, Any] = {"on_unsubscribe": on_unsubscribe}
        if delay is not None:
            raw |= {"thread_unload_delay_secs": delay}
        self.config = Config(raw=raw, merged=raw, layers=[], cwd=None, trust=None)
        self.loading = loading
        self.releasing = releasing
        self.stop_fails = stop_fails
        self.capacity = capacity
        self.patience = 10 * (LOST_CLIENT_DELAY + (delay or 0))
        self.known: list[str] = []
        self.archived: set[str] = set()
        self.deleted: set[str] = set()
        self.spawned = False
        """The second thread counts as spawned from the first, once there was a deletion that has to reckon with it."""
        self.clients = [Member(self, number) for number in range(CLIENTS)]
        self.violations: list[str] = []
        self.unanswered: dict[int, str] = {}
        self.asked = 0
        self.loads: Counter[str] = Counter()
        """Incarnations that have begun to load."""
        self.ends: Counter[str] = Counter()
        """Incarnations that have released everything."""
        self.born: Counter[str] = Counter()
        """Incarnations that have loaded."""
        self.closed: Counter[str] = Counter()
        self.subscribed: dict[str, set[Member]] = defaultdict(set)
        self.forced: dict[str, set[int]] = defaultdict(set)
        """The archivings and deletions of a thread that are under way; they may end it even if clients are subscribed."""
        self.archivings: Counter[str] = Counter()
        self.crashes: Counter[str] = Counter()
        """Incarnations that have crashed, from the moment they handle no more messages."""
        self.doomed: set[str] = set()
        """Threads whose incarnation crashes now or next; clients may be subscribed to it at its end."""
        self.load_fails = False
        """Whether the next load crashes."""
        self.ending = False

    def violated(self, what: str) -> None:
        self.violations.append(what)

    # -- the disk

    async def open_thread(self, services, thread_id, opening):
        self.loads[thread_id] += 1
        if self.loads[thread_id] - self.ends[thread_id] != 1:
            self.violated(f"{thread_id} is loaded twice at once")
        await trio.sleep(self.loading)
        if self.load_fails:
            self.load_fails = False
            self.doomed.add(thread_id)
            raise Fault
        if isinstance(opening, FromRollout) and (
            thread_id in self.archived or thread_id in self.deleted or thread_id not in self.known
        ):
            raise invalid_request(f"no rollout found for thread id {thread_id}")
        conversation = Conversation(services.home, thread_id, None, {"id": thread_id})
        conversation.path = services.home.sessions / thread_id  # nothing is written there
        conversation.stored = True
        self.born[thread_id] += 1
        return OpenedThread(
            settings=settings_for(self.config, ThreadStartParams(), server_cwd="/"),
            config=self.config,
            conversation=conversation,
            guidance=Instructions(),
            client=US,
            created_at=0,
            updated_at=0,
            source="test",
            cli_version="0",
        )

    def archive(self, home, thread_id):
        self.moved(thread_id)
        if thread_id in self.archived or thread_id not in self.known or thread_id in self.deleted:
            raise NoRollout(thread_id)
        self.archived.add(thread_id)

    def check_archive(self, home, thread_id):
        if thread_id in self.archived or thread_id not in self.known or thread_id in self.deleted:
            raise NoRollout(thread_id)

    def check_free(self, path):
        pass

    def unarchive(self, home, thread_id):
        self.moved(thread_id)
        if thread_id not in self.archived:
            raise NoArchivedRollout(thread_id)
        self.archived.discard(thread_id)
        return thread_id

    def read_summary(self, path):
        return path

    def lineage(self, home, thread_id):
        return Lineage((self.known[1],) if thread_id == self.known[0] and self.spawned else (), ())

    def remove(self, home, thread_id, missing_ok):
        self.moved(thread_id)
        if thread_id in self.deleted and not missing_ok:
            raise NoRollout(thread_id)
        self.archived.discard(thread_id)
        self.deleted.add(thread_id)

    def moved(self, thread_id):
        if self.loads[thread_id] != self.ends[thread_id]:
            self.violated(f"the file of {thread_id} is moved while it is loaded")

    async def in_worker(self, work, *args, **kwargs):
        await trio.sleep(self.loading)
        return work(*args)

    # -- what is seen

    def notified(self, params: Any) -> None:
        method = params.METHOD
        thread_id = getattr(params, "thread_id", None) or params.thread.id
        if method in ("thread/archived", "thread/unarchived", "thread/deleted"):
            return
        if self.closed[thread_id] >= self.born[thread_id]:
            self.violated(f"{method} after the close of {thread_id}")
        if method == "thread/closed":
            self.closed[thread_id] += 1
            if self.loads[thread_id] != self.ends[thread_id]:
                self.violated(f"{thread_id} is closed before it has ended")
            expected = self.forced[thread_id] or thread_id in self.doomed or self.ending
            if self.subscribed[thread_id] and not expected:
                self.violated(f"{thread_id} closes while subscribed")
            self.subscribed[thread_id].clear()
            self.doomed.discard(thread_id)

    async def stopped(self, actor, stopped):
        """The end of an incarnation, as long and as bad as this world has it."""
        await trio.sleep(self.releasing)
        try:
            await stopped(actor)
        finally:
            self.ends[actor.thread_id] += 1
            if actor.thread_id in self.doomed and self.closed[actor.thread_id] == self.born[actor.thread_id]:
                self.doomed.discard(actor.thread_id)  # it has never loaded, and so is not announced
        if self.stop_fails:
            raise Fault

    def unattended(self, actor):
        if actor.thread_id in self.doomed:
            self.crashes[actor.thread_id] += 1

    def reply(
        self,
        what: str,
        thread_id: str | None,
        then: Any = lambda value: None,
        must: bool = False,
        asker: Member | None = None,
        release: bool = False,
        started: list[str] | None = None,
    ) -> Reply[Any]:
        """A reply that has to be settled. `must`: with success, unless an archiving gets in between.

        `release`: however little room there is. `started` has the id of the thread once it is known.
        """
        number, before = self.asked, self.archivings[thread_id or ""]
        crashes = dict(self.crashes)
        self.asked += 1
        self.unanswered[number] = what
        innocent = thread_id not in self.archived and thread_id not in self.deleted and not self.forced[thread_id or ""]

        def settled() -> None:
            del self.unanswered[number]
            for forced in self.forced.values():
                forced.discard(number)

        def resolved(value: Any) -> None:
            settled()
            then(value)

        def rejected(error: Exception) -> None:
            settled()
            id = started[0] if started else thread_id
            if id is not None and self.crashes[id] != crashes.get(id, 0):
                return  # it was there when the thread crashed
            if isinstance(error, RpcError) and error.code == OVERLOADED and self.capacity and not release:
                return
            if not isinstance(error, RpcError) or error.code in (INTERNAL_ERROR, OVERLOADED):
                dying = isinstance(error, ActorExited) or "just ended" in str(error)
                self.violated(f"{what} reached a dying actor" if dying else f"{what} failed with {error!r}")
            elif str(error) == "the client has gone away" and asker is not None and asker.outbox.closed:
                pass
            elif must and innocent and before == self.archivings[thread_id or ""]:
                self.violated(f"{what} was refused: {error}")

        return Reply(resolved, rejected)

    # -- what clients do

    async def run(self, program: list[tuple[Any, ...]]) -> None:
        home = Home(Path("/nonexistent"))
        model = Timed()
        services = Services(
            home=home,
            config=ConfigLoader(home),
            models=Models(lambda provider, config: model),
            flusher=Flusher(),
            audience=Overheard(self),
            cwd="/",
            version="0",
        )
        services.state = KeptNowhere()  # type: ignore[assignment]
        async with trio.open_nursery() as nursery:
            self.registry = Registry(services)
            nursery.start_soon(self.registry.run, lambda exited: None)
            for name, *args in program:
                if name == "wait":
                    await trio.sleep(args[0])
                elif name == "steps":
                    for _ in range(args[0]):
                        await trio.lowlevel.checkpoint()
                else:
                    getattr(self, name)(*args)
            await trio.sleep(self.patience)
            for what in self.unanswered.values():
                self.violated(f"{what} was never answered")
            for thread_id in self.known:
                if self.subscribed[thread_id] and not self.registry.directory.is_known(thread_id):
                    self.violated(f"{thread_id} is gone while subscribed")
                if not self.subscribed[thread_id] and self.registry.directory.is_known(thread_id):
                    self.violated(f"{thread_id} is loaded without a subscriber")
            self.ending = True
            await self.registry.shut_down()
        if self.loads != self.ends:
            self.violated("an incarnation has not ended")
        if +self.closed != +self.born:
            self.violated(f"closes: {self.closed}, incarnations: {self.born}")

    def start(self, client: int) -> None:
        member = self.clients[client]

        def loaded(response: Any) -> None:
            if not member.outbox.closed:
                self.subscribed[response.thread.id].add(member)

        started: list[str] = []
        message = Attach(reply=self.reply("start", None, loaded, started=started), subscriber=member)
        started.append(self.registry.start(NewThread(params=ThreadStartParams(), client=US), message))
        self.known += started

    def resume(self, client: int, thread: int) -> None:
        if not (thread_id := self.pick(thread)):
            return
        member = self.clients[client]

        def loaded(response: Any) -> None:
            if response.thread.status == NotLoadedStatus():
                self.violated("resumed a thread that is not loaded")
            if not member.outbox.closed:
                self.subscribed[thread_id].add(member)

        params = ThreadResumeParams(thread_id=thread_id)
        reply = self.reply(f"resume {thread_id} by {client}", thread_id, loaded, must=True, asker=member)
        opening = FromRollout(params=params, client=US)
        self.registry.route(Resume(thread_id, Attach(reply=reply, subscriber=member, params=params), opening))

    def unsubscribe(self, client: int, thread: int) -> None:
        if not (thread_id := self.pick(thread)):
            return
        member = self.clients[client]

        def left(_: object) -> None:
            self.subscribed[thread_id].discard(member)

        reply = self.reply("unsubscribe", thread_id, left, must=True, release=True)
        self.registry.route(Leave(thread_id, Detach(reply=reply, subscriber=member)))

    def breath(self, client: int, thread: int) -> None:
        """Unsubscribe and resume in one breath."""
        self.unsubscribe(client, thread)
        self.resume(client, thread)

    def lose(self, client: int) -> None:
        """The client disconnects without unsubscribing, as a lost connection does."""
        member = self.clients[client]
        self.registry.leave_all(member)
        member.outbox.close()
        for subscribed in self.subscribed.values():
            subscribed.discard(member)
        self.clients[client] = Member(self, client)

    def turn(self, thread: int, seconds: float) -> None:
        if not (thread_id := self.pick(thread)):
            return
        params = TurnStartParams(thread_id=thread_id, input=[TextInput(str(seconds))])
        self.registry.route(ToThread(thread_id, StartTurn(reply=self.reply("turn", thread_id), params=params)))

    def archiving(self, thread: int) -> None:
        if not (thread_id := self.pick(thread)):
            return
        reply = self.reply("archive", thread_id)
        self.forced[thread_id].add(self.asked - 1)
        self.archivings[thread_id] += 1
        self.registry.route(Archive(thread_id, reply))

    def unarchiving(self, thread: int) -> None:
        if thread_id := self.pick(thread):
            self.registry.route(Unarchive(thread_id, self.reply("unarchive", thread_id)))

    def deleting(self, thread: int) -> None:
        if not (thread_id := self.pick(thread)):
            return
        reply = self.reply("delete", thread_id)
        self.spawned = self.spawned or (thread_id == self.known[0] and len(self.known) > 1)
        for gone in self.known[:2] if thread_id == self.known[0] else [thread_id]:
            self.forced[gone].add(self.asked - 1)
            self.archivings[gone] += 1
        self.registry.route(Delete(thread_id, reply))

    def flood(self, thread: int) -> None:
        """More than there is room for."""
        if not (thread_id := self.pick(thread)):
            return
        for number in range(3 * (self.capacity or 1)):
            reply = self.reply(f"read {number}", thread_id)
            self.registry.route(ToThread(thread_id, ReadThread(reply=reply)))

    def crash(self, thread: int) -> None:
        """What no thread understands is the end of it."""
        thread_id = self.pick(thread)
        actor = self.registry._actors.get(thread_id or "")
        if actor is None or thread_id is None or thread_id in self.doomed:
            return
        try:
            actor.nursery.start_soon(self.fail)
        except (AttributeError, RuntimeError):  # it has not begun, or has ended
            return
        self.doomed.add(thread_id)

    async def fail(self) -> None:
        raise Fault

    def crash_load(self) -> None:
        self.load_fails = True

    def pick(self, thread: int) -> str | None:
        return self.known[thread % len(self.known)] if self.known else None


def violations(
    program, *, delay=None, on_unsubscribe="finish", loading=0.0, releasing=0.0, stop_fails=False, capacity=0, seed=0
) -> list[str]:
    """Run the program; the promises that were broken. `capacity`: of mailboxes and of what is held, 0 for the real ones."""
    world = World(delay, on_unsubscribe, loading, releasing, stop_fails, capacity)
    stopped, attend = ThreadActor.stopped, ThreadActor.attend

    async def stopped_here(actor):
        await world.stopped(actor, stopped)

    async def attend_here(actor):
        try:
            await attend(actor)
        finally:
            world.unattended(actor)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(thread_module, "open_thread", world.open_thread)
        for name in ("archive", "check_archive", "check_free", "unarchive", "remove", "lineage", "read_summary"):
            patch.setattr(relocation_module, name, getattr(world, name))
        patch.setattr(trio, "to_thread", SimpleNamespace(run_sync=world.in_worker))
        patch.setattr(ThreadActor, "stopped", stopped_here)
        patch.setattr(ThreadActor, "attend", attend_here)
        if capacity:
            patch.setattr(Mailbox.__init__, "__defaults__", (capacity,))
            patch.setattr(table_module, "HELD", capacity)
        trio._core._run._r.seed(seed)
        trio.run(world.run, program, clock=MockClock(autojump_threshold=0))
    return world.violations
