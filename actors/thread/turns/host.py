"""The `TurnHost` of a thread: how a running turn sees it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from spindle.actors.services.instruments import Instruments
from spindle.actors.settings.catalogue import ModelInfo, model_info
from spindle.actors.settings.readable import no_file
from spindle.actors.settings.settings import Settings
from spindle.actors.thread.core import ThreadCore
from spindle.actors.thread.recording import Recording
from spindle.actors.thread.surroundings import surroundings
from spindle.actors.thread.tools import ThreadTools
from spindle.actors.thread.turns.hooks import first_turn, turn_hooks
from spindle.actors.thread.turns.live import LiveTurn
from spindle.actors.thread.usage import raw_response, token_usage
from spindle.actors.tools.interface import BackgroundTasks, Permission, Refusal, Reviewed, Subject, TurnCancelled, Use
from spindle.actors.turn.answer import Answer
from spindle.actors.turn.context import Included, Surroundings, opening, today
from spindle.actors.turn.host import Compacted, ContextItems, TurnInput
from spindle.actors.turn.work import Work
from spindle.rpc.model.interface import Completed, ResponseMetadata, Usage
from spindle.rpc.protocol.settings import AskForApproval, GranularApproval, SandboxPolicy
from spindle.rpc.protocol.threads import ThreadActiveFlag
from spindle.rpc.protocol.turns import RawResponseItemCompletedNotification
from spindle.storage.outside import Readable
from spindle.storage.rollout import records
from spindle.storage.rollout.paginated import paginated
from spindle.storage.rollout.records import Entry

if TYPE_CHECKING:
    from spindle.actors.tools.hooks.turn_hooks import Beginning
    from spindle.actors.turn.guardian import Guardian
    from spindle.rpc.protocol.notifications import ThreadNotification


class LiveTurnHost:
    """The host of `turn` in `thread`, with the turn's settings, its hooks and what is known of its model."""

    def __init__(
        self, thread: ThreadCore, turn: LiveTurn, settings: Settings, recording: Recording, tools: ThreadTools
    ) -> None:
        self._thread, self._turn = thread, turn
        self._recording = recording
        self._state, self._services = thread.state, thread.services
        self._conversation = thread.state.conversation
        self._synced = 0
        self.settings = settings
        self.readable: Readable | None = no_file
        """Which of the thread's instruction files and skills the model may read; none until the turn has found out."""
        self.info: ModelInfo
        """What was known of the turn's model when the turn opened."""
        self.guardian: Callable[[], Guardian] | None = None
        """The reviewer of approvals, which is made when it is first asked; None until the turn can ask its model."""
        self.hooks = turn_hooks(thread, tools, self, settings)

    def known_model(self) -> ModelInfo:
        """What is known of the turn's model now."""
        config, settings = self._state.config, self.settings
        listed = self._services.model_lists.entries(settings.model_provider, config)
        return model_info(settings.model, config, listed)

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
    def work(self) -> Work:
        """See TurnHost."""
        return self._turn.work

    @property
    def cwd(self) -> str:
        """See TurnHost."""
        return self.settings.cwd

    @property
    def sandbox(self) -> SandboxPolicy:
        """See TurnHost."""
        return self.settings.sandbox

    @property
    def approval(self) -> AskForApproval:
        """See TurnHost."""
        return self.settings.approval_policy

    @property
    def mode(self) -> str:
        """See TurnHost."""
        return getattr(self.settings.collaboration_mode, "mode", "default")

    @property
    def instruments(self) -> Instruments:
        """See TurnHost."""
        return self._thread.instruments

    @property
    def tasks(self) -> BackgroundTasks:
        """See ToolHost."""
        return self._thread.tasks

    def emit(self, params: ThreadNotification) -> None:
        """See TurnHost."""
        if self._turn.suspended:
            return
        if self._turn.gathered is not None:
            self._turn.gathered.take(params)
        self._thread.emit(params)

    def carrier(self) -> dict[str, str]:
        """See TurnHost."""
        return self._thread.instruments.carrier()

    async def ask(
        self,
        params: Any,
        waiting_on: ThreadActiveFlag | None,
        about: Subject | None = None,
        *,
        repeats: str | None = None,
    ) -> object:
        """See TurnHost."""
        try:
            return await self._thread.ask(params, waiting_on, about, repeats=repeats)
        except Refusal as refusal:
            if refusal.cancels:
                raise TurnCancelled from refusal
            raise

    async def permission(self, use: Use) -> Permission | None:
        """See TurnHost."""
        return None if self.hooks is None else await self.hooks.permission(use)

    async def review(self, action: Callable[[], Reviewed], *, strict: bool = False) -> Permission | None:
        """See ToolHost."""
        settings = self.settings
        asked = settings.approval_policy == "on-request" or isinstance(settings.approval_policy, GranularApproval)
        if self.guardian is None or not (strict or (asked and settings.approvals_reviewer != "user")):
            return None
        return await self.guardian().decide(action())

    def first_turn(self) -> Beginning | None:
        """See TurnHost."""
        return first_turn(self._thread)

    def end(self) -> None:
        """See TurnHost."""
        self._turn.close()

    def cancel(self) -> None:
        """See TurnHost."""
        self._turn.interrupt()

    def record(self, *entries: Entry) -> None:
        """See TurnHost. Of a suspended turn nothing is recorded: it goes on from what is in the file."""
        if self._turn.suspended:
            return
        self._conversation.record(self._as_kept(entries))
        self._emit_raw(entries)

    async def keep(self, *entries: Entry) -> None:
        """See TurnHost."""
        if self._turn.suspended:
            return
        await self._conversation.keep(self._as_kept(entries))
        self._emit_raw(entries)

    def _as_kept(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        if self._conversation.paginated:
            return paginated(entries, self._thread.thread_id, self._turn.id)
        return entries

    def _emit_raw(self, entries: Sequence[Entry]) -> None:
        if self._state.raw_events:
            for item in records.response_items(entries):
                self.emit(RawResponseItemCompletedNotification(self._thread.thread_id, self._turn.id, item))

    def history(self) -> Sequence[bytes]:
        """See TurnHost."""
        return self._conversation.items

    async def replace_history(self, compacted: Compacted) -> None:
        """See TurnHost."""
        conversation = self._conversation
        context = conversation.last_context
        replace = partial(conversation.replace, compacted.items, compacted.summary)
        await conversation.keep(self._as_kept(compacted.entries()), replace)
        self._state.last_additional = {}
        if compacted.context != "later" and context is not None:
            self.record(records.turn_context(context))
        if conversation.usage is not None:
            self._account({**conversation.usage, "last_token_usage": compacted.usage()})
        self.record(records.context_compacted())

    def last_summary(self) -> str | None:
        """See TurnHost."""
        return self._conversation.summary

    def context(self) -> Sequence[dict[str, Any]]:
        """See TurnHost."""
        state, settings = self._state, self.settings
        now, included = Surroundings.of(settings, *today()), Included.of(state.config)
        return opening(settings, now, *surroundings(state, self.readable), included)

    def context_tokens(self) -> int:
        """See TurnHost."""
        last: Any = (self._conversation.usage or {}).get("last_token_usage") or {}
        return int(last.get("total_tokens") or 0)

    def next_input(self) -> TurnInput | None:
        """See TurnHost."""
        return self._turn.pending[0] if self._turn.pending else None

    def news(self, context: ContextItems) -> Sequence[dict[str, Any]]:
        """See TurnHost."""
        before, self._state.last_additional = self._state.last_additional, context
        return [item for key, item in context.items() if before.get(key) != item]

    def input_done(self) -> None:
        """See TurnHost."""
        del self._turn.pending[0]

    def partial(self, answer: object | None) -> None:
        """See TurnHost."""
        self._turn.answer = answer if isinstance(answer, Answer) else None

    def begun(self) -> None:
        """See TurnHost."""
        if (usage := self._conversation.usage) is not None:
            self.emit(token_usage(self._thread.thread_id, self._turn.id, usage))

    def answered(self, event: Completed) -> None:
        """See TurnHost."""
        if self._state.raw_events and event.response_id:
            self.emit(raw_response(self._thread.thread_id, self._turn.id, event))

    def reported(self, event: ResponseMetadata) -> None:
        """See TurnHost."""
        from spindle.actors.thread.turns.reported import notifications

        for notification in notifications(self._thread.thread_id, self._turn, event):
            self.emit(notification)

    def spend(self, usage: Usage | None, *, aside: bool = False) -> None:
        """See TurnHost."""
        if usage is None:
            return
        self._turn.usage = usage if self._turn.usage is None else self._turn.usage + usage
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
            {"total_token_usage": total, "last_token_usage": last, "model_context_window": self.info.usable_window}
        )

    def fill(self) -> None:
        """Count the context as full, so that the next turn begins with a compaction: the provider refused it as too long."""
        none = dict.fromkeys(
            ("input_tokens", "cached_input_tokens", "output_tokens", "reasoning_output_tokens", "total_tokens"), 0
        )
        total = (self._conversation.usage or {}).get("total_token_usage") or none
        last = none | {"total_tokens": max(self.info.usable_window, self.info.compact_at)}
        self._account(
            {"total_token_usage": total, "last_token_usage": last, "model_context_window": self.info.usable_window}
        )

    def _account(self, info: dict[str, Any]) -> None:
        info.pop("turn_id", None)
        self._conversation.usage, self._conversation.usage_turn = info, self._turn.id
        self.record(records.token_count(info))
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
            self._recording.settle(finish)
