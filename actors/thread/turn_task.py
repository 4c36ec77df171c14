"""The task of one turn: it opens the record, runs the turn against the thread, and closes the record however it ended."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import trio
from attrs import evolve

from spindle.actors.thread.live_turn import LiveTurn
from spindle.actors.thread.messages import TurnEnded
from spindle.actors.thread.recording import context_entries, look_at_repository
from spindle.actors.tools.commands.shell_tools import run_users_command
from spindle.actors.turn.answer import Answer
from spindle.actors.turn.catalogue import ModelInfo, model_info
from spindle.actors.turn.compaction import Compacted, compact
from spindle.actors.turn.context import TURN_ABORTED, Told, message, opening, today
from spindle.actors.turn.host import Entry, Said
from spindle.actors.turn.loop import run_turn, say
from spindle.actors.turn.review import ReviewFailed, review
from spindle.actors.turn.sampling import TurnPlan
from spindle.actors.turn.user_input import preview_of
from spindle.rpc.model.interface import ModelError, Usage
from spindle.rpc.protocol.settings import AskForApproval, SandboxPolicy
from spindle.rpc.protocol.threads import (
    ActiveStatus,
    IdleStatus,
    SystemErrorStatus,
    ThreadActiveFlag,
    ThreadTokenUsage,
    ThreadTokenUsageUpdatedNotification,
    TokenUsageBreakdown,
)
from spindle.rpc.protocol.turns import (
    ErrorNotification,
    RawResponseItemCompletedNotification,
    TurnCompletedNotification,
    TurnError,
    TurnStartedNotification,
    TurnStatus,
    WarningNotification,
)
from spindle.storage.rollout.items import stored_error_info
from spindle.storage.rollout.journal import JournalError
from spindle.storage.rollout.lock import WriterBusy
from spindle.storage.rollout.paginated import paginated

if TYPE_CHECKING:
    from spindle.actors.thread.thread import ThreadActor

log = logging.getLogger("spindle")

KEEPING = 0.1
"""Seconds the end of a turn may wait for what is kept beside the rollout; that only tells earlier what is kept later."""


class TurnTask:
    """Runs `turn` in `thread`; also what the turn sees of the thread (`TurnHost`)."""

    def __init__(self, thread: ThreadActor, turn: LiveTurn) -> None:
        self._thread, self._turn = thread, turn
        self._state, self._services = thread.state, thread.services
        self._conversation = thread.state.conversation
        self._settings = self._state.settings = self._state.settings.for_turn(turn.params, self._services.cwd)
        if turn.review is not None:  # a reviewer asks nobody
            reviewer = self._state.config.review_model or self._settings.model
            self._settings = evolve(self._settings, model=reviewer, approval_policy="never", collaboration_mode=None)
        config = self._state.config
        self._info: ModelInfo = model_info(
            self._settings.model,
            config.model_context_window,
            config.model_verbosity,
            config.tool_output_token_limit,
        )
        self._began = False
        self._unsaid = turn.first
        self._synced = 0

    async def run(self) -> None:
        """The task. The thread hears `TurnEnded` when everything is said and written."""
        turn, status, error = self._turn, "interrupted", None
        try:
            with turn.scope:
                try:
                    await self._open()
                    turn.last_message = await self._converse()
                    status = "completed"
                except ModelError as exc:
                    status, error = "failed", TurnError(exc.message, exc.info, exc.details)
                except ReviewFailed as exc:
                    status, error = "failed", TurnError(str(exc), "other")
                except WriterBusy as exc:
                    text = f"thread {self._thread.thread_id} already has an active writer: {exc.holder}"
                    status, error = "failed", TurnError(text, "other")
                except (JournalError, OSError) as exc:
                    status, error = "failed", TurnError(f"the thread's history could not be saved: {exc}", "other")
                except Exception as exc:
                    log.exception("a turn of thread %s failed", self._thread.thread_id)
                    status, error = "failed", TurnError(f"internal error: {exc}", "other")
        finally:
            turn.accepting = False
            with trio.CancelScope(shield=True):
                await self._close(status, error)  # type: ignore[arg-type]
            self._thread.mailbox.post(TurnEnded(turn.id), urgent=True)

    # -- the record

    async def _open(self) -> None:
        thread, turn, state = self._thread, self._turn, self._state
        if not self._info.known:
            text = f"Model metadata for `{self._info.slug}` not found. Defaulting to fallback metadata."
            thread.emit(WarningNotification(thread.thread_id, text))
        thread.set_status(ActiveStatus())
        thread.emit(TurnStartedNotification(thread.thread_id, turn.shown()))
        try:
            await look_at_repository(state)
        finally:  # clients have been told of the turn: interrupted at once, it is on record nevertheless
            with trio.CancelScope(shield=True):
                await self._conversation.begin()
            self._began = True
            instructions = state.new_developer_instructions
            try:
                self.record(*self._opening_entries())
            except JournalError:
                state.new_developer_instructions = instructions
                raise
            turn.opened.set()
        if not state.preview and turn.first is not None:
            state.preview = preview_of(turn.first.content)

    def _opening_entries(self) -> list[Entry]:
        turn, state, conversation = self._turn, self._state, self._conversation
        started = {
            "type": "task_started",
            "turn_id": turn.id,
            "started_at": turn.started_at,
            "model_context_window": self._info.usable_window,
            "collaboration_mode_kind": self.mode,
        }
        entries: list[Entry] = []
        if conversation.cut_off_turn is not None:
            entries.append(
                ("event_msg", {"type": "turn_aborted", "turn_id": conversation.cut_off_turn, "reason": "interrupted"})
            )
        entries.append(("event_msg", started))
        if conversation.cut_off_turn is not None:
            entries.append(("response_item", message("user", TURN_ABORTED)))
            conversation.cut_off_turn = None
        return entries if turn.first is None else [*entries, *context_entries(state, self._settings, turn.id)]

    async def _close(self, status: TurnStatus, error: TurnError | None) -> None:
        """Write how the turn ended, bring it to the disk, say it. A failure to write is said instead."""
        thread, turn, conversation = self._thread, self._turn, self._conversation
        turn.answer = None
        turn.opened.set()
        await thread.tools.finish_turn(self)
        if self._began:
            kept = thread.keep_turn(turn, unread=status != "interrupted")  # beside the rollout, and at the same time
            try:
                if self._unsaid is not None:  # ended while the servers were waited for; the model hears of it next time
                    say(self, self._unsaid)
                self.record(*self._closing_entries(status, error))
                if conversation.journal is not None and self._state.config.durability != "os":
                    await self._services.flusher.sync(conversation.journal)
            except (JournalError, OSError) as exc:
                if status != "failed":
                    status, error = "failed", TurnError(f"the thread's history could not be saved: {exc}", "other")
            finally:
                conversation.end()
            self._state.updated_at = int(time.time())
            if kept is not None:
                with trio.move_on_after(KEEPING):
                    await kept.wait()
        if error is not None:
            thread.set_status(SystemErrorStatus())
            thread.emit(ErrorNotification(error, False, thread.thread_id, turn.id))
        else:
            thread.set_status(IdleStatus())
        thread.emit(TurnCompletedNotification(thread.thread_id, turn.ended(status, error)))

    def _closing_entries(self, status: TurnStatus, error: TurnError | None) -> list[Entry]:
        turn = self._turn
        ended: dict[str, Any] = {
            "turn_id": turn.id,
            "completed_at": int(time.time()),
            "duration_ms": turn.duration_ms(),
        }
        if status == "interrupted":
            # an interrupted compaction leaves what the model sees as it was
            told: list[Entry] = [("response_item", message("user", TURN_ABORTED))] if turn.kind != "compact" else []
            return [*told, ("event_msg", {"type": "turn_aborted", "reason": "interrupted", **ended})]
        entries: list[Entry] = []
        if error is not None:
            failure = {"message": error.message, "codex_error_info": stored_error_info(error.codex_error_info)}
            event = {"type": "error", **failure, "additional_details": error.additional_details}
            entries.append(("event_msg", event))
            ended["error"] = failure  # where 0.169 looks for it
        entries.append(("event_msg", {"type": "task_complete", "last_agent_message": turn.last_message, **ended}))
        return entries

    async def _converse(self) -> str | None:
        thread, turn, state = self._thread, self._turn, self._state
        if turn.script is not None:
            self.record(("response_item", await self._run_script(turn.script)))
            return None
        if turn.first is not None:
            await thread.servers.ready()
        plan = TurnPlan(
            thread_id=thread.thread_id,
            turn_id=turn.id,
            settings=self._settings,
            info=self._info,
            instructions=self._settings.base_instructions or self._services.instructions,
            originator=state.client.originator,
            user_agent=state.client.user_agent,
            compact_prompt=state.config.compact_prompt,
            compact_at=state.config.model_auto_compact_token_limit or self._info.context_window * 9 // 10,
            output_schema=turn.params.output_schema,
            patch_progress=state.config.features("apply_patch_streaming_events", False),
            toolbox=thread.tools.toolbox(state, self._info, thread.nursery),
            client_metadata=turn.params.responsesapi_client_metadata or {},
        )
        model = self._services.models.get(self._settings.model_provider, state.config)
        if turn.review is not None:
            return await review(self, plan, model, turn.review)
        if turn.first is None:
            await compact(self, plan, model)
            return None
        last: str | None = None
        said: Sequence[Said] = [turn.first]
        self._unsaid = None
        while said or turn.scripts:
            last = await self._beside_commands(partial(run_turn, self, plan, model, said) if said else _nothing) or last
            said = turn.take_steered()
        return last

    # -- commands of the user's own

    async def _beside_commands(self, work: Callable[[], Awaitable[str | None]]) -> str | None:
        """Do `work`, and wait for the commands that the user runs meanwhile. What it raises ends them."""
        turn, answer, failure = self._turn, None, None
        async with trio.open_nursery() as nursery:

            def start(script: str) -> None:
                nursery.start_soon(self._run_beside, script)

            turn.run_script = start
            while turn.scripts:
                start(turn.scripts.pop(0))
            try:
                answer = await work()
            except Exception as error:  # raised in here it would come as a group
                failure = error
                nursery.cancel_scope.cancel()
            finally:
                turn.run_script = None
        if failure is not None:
            raise failure
        return answer

    async def _run_beside(self, script: str) -> None:
        """What comes of the command is told to the model with the next request."""
        try:
            told = await self._run_script(script)
            self._turn.steered.append(Said((), told))
        except Exception:
            log.exception("a command of the user failed in thread %s", self._thread.thread_id)

    async def _run_script(self, script: str) -> dict[str, Any]:
        runner = self._thread.tools.runner(self._thread.nursery, self._state.config)
        return message("user", await run_users_command(runner, self, str(uuid.uuid4()), script))

    # -- TurnHost

    @property
    def thread_id(self) -> str:
        """See TurnHost."""
        return self._thread.thread_id

    @property
    def turn_id(self) -> str:
        """See TurnHost."""
        return self._turn.id

    @property
    def cwd(self) -> str:
        """See TurnHost."""
        return self._settings.cwd

    @property
    def sandbox(self) -> SandboxPolicy:
        """See TurnHost."""
        return self._settings.sandbox

    @property
    def approval(self) -> AskForApproval:
        """See TurnHost."""
        return self._settings.approval_policy

    @property
    def mode(self) -> str:
        """See TurnHost."""
        return getattr(self._settings.collaboration_mode, "mode", "default")

    def emit(self, params: object) -> None:
        """See TurnHost."""
        self._thread.emit(params)

    async def ask(self, params: Any, waiting_on: ThreadActiveFlag | None) -> object:
        """See TurnHost."""
        return await self._thread.ask(params, waiting_on)

    def cancel(self) -> None:
        """See TurnHost."""
        self._turn.interrupt()

    def record(self, *entries: Entry) -> None:
        """See TurnHost."""
        conversation = self._conversation
        if conversation.paginated:
            conversation.record(paginated(entries, self._thread.thread_id, self._turn.id))
        else:
            conversation.record(entries)
        if self._state.raw_events:
            for kind, payload in entries:
                if kind == "response_item":
                    self.emit(RawResponseItemCompletedNotification(self._thread.thread_id, self._turn.id, payload))

    def history(self) -> Sequence[bytes]:
        """See TurnHost."""
        return self._conversation.items

    def replace_history(self, compacted: Compacted) -> None:
        """See TurnHost."""
        conversation = self._conversation
        context = conversation.last_context
        self.record(*compacted.entries())
        conversation.replace(compacted.items, compacted.summary)
        if compacted.in_turn and context is not None:
            conversation.last_context = context
            self.record(("turn_context", context))
        if conversation.usage is not None:
            self._account({**conversation.usage, "last_token_usage": compacted.usage()})
        self.record(("event_msg", {"type": "context_compacted"}))

    def last_summary(self) -> str | None:
        """See TurnHost."""
        return self._conversation.summary

    def context(self) -> Sequence[dict[str, Any]]:
        """See TurnHost."""
        state, settings = self._state, self._settings
        return opening(settings, Told.of(settings, *today()), state.guidance.text, state.skills)

    def context_tokens(self) -> int:
        """See TurnHost."""
        last: Any = (self._conversation.usage or {}).get("last_token_usage") or {}
        return int(last.get("total_tokens") or 0)

    def take_input(self) -> Sequence[Said]:
        """See TurnHost."""
        return self._turn.take_steered()

    def partial(self, answer: object | None) -> None:
        """See TurnHost."""
        self._turn.answer = answer if isinstance(answer, Answer) else None

    def begun(self) -> None:
        """See TurnHost."""
        if (usage := self._conversation.usage) is not None:
            self.emit(token_usage(self._thread.thread_id, self._turn.id, usage))

    def spend(self, usage: Usage | None, *, aside: bool = False) -> None:
        """See TurnHost."""
        if usage is None:
            return
        self._turn.tokens += max(0, usage.input_tokens - usage.cached_input_tokens) + usage.output_tokens
        if aside:
            return
        last = {
            "input_tokens": usage.input_tokens,
            "cached_input_tokens": usage.cached_input_tokens,
            "output_tokens": usage.output_tokens,
            "reasoning_output_tokens": usage.reasoning_output_tokens,
            "total_tokens": usage.total_tokens,
        }
        before: Any = (self._conversation.usage or {}).get("total_token_usage") or {}
        total = {key: value + int(before.get(key) or 0) for key, value in last.items()}
        self._account(
            {"total_token_usage": total, "last_token_usage": last, "model_context_window": self._info.usable_window}
        )

    def _account(self, info: dict[str, Any]) -> None:
        info.pop("turn_id", None)
        self._conversation.usage, self._conversation.usage_turn = info, self._turn.id
        self.record(("event_msg", {"type": "token_count", "info": info, "rate_limits": None}))
        self.emit(token_usage(self._thread.thread_id, self._turn.id, info))

    async def saved(self) -> None:
        """See TurnHost."""
        journal = self._conversation.journal
        if journal is not None and self._state.config.durability == "item" and self._synced != journal.size:
            self._synced = journal.size
            await self._services.flusher.sync(journal)

    async def room(self) -> None:
        """See TurnHost."""
        for subscriber in tuple(self._thread.subscribers):
            await subscriber.outbox.room()

    def settle(self, finish: Callable[[], None]) -> None:
        """See TurnHost."""
        if self._conversation.is_open:
            finish()
        else:
            self._thread.settle(finish)


async def _nothing() -> None:
    await trio.lowlevel.checkpoint()


def token_usage(thread_id: str, turn_id: str, info: dict[str, Any]) -> ThreadTokenUsageUpdatedNotification:
    """The notification of a rollout's `token_count` info."""
    window = info.get("model_context_window")
    return ThreadTokenUsageUpdatedNotification(
        thread_id,
        turn_id,
        ThreadTokenUsage(
            total=_breakdown(info.get("total_token_usage")),
            last=_breakdown(info.get("last_token_usage")),
            model_context_window=window if isinstance(window, int) else None,
        ),
    )


def _breakdown(tokens: Any) -> TokenUsageBreakdown:
    tokens = tokens or {}
    return TokenUsageBreakdown(
        total_tokens=int(tokens.get("total_tokens") or 0),
        input_tokens=int(tokens.get("input_tokens") or 0),
        cached_input_tokens=int(tokens.get("cached_input_tokens") or 0),
        output_tokens=int(tokens.get("output_tokens") or 0),
        reasoning_output_tokens=int(tokens.get("reasoning_output_tokens") or 0),
    )
