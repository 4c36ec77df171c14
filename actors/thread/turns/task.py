"""The task of one turn: it opens the turn's record, runs the turn, and closes the record, however the turn ends."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Awaitable, Callable
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import trio
from attrs import evolve

from spindle.actors.settings.allowed import limited
from spindle.actors.tasks.boundary import Contained
from spindle.actors.tasks.faults import fault, message_of
from spindle.actors.tasks.log_ids import log_as
from spindle.actors.thread import view
from spindle.actors.thread.agents.child import Membership
from spindle.actors.thread.core import ThreadCore
from spindle.actors.thread.messages import TurnEnded
from spindle.actors.thread.recording import Recording
from spindle.actors.thread.repository import look_at_repository
from spindle.actors.thread.servers import ThreadServers
from spindle.actors.thread.surroundings import context_entries, find_readable
from spindle.actors.thread.tools import ThreadTools
from spindle.actors.thread.turns.hooks import start_notify
from spindle.actors.thread.turns.host import LiveTurnHost
from spindle.actors.thread.turns.live import LiveTurn
from spindle.actors.thread.turns.suspension import Suspension, TurnGone
from spindle.actors.thread.turns.watch import ProviderFailure
from spindle.actors.tools.commands.shell_tools import UsersCommand, run_users_command
from spindle.actors.tools.interface import ToolFailed
from spindle.actors.turn.compaction import compact
from spindle.actors.turn.context import TURN_ABORTED, message
from spindle.actors.turn.host import TurnInput
from spindle.actors.turn.life import TurnState
from spindle.actors.turn.loop import record_rest, run_turn
from spindle.actors.turn.review import ReviewFailed, review
from spindle.actors.turn.sampling import TurnPlan
from spindle.actors.turn.user_input import preview_of
from spindle.rpc.model.interface import Model, ModelError
from spindle.rpc.protocol.items import ThreadItem
from spindle.rpc.protocol.threads import (
    ActiveStatus,
    IdleStatus,
    SystemErrorStatus,
)
from spindle.rpc.protocol.turns import (
    ErrorNotification,
    TurnCompletedNotification,
    TurnError,
    TurnStartedNotification,
    TurnStatus,
    WarningNotification,
)
from spindle.storage.rollout import records
from spindle.storage.rollout.items import stored_error_info
from spindle.storage.rollout.journal import JournalError
from spindle.storage.rollout.records import Entry
from spindle.storage.rollout.source import RolloutChanged
from spindle.storage.rollout.writer_lock import WriterBusy

if TYPE_CHECKING:
    from spindle.actors.turn.guardian import Guardian

log = logging.getLogger("spindle")

KEEPING = 0.1
"""Seconds that the end of a turn waits for the state store, so that clients are notified of both together if possible."""


class TurnTask:
    """Runs `turn` in `thread`."""

    def __init__(
        self,
        thread: ThreadCore,
        turn: LiveTurn,
        recording: Recording,
        tools: ThreadTools,
        servers: ThreadServers,
        membership: Membership,
    ) -> None:
        self._thread, self._turn = thread, turn
        self._recording, self._tools, self._servers, self._membership = recording, tools, servers, membership
        self._state, self._services = thread.state, thread.services
        self._conversation = thread.state.conversation
        settings = self._state.settings if turn.resumed is None else turn.resumed.settings
        if (tier := turn.params.service_tier_for_turn) is not None:
            settings = evolve(settings, service_tier=None if tier == "default" else tier)
        if turn.review is not None:  # a reviewer never asks the user
            reviewer = self._state.config.review_model or settings.model
            settings = evolve(settings, model=reviewer, approval_policy="never", collaboration_mode=None)
        if turn.resumed is not None:
            settings, _ = limited(settings, self._state.config.requirements)
            turn.started_at = turn.resumed.started_at
        stored = turn.kind == "regular" and not self._state.ephemeral
        self._suspension = Suspension(thread, turn, settings) if stored else None
        self._settings = turn.settings = settings
        self._host = LiveTurnHost(thread, turn, settings, recording, tools)

    @trio.lowlevel.enable_ki_protection  # Ctrl-C goes to the program's main task: what is raised in here is foreign
    async def run(self) -> None:
        """The task. The thread gets `TurnEnded` when the end is recorded and notified, or when that has failed."""
        thread, turn = self._thread, self._turn
        log_as(thread.thread_id, turn.id)
        if thread.info is None:
            await self._run()
        else:
            from spindle.actors.thread.watched import watched_turn

            with watched_turn(thread.instruments, thread.info, turn):
                await self._run()

    async def _run(self) -> None:
        thread, turn, what = self._thread, self._turn, f"a turn of thread {self._thread.thread_id}"
        status: TurnStatus = "interrupted"
        error: TurnError | None = None
        try:
            with turn.scope:
                try:
                    await self._open()
                    turn.last_message = await self._converse()
                    status = "completed"
                except BaseException as raised:  # a model may raise anything; that ends only its turn
                    status, error = "failed", self._failure(fault(raised, what), what)
        finally:
            turn.finish()
            try:
                with trio.CancelScope(shield=True):
                    await self._close(status, error)
            except Exception as raised:
                log.exception("the end of %s could not be recorded or notified", what)
                turn.result = turn.result or turn.ended("failed", TurnError(f"internal error: {message_of(raised)}", "other"))
            finally:
                turn.waiting = self._host.guardian = None  # they refer to this task
                turn.end()
                thread.mailbox.post(TurnEnded(turn.id))

    def _failure(self, error: Exception, what: str) -> TurnError:
        match error:
            case ModelError():
                self._turn.provider = ProviderFailure.of(error)
                return TurnError(error.message, error.info, error.details)
            case ReviewFailed() | ToolFailed() | TurnGone():
                return TurnError(str(error), "other")
            case WriterBusy():
                text = f"thread {self._thread.thread_id} already has an active writer: {error.holder}"
                return TurnError(text, "other")
            case JournalError() | OSError():
                return _unsaved(error)
            case _:
                log.error("%s failed", what, exc_info=error)
                return TurnError(f"internal error: {message_of(error)}", "other")

    # -- the record

    async def _open(self) -> None:
        turn, state = self._turn, self._state
        try:
            try:
                self._host.readable = await find_readable(self._thread, self._settings, self._tools.granted)
                await self._services.model_lists.ready(self._settings.model_provider, state.config)
            finally:
                self._host.info = self._host.known_model()
                self._announce()
            await look_at_repository(state)
        finally:  # clients were notified of the turn, so it is recorded even if it was interrupted meanwhile
            if not turn.suspended:
                with trio.CancelScope(shield=True):
                    await self._begin()
        if not state.preview and turn.first is not None:
            state.preview = preview_of(turn.first.content)

    async def _begin(self) -> None:
        """Open the record, and write the turn's first lines. A turn that was suspended goes on in its own."""
        turn, resumed = self._turn, self._turn.resumed
        await self._conversation.begin(pending=() if resumed is None else resumed.calls)
        if resumed is not None and self._suspension is not None:
            self._suspension.open_again(resumed)
        else:
            turn.open()
            self._host.record(*self._opening_entries())
        self._conversation.cut_off_turn = None
        if turn.first is not None:
            self._state.new_developer_instructions = None

    def _announce(self) -> None:
        thread = self._thread
        if self._turn.resumed is not None:  # it is in the answer of the client that resumes the thread
            return
        if not self._host.info.known and self._turn.kind != "compact":
            text = f"Model metadata for `{self._host.info.slug}` not found. Defaulting to fallback metadata."
            thread.emit(WarningNotification(thread.thread_id, text))
        thread.set_status(ActiveStatus())
        thread.emit(TurnStartedNotification(thread.thread_id, self._turn.shown()))

    def _opening_entries(self) -> list[Entry]:
        turn, state, conversation = self._turn, self._state, self._conversation
        entries: list[Entry] = []
        if conversation.cut_off_turn is not None:
            entries.append(records.turn_cut_off(conversation.cut_off_turn))
        entries.append(
            records.task_started(
                turn.id, turn.started_at, self._host.info.usable_window, self._host.mode, turn.params.root_turn_id
            )
        )
        if conversation.cut_off_turn is not None:
            entries.append(records.response_item(message("user", TURN_ABORTED)))
        if turn.first is not None:
            entries += context_entries(state, self._settings, turn.id, self._host.readable)
        return entries

    async def _close(self, status: TurnStatus, error: TurnError | None) -> None:
        """Record how the turn ended, sync that, then notify clients. If the write fails, the turn ends as failed."""
        thread, turn = self._thread, self._turn
        turn.answer = None
        await self._tools.finish_turn(self._host)
        if turn.suspended:
            self._conversation.end()
            await self._conversation.reload()
            return
        if turn.recorded:
            # outside the rollout, and at the same time
            kept = self._recording.keep_turn(turn, unread=status != "interrupted")
            status, error = await self._write_end(status, error)
            self._conversation.took(turn.id, turn.client_ids)
            if turn.waiting is not None:
                await turn.waiting.end()
            self._state.updated_at = int(time.time())
            if kept is not None and not kept.is_set():
                with trio.move_on_after(KEEPING):
                    await kept.wait()
            if turn.gathered is not None and not turn.gathered.whole:
                turn.gathered.items = await self._recorded_items()
        if error is not None:
            thread.set_status(SystemErrorStatus())
            thread.emit(ErrorNotification(error, False, thread.thread_id, turn.id))
        else:
            thread.set_status(IdleStatus())
        turn.result = turn.ended(status, error)
        thread.emit(TurnCompletedNotification(thread.thread_id, turn.result))
        if turn.kind == "regular":
            self._membership.turn_ended(status, error, turn.last_message)

    async def _recorded_items(self) -> list[ThreadItem]:
        """All items, as the record has them: what was emitted before there was a watch is nowhere else."""
        try:
            shown = await view.one_turn(await self._conversation.snapshot(None), self._turn.id)
        except (OSError, RolloutChanged) as error:
            log.error("the items of a turn of thread %s cannot be read: %s", self._thread.thread_id, error)
            return self._turn.gathered.items if self._turn.gathered is not None else []
        return [] if shown is None else list(shown.items)

    async def _write_end(self, status: TurnStatus, error: TurnError | None) -> tuple[TurnStatus, TurnError | None]:
        """Record how the turn ended and close the rollout. Returns how it ended: failed, if that could not be recorded."""
        conversation = self._conversation
        try:
            try:
                if self._suspension is not None:
                    self._suspension.abort(self._host)
                await record_rest(self._host, self._host.hooks)
                if error is not None and error.codex_error_info == "contextWindowExceeded" and self._turn.review is None:
                    self._host.fill()
                self._host.record(*self._closing_entries(status, error))
            except (JournalError, OSError):
                raise
            except Exception as odd:  # the last message cannot be encoded: record the end without it
                log.exception("the end of a turn of thread %s cannot be recorded", self._thread.thread_id)
                self._turn.last_message = None
                status, error = "failed", TurnError(f"internal error: {message_of(odd)}", "other")
                self._host.record(*self._closing_entries(status, error))
            if conversation.journal is not None and self._state.config.durability != "os":
                await self._services.flusher.sync(conversation.journal)
        except (JournalError, OSError) as unsaved:
            if status != "failed":
                status, error = "failed", _unsaved(unsaved)
            conversation.end()
            await self._record_failure(error)
        finally:
            conversation.end()
        return status, error

    async def _record_failure(self, error: TurnError | None) -> None:
        """Open the rollout again after a failed write, to record that the turn failed, as clients are notified."""
        conversation = self._conversation
        try:
            await conversation.begin(history=False)
            self._host.record(*self._closing_entries("failed", error))
            if conversation.journal is not None:
                await self._services.flusher.sync(conversation.journal)
            conversation.cut_off_turn = None
        except (WriterBusy, JournalError, OSError) as again:  # a reader will take the turn as interrupted
            log.error("the failure of a turn of thread %s could not be saved: %s", self._thread.thread_id, again)

    def _closing_entries(self, status: TurnStatus, error: TurnError | None) -> list[Entry]:
        turn = self._turn
        if status == "interrupted":
            # an interrupted compaction leaves the history for the model as it was
            notice = [records.response_item(message("user", TURN_ABORTED))] if turn.kind != "compact" else []
            aborted = records.turn_aborted(turn.id, completed_at=turn.completed_at, duration_ms=turn.duration_ms)
            return [*notice, aborted]
        entries: list[Entry] = []
        why = None
        if error is not None:
            why = records.failure(error.message, stored_error_info(error.codex_error_info))
            entries.append(records.error(why, error.additional_details))
        entries.append(records.task_complete(turn.id, turn.last_message, turn.completed_at, turn.duration_ms, why))
        return entries

    async def _converse(self) -> str | None:
        thread, turn, state = self._thread, self._turn, self._state
        if turn.script is not None:
            self._host.record(records.response_item(await self._run_script(turn.script)))
            return None
        if turn.resumed is not None:
            await turn.watched.wait()
        if turn.kind == "regular":
            await self._servers.ready()
        plan = TurnPlan(
            thread_id=thread.thread_id,
            turn_id=turn.id,
            settings=self._settings,
            info=self._host.info,
            instructions=self._settings.base_instructions or self._services.instructions,
            originator=state.client.originator,
            user_agent=state.client.user_agent,
            compact_prompt=state.config.compact_prompt,
            compact_at=self._host.info.compact_at,
            output_schema=turn.params.output_schema,
            patch_progress=state.config.features("apply_patch_streaming_events", False),
            toolbox=self._tools.toolbox(self._settings, self._host.info),
            client_metadata=turn.client_metadata,
            root_turn_id=turn.root_id,
            parent_turn_id=turn.params.parent_turn_id,
            turn_trigger=turn.params.turn_trigger,
            subagent="collab_spawn" if self._membership.parent_id is not None else None,
            parent_thread_id=self._membership.parent_id,
            hooks=self._host.hooks,
        )
        model = self._services.models.get(self._settings.model_provider, state.config)
        self._host.guardian = self._guardian(plan, model)
        if turn.review is not None:
            report = await review(self._host, plan, model, turn.review)
            await self._finish(report)
            return report
        if turn.kind == "compact":
            await compact(self._host, plan, model)
            return None
        last: str | None = None
        if turn.resumed is not None and self._suspension is not None:
            calls = await self._suspension.claim(self._host)
            last = await self._beside_commands(partial(run_turn, self._host, plan, model, calls))
        while turn.state is not TurnState.CLOSING and (turn.pending or turn.scripts):
            work = partial(run_turn, self._host, plan, model) if turn.pending else _no_op
            last = await self._beside_commands(work) or last
        if last is not None:
            await self._finish(last)
        return last

    def _guardian(self, plan: TurnPlan, model: Model) -> Callable[[], Guardian]:
        """Makes the turn's reviewer of approvals when it is first asked."""

        @cache
        def guardian() -> Guardian:
            from spindle.actors.turn.guardian import Guardian

            return Guardian(self._host, plan, model, self._state.config.review_policy)

        return guardian

    async def _finish(self, last: str) -> None:
        """Start the `notify` program. Input that comes from now on is for the next turn."""
        self._host.end()
        await start_notify(self._thread, self._turn.id, self._settings.cwd, last)

    # -- commands of the user

    async def _beside_commands(self, work: Callable[[], Awaitable[str | None]]) -> str | None:
        """Do `work`, and wait for the commands that the user runs meanwhile. If it raises, they are cancelled."""
        turn, answer, failure = self._turn, None, None
        async with trio.open_nursery() as nursery:
            tasks = Contained(nursery)

            def start(script: UsersCommand) -> None:
                tasks.start_soon(self._run_beside, script)

            turn.run_script = start
            while turn.scripts:
                start(turn.scripts.pop(0))
            try:
                answer = await work()
            except BaseException as raised:  # raised in here it would come in a group
                failure = fault(raised, f"a turn of thread {self._thread.thread_id}")
                nursery.cancel_scope.cancel()
            finally:
                turn.run_script = None
        if failure is not None:
            raise failure
        return answer

    async def _run_beside(self, script: UsersCommand) -> None:
        """Run a command. Its output is input for the model's next request."""
        try:
            self._turn.pending.append(TurnInput((), await self._run_script(script)))
        finally:
            self._turn.open_scripts -= 1

    async def _run_script(self, script: UsersCommand) -> dict[str, Any]:
        runner = self._tools.runner()
        return message("user", await run_users_command(runner, self._host, str(uuid.uuid4()), script))


def _unsaved(error: Exception) -> TurnError:
    return TurnError(f"the thread's history could not be saved: {error}", "other")


async def _no_op() -> None:
    await trio.lowlevel.checkpoint()
