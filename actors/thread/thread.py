"""The thread's actor: it owns the conversation, the settings, the running turn and the subscribers, and lets go by itself.

Its messages are handled one at a time; the turn runs beside it, in its nursery, and changes shared state only between
two awaits. When the last subscriber has left and nothing runs, the thread asks the registry for leave (`_retire`).
"""

from __future__ import annotations

from collections import deque
from typing import Any, Protocol

import trio
from uuid_utils import uuid7

from spindle.actors.actor import Actor
from spindle.actors.mailbox import wants_answer
from spindle.actors.streaming import Streamed
from spindle.actors.subscribers import Event, Subscriber
from spindle.actors.thread.live_turn import LiveTurn
from spindle.actors.thread.messages import (
    Attach,
    Detach,
    InterruptTurn,
    LeaveNow,
    ReadThread,
    StartTurn,
    SteerTurn,
    StopThread,
    TakeSnapshot,
    TurnEnded,
)
from spindle.actors.thread.opening import OpenedThread, Opening, open_thread
from spindle.actors.thread.services import Services
from spindle.actors.thread.snapshot import Snapshot
from spindle.actors.thread.turn_pages import end_cursors, turns_page
from spindle.actors.thread.turn_task import TurnTask, token_usage
from spindle.actors.turn.host import Said
from spindle.actors.turn.user_input import to_response_item
from spindle.rpc.protocol.converter import structure, unstructure
from spindle.rpc.protocol.errors import RpcError, internal_error, invalid_request
from spindle.rpc.protocol.threads import (
    IdleStatus,
    Thread,
    ThreadResumeParams,
    ThreadResumeResponse,
    ThreadStartedNotification,
    ThreadStartResponse,
    ThreadStatus,
    ThreadStatusChangedNotification,
    ThreadTurnsListParams,
    ThreadTurnsListResponse,
)
from spindle.rpc.protocol.turns import Turn
from spindle.storage.rollout.reading import RolloutChanged

LOST_CLIENT_DELAY = 60.0
"""Seconds a thread waits for a client that went away without a word, unless thread_unload_delay_secs says otherwise."""


class Supervisor(Protocol):
    """What a thread asks of the registry. None of these waits."""

    def started(self, thread_id: str, generation: int) -> None:
        """The thread is loaded."""

    def retire(self, thread_id: str, generation: int, seen: int) -> None:
        """May the thread, which has seen `seen` messages, leave? If so it is told to stop."""


class ThreadActor(Actor):
    """One incarnation of a thread."""

    state: OpenedThread

    def __init__(self, thread_id: str, opening: Opening, services: Services, supervisor: Supervisor) -> None:
        super().__init__()
        self.thread_id = thread_id
        self.generation = 0
        self.services = services
        self.status: ThreadStatus = IdleStatus()
        self.turn: LiveTurn | None = None
        self.subscribers: dict[Subscriber, None] = {}
        self._opening: Opening = opening
        self._cold: bool = True
        self._supervisor = supervisor
        self._waiting: deque[StartTurn] = deque()
        self._ending = False
        self._may_leave = True
        """No subscriber is waited for: none has come yet, or the last has left and the delay is over."""
        self._leave_token = 0

    # -- life

    async def started(self) -> None:
        """Load the thread. What goes wrong is the answer to whoever asked for it."""
        self.state = await open_thread(self.services, self.thread_id, self._opening)
        self._supervisor.started(self.thread_id, self.generation)

    def refusal(self, error: Exception | None) -> Exception:
        """A thread that could not be loaded says why."""
        return error if isinstance(error, RpcError) else super().refusal(error)

    async def stopped(self) -> None:
        """Let go of the subscribers and, should a turn have been torn down, of the rollout."""
        for subscriber in self.subscribers:
            subscriber.threads.discard(self.thread_id)
            if subscriber.one_thread:
                subscriber.outbox.close()
        if self.turn is not None:
            self.turn.done.set()
        if hasattr(self, "state"):
            self.state.conversation.end()

    async def handle(self, message: object) -> None:
        """Deal with one message, then see whether there is a reason to stay. A refusal is the asker's, not the thread's end."""
        try:
            await self._dispatch(message)
        except (RpcError, OSError, RolloutChanged) as error:
            if not wants_answer(message):
                raise
            message.reply.reject(
                error if isinstance(error, RpcError) else internal_error(f"thread {self.thread_id}: {error}")
            )
        self._consider_leaving()

    async def _dispatch(self, message: object) -> None:
        match message:
            case Attach():
                await self._attach(message)
            case Detach():
                self._detach(message)
            case StartTurn():
                await self._start_turn(message)
            case SteerTurn():
                await self._steer(message)
            case InterruptTurn():
                self._interrupt(message)
            case ReadThread():
                await self._read(message)
            case TakeSnapshot():
                message.reply.resolve(await self._snapshot(message.method))
            case TurnEnded():
                await self._turn_ended()
            case LeaveNow(token=token):
                if token == self._leave_token:
                    self._may_leave = True
                    self._interrupt_unwatched()
            case StopThread():
                self._end()
            case _:
                raise TypeError(f"a thread does not understand {message!r}")

    def _end(self) -> None:
        self._ending = True
        if self.turn is not None:
            self.turn.interrupt()
        else:
            self.stop()

    def _consider_leaving(self) -> None:
        if self._may_leave and not self.subscribers and self.turn is None and not self._waiting and not self._ending:
            self._supervisor.retire(self.thread_id, self.generation, self.mailbox.seen)

    # -- subscribers

    def emit(self, params: Any) -> None:
        """Send a notification to the subscribers."""
        if self.subscribers:
            event = Event(params)
            for subscriber in self.subscribers:
                subscriber.deliver(event)

    def set_status(self, status: ThreadStatus) -> None:
        """Change the status and tell everybody, subscribed or not."""
        self.status = status
        self.services.audience.announce(ThreadStatusChangedNotification(self.thread_id, status))

    async def _attach(self, message: Attach) -> None:
        params, state = message.params, self.state
        cold, self._cold = self._cold and params is not None, False
        if params is not None and not cold:
            self._check_rejoin(params, message.in_process)
        elif params is not None and params.history is None:
            self.set_status(IdleStatus())
        resumed = params if params is not None and params.history is None else None
        snapshot = await self._turns() if resumed is not None else Snapshot.of([])
        try:
            page = await self._first_page(resumed, snapshot)
            turns = await _built(snapshot) if not message.streamed and resumed and not resumed.exclude_turns else []
            if message.subscriber.outbox.closed:
                raise invalid_request("the client has gone away")
            self._subscribe(message.subscriber)
            response = self._loaded(params is not None, turns, snapshot, page)
            if resumed is None or resumed.exclude_turns or not message.streamed:
                snapshot.close()
                message.reply.resolve(response)
            else:
                message.reply.resolve(Streamed(response, snapshot))
        except BaseException:
            snapshot.close()
            raise
        usage = state.conversation.usage
        if params is None:
            self.services.audience.announce(ThreadStartedNotification(response.thread))
        elif usage is not None and resumed is not None:
            turn_id = snapshot.ids[-1] if snapshot.ids else state.conversation.usage_turn
            message.subscriber.deliver(Event(token_usage(self.thread_id, turn_id or "", usage)))

    async def _first_page(
        self, params: ThreadResumeParams | None, snapshot: Snapshot
    ) -> ThreadTurnsListResponse | None:
        if params is None or (asked := params.initial_turns_page) is None:
            return None
        page = ThreadTurnsListParams(self.thread_id, None, asked.limit, asked.sort_direction, asked.items_view)
        return await trio.to_thread.run_sync(turns_page, snapshot, page)

    def _loaded(
        self, resumed: bool, turns: list[Turn], snapshot: Snapshot, page: ThreadTurnsListResponse | None
    ) -> ThreadStartResponse | ThreadResumeResponse:
        settings, thread = self.state.settings, self.describe(turns)
        common: dict[str, Any] = {
            "thread": thread,
            "model": settings.model,
            "model_provider": settings.model_provider,
            "service_tier": settings.service_tier,
            "cwd": settings.cwd,
            "instruction_sources": tuple(self.state.guidance.sources),
            "approval_policy": settings.approval_policy,
            "approvals_reviewer": settings.approvals_reviewer,
            "sandbox": settings.sandbox,
            "reasoning_effort": settings.effort,
        }
        if not resumed:
            return ThreadStartResponse(**common)
        turns_cursor, items_cursor = end_cursors(snapshot)
        return ThreadResumeResponse(
            **common,
            initial_turns_page=page,
            turns_backwards_cursor=turns_cursor,
            items_backwards_cursor=items_cursor,
        )

    def _check_rejoin(self, params: ThreadResumeParams, in_process: bool) -> None:
        if params.history is not None:
            raise invalid_request(f"cannot resume thread {self.thread_id} with history while it is already running")
        own = self.state.conversation.path
        if params.path is not None and params.path != str(own):
            raise invalid_request(
                f"cannot resume running thread {self.thread_id} with mismatched path: requested `{params.path}`, active `{own}`"
            )
        on_disk = self.state.ephemeral or self.state.conversation.stored or self.turn is not None
        if not on_disk and not in_process:
            raise invalid_request(f"no rollout found for thread id {self.thread_id}")

    def _subscribe(self, subscriber: Subscriber) -> None:
        self.subscribers[subscriber] = None
        subscriber.threads.add(self.thread_id)
        self._may_leave = False
        self._leave_token += 1

    def _detach(self, message: Detach) -> None:
        if message.subscriber not in self.subscribers:
            message.reply.resolve("notSubscribed")
            return
        del self.subscribers[message.subscriber]
        message.subscriber.threads.discard(self.thread_id)
        message.reply.resolve("unsubscribed")
        if self.subscribers:
            return
        if not message.lost:
            self._interrupt_unwatched()
        delay = self.state.config.thread_unload_delay_secs
        seconds = (LOST_CLIENT_DELAY if message.lost else 0.0) if delay is None else float(delay)
        self._leave_token += 1
        if seconds <= 0:
            self._may_leave = True
            self._interrupt_unwatched()
        else:
            self.nursery.start_soon(self._leave_later, seconds, self._leave_token)

    def _interrupt_unwatched(self) -> None:
        """Nobody is subscribed any more: end the turn too, if that is what is wanted."""
        if self.turn is not None and self.state.config.on_unsubscribe == "interrupt":
            self.turn.interrupt()

    async def _leave_later(self, seconds: float, token: int) -> None:
        await trio.sleep(seconds)
        if token == self._leave_token:
            self.mailbox.post(LeaveNow(token), urgent=True)

    # -- reading

    def describe(self, turns: list[Turn] | None = None) -> Thread:
        """The thread as clients see it."""
        state = self.state
        return Thread(
            id=self.thread_id,
            session_id=self.thread_id,
            forked_from_id=state.forked_from_id,
            preview=state.preview,
            ephemeral=state.ephemeral,
            model_provider=state.settings.model_provider,
            created_at=state.created_at,
            updated_at=state.updated_at,
            status=self.status,
            path=None if state.conversation.path is None else str(state.conversation.path),
            cwd=state.settings.cwd,
            cli_version=state.cli_version,
            source=state.source,
            agent_nickname=state.agent_nickname,
            agent_role=state.agent_role,
            git_info=state.git,
            name=state.name,
            turns=tuple(turns or ()),
        )

    async def _turns(self) -> Snapshot:
        """All turns; the running one with what has been streamed of its next message, under the id its deltas carry."""
        live = self.turn
        snapshot = await self.state.conversation.snapshot(live.id if live else None)
        if live is not None and live is self.turn:
            if not snapshot.ids or snapshot.ids[-1] != live.id:
                snapshot.add(unstructure(live.shown()))
            if live.answer is not None and (partial := live.answer.partial()) is not None:
                snapshot.partial = unstructure(partial)
        return snapshot

    async def _snapshot(self, method: str) -> Snapshot:
        """The turns, for a method that needs them to be on disk."""
        if self.state.ephemeral:
            raise invalid_request(f"ephemeral threads do not support {method}")
        if not self.state.conversation.stored:
            raise invalid_request(
                f"thread {self.thread_id} is not materialized yet; {method} is unavailable before first user message"
            )
        return await self._turns()

    async def _read(self, message: ReadThread) -> None:
        if not message.include_turns:
            message.reply.resolve(self.describe())
            return
        snapshot = await self._snapshot("includeTurns")
        if message.streamed:
            message.reply.resolve(Streamed(self.describe(), snapshot))
            return
        try:
            message.reply.resolve(self.describe(await _built(snapshot)))
        finally:
            snapshot.close()

    # -- turns

    async def _start_turn(self, message: StartTurn) -> None:
        said = None
        if self.turn is None or self.turn.joinable:
            said = await _said(message.params.input)
        if said is None or (self.turn is not None and not self.turn.joinable):
            self._waiting.append(message)  # it is writing its last lines; the next one starts right after
        elif self.turn is not None:
            self.turn.steered.append(said)
            message.reply.resolve(Turn(self.turn.id))
        else:
            self._begin(message, said)

    def _begin(self, message: StartTurn, said: Said) -> None:
        turn = self.turn = LiveTurn(str(uuid7()), message.params, said)
        message.reply.resolve(Turn(turn.id))
        self.nursery.start_soon(TurnTask(self, turn).run)

    async def _turn_ended(self) -> None:
        ended, self.turn = self.turn, None
        if ended is not None:
            ended.done.set()
        if self._ending:
            for message in self._waiting:
                message.reply.reject(invalid_request(f"thread not found: {self.thread_id}"))
            self.stop()
            return
        waiting, self._waiting = self._waiting, deque()
        for message in waiting:
            await self._start_turn(message)

    async def _steer(self, message: SteerTurn) -> None:
        said = await _said(message.content)
        turn = self.turn
        if turn is None or not turn.accepting or turn.interrupted:
            raise invalid_request("no active turn to steer")
        if turn.id != message.expected_turn_id:
            raise invalid_request(f"expected active turn id `{message.expected_turn_id}` but found `{turn.id}`")
        turn.steered.append(said)
        message.reply.resolve(turn.id)

    def _interrupt(self, message: InterruptTurn) -> None:
        turn = self.turn
        if turn is None or not turn.accepting:
            raise invalid_request("no active turn to interrupt")
        if turn.id != message.turn_id:
            raise invalid_request(f"expected active turn id `{message.turn_id}` but found `{turn.id}`")
        message.reply.resolve(None)
        turn.interrupt()


async def _built(snapshot: Snapshot) -> list[Turn]:
    """All turns of a snapshot as objects."""
    numbers = range(len(snapshot.ids))
    return await trio.to_thread.run_sync(lambda: [structure(body, Turn) for body in snapshot.read(numbers)])


async def _said(content: Any) -> Said:
    return Said(content, await to_response_item(content))
