"""The turns of a thread, one at a time: how they start, take input, are interrupted, and let the next one start."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextvars import Context, copy_context
from functools import partial
from typing import Any

import trio
from attrs import evolve
from uuid_utils import uuid7

from spindle.actors.kernel.mailbox import Ask
from spindle.actors.settings.allowed import check
from spindle.actors.settings.catalogue import model_info
from spindle.actors.settings.readable import readable_files
from spindle.actors.settings.requests import changed
from spindle.actors.settings.settings import Settings
from spindle.actors.thread.agents.child import Membership
from spindle.actors.thread.core import ThreadCore
from spindle.actors.thread.messages import Compact, InterruptTurn, RevertTurns, Review, RunScript, StartTurn, SteerTurn
from spindle.actors.thread.recording import Recording
from spindle.actors.thread.reloading import Reloading
from spindle.actors.thread.servers import ThreadServers
from spindle.actors.thread.tools import ThreadTools
from spindle.actors.thread.turns.live import LiveTurn
from spindle.actors.thread.turns.suspended import find
from spindle.actors.thread.turns.task import TurnTask
from spindle.actors.thread.turns.watch import TurnWatch
from spindle.actors.thread.view import one_turn
from spindle.actors.tools.commands.shell_tools import UsersCommand
from spindle.actors.turn.host import TurnInput
from spindle.actors.turn.review import label
from spindle.actors.turn.user_input import to_response_item
from spindle.rpc.protocol.errors import ThreadNotFound, invalid_request, overloaded
from spindle.rpc.protocol.items import UserMessageItem
from spindle.rpc.protocol.threads import ActiveStatus
from spindle.rpc.protocol.turns import Turn, TurnError, TurnStartParams
from spindle.rpc.protocol.user_input import AudioInput, LocalAudioInput, SkillInput, TextInput, UserInput
from spindle.rpc.weighing import weigh

WAITING = 64
"""How many requests of one kind may wait for the end of a turn. More are refused as overload."""
PENDING = 256
"""How many inputs may wait in a turn to be sent to the model."""
PENDING_WEIGHT = 32 * 1024 * 1024
"""How many bytes they may have, without the last one."""

OTHER_BOUNDS = "the agent runs a turn with permissions that are not yours now: wait for its end, or interrupt it"


class TurnQueue:
    """The turns of one thread: the running one, and the requests that wait for its end."""

    def __init__(
        self,
        thread: ThreadCore,
        recording: Recording,
        tools: ThreadTools,
        servers: ThreadServers,
        membership: Membership,
        reloading: Reloading,
    ) -> None:
        self._thread = thread
        self._recording = recording
        self._tools = tools
        self._servers = servers
        self._membership = membership
        self._reloading = reloading
        self.waiting: list[StartTurn | Compact | Review | RunScript] = []  # few; an empty deque takes 760 bytes
        """Requests for turns that wait for the end of the running one, oldest first."""
        self.reverting: list[RevertTurns] = []
        """Reverts that wait for the end of the running turn."""
        self.interrupted = False
        """Whether the last turn was interrupted."""

    async def recall(self) -> None:
        """Continue the turn that was suspended, if there is one. It acts when `go_on` is called."""
        thread = self._thread
        if thread.turn is not None or thread.state.ephemeral:
            return
        suspended = await find(thread.services.state, thread.thread_id, thread.state.conversation.cut_off_turn)
        if suspended is not None and thread.turn is None:
            thread.lost = True
            thread.set_status(ActiveStatus())
            self._begin(suspended.id, suspended.params, None, copy_context(), resumed=suspended)

    def go_on(self) -> None:
        """The clients that are to see what a continued turn does have been admitted."""
        if self._thread.turn is not None:
            self._thread.turn.watched.set()

    async def start_turn(self, message: StartTurn) -> None:
        """Start a turn, or add the input to the running one. If that takes no more input, the request waits for its end.

        Its settings hold for later turns, also if it joins one. A caller that has withdrawn starts nothing. A message that a
        turn took before changes nothing, and the answer is that turn. Raises RpcError for settings that are invalid or not
        allowed, and if the running turn's bounds are not those of the asking thread.
        """
        thread = self._thread
        state, client_id = thread.state, message.params.client_user_message_id
        if (taker := await self._taker(client_id)) is not None:
            message.reply.resolve(taker)
            return
        if thread.turn is None:
            await self._reloading.settled()
        settings = changed(evolve(state.settings, **message.bounds), message.params, state.config, thread.services.cwd)
        check(settings, state.config.requirements)
        given = None
        if thread.turn is None or thread.turn.joinable:
            given = await self._given(message.params, settings)
        if withdrawn(message):
            message.reply.reject(invalid_request("the turn has been withdrawn"))
        elif given is None or (thread.turn is not None and not thread.turn.joinable):
            self._wait(message)
        elif thread.turn is not None:
            if any(getattr(thread.turn.settings, name) != value for name, value in message.bounds.items()):
                raise invalid_request(OTHER_BOUNDS)
            params = message.params
            thread.turn.tell_provider(params.responsesapi_client_metadata, params.responsesapi_client_metadata_patch)
            await _join(thread.turn, given)
            thread.adopt(settings)
            self._watch(thread.turn, message.watch)
            message.reply.resolve(thread.turn.accepted())
        else:
            thread.adopt(settings)
            turn = self._begin(str(uuid7()), message.params, given, message.context)
            self._watch(turn, message.watch)
            message.reply.resolve(turn.accepted())

    async def read_input(self, content: Sequence[UserInput], client_id: str) -> TurnInput:
        """Input for a turn with the thread's settings, which begins when no reload is under way. Raises RpcError."""
        await self._reloading.settled()
        return await self._input(content, self._thread.state.settings, client_id)

    def begin(self, turn_id: str, params: TurnStartParams, given: TurnInput, context: Context) -> LiveTurn:
        """Start the turn `turn_id` for the thread's clients, where none runs or waits."""
        turn = self._begin(turn_id, params, given, context)
        self._watch(turn, None)
        return turn

    def start_compaction(self, message: Compact) -> None:
        """Start a compaction, as a turn of its own, when no other turn runs. A caller that has withdrawn starts nothing."""
        thread = self._thread
        if thread.turn is None and not withdrawn(message):
            params = TurnStartParams(thread_id=thread.thread_id, input=())
            self._watch(self._begin(message.turn_id, params, None, message.context), message.watch)
        elif not withdrawn(message):
            self._wait(message)
            if message.watch is not None:
                message.watch.reply.track(thread.mailbox.replies)
        message.reply.resolve(None)

    def start_review(self, message: Review) -> None:
        """Start a review, as a turn of its own, when no other turn runs. Raises RpcError if too many requests wait."""
        thread = self._thread
        if thread.turn is None:
            params = TurnStartParams(thread_id=thread.thread_id, input=())
            self._begin(message.turn_id, params, None, message.context, review=message.target)
        else:
            self._wait(message)
        shown = UserMessageItem(id=message.turn_id, content=(TextInput(label(message.target)),))
        message.reply.resolve(Turn(message.turn_id, items=(shown,), items_view="notLoaded"))

    def run_script(self, message: RunScript) -> None:
        """Run a command of the user: in the running turn, if that takes input, or in a turn of its own."""
        thread = self._thread
        command = UsersCommand(message.script, message.timeout_ms)
        if thread.turn is None:
            params = TurnStartParams(thread_id=thread.thread_id, input=())
            self._begin(str(uuid7()), params, None, message.context, script=command)
        elif thread.turn.joinable:
            if thread.turn.open_scripts >= WAITING:
                raise overloaded()
            thread.turn.run_beside(command)
        else:
            self._wait(message)
        message.reply.resolve(None)

    def revert_when_ended(self, message: RevertTurns) -> None:
        """Interrupt the running turn, and handle the revert when its record is closed."""
        turn = self._thread.turn
        if len(self.reverting) >= WAITING:
            raise overloaded()
        self.reverting.append(message)
        assert turn is not None
        turn.interrupt()

    async def steer(self, message: SteerTurn) -> None:
        """Add input to the running turn, if it is the expected one. Raises RpcError if it does not run or takes no input."""
        thread = self._thread
        if (taker := await self._taker(message.client_id)) is not None:
            message.reply.resolve(taker.id)
            return
        settings = thread.turn.settings if thread.turn else thread.state.settings
        given = await self._input(message.content, settings, message.client_id)
        if message.context:
            from spindle.actors.turn.additional_context import context_items

            given = evolve(given, context=context_items(message.context))
        turn = thread.turn
        if turn is None or not turn.takes_input or turn.script is not None:
            raise invalid_request("no active turn to steer")
        if message.expected_turn_id not in (None, turn.id):
            raise invalid_request(f"expected active turn id `{message.expected_turn_id}` but found `{turn.id}`")
        if turn.kind != "regular":
            text = f"cannot steer a {turn.kind} turn"
            info = {"activeTurnNotSteerable": {"turnKind": turn.kind}}
            raise invalid_request(text, TurnError(text, info))
        turn.tell_provider(message.metadata, message.metadata_patch)
        await _join(turn, given)
        message.reply.resolve(turn.id)

    def interrupt(self, message: InterruptTurn) -> None:
        """Interrupt the running turn. Raises RpcError if none runs, or not the named one."""
        turn = self._thread.turn
        if turn is None or not turn.at_work:
            raise invalid_request("no active turn to interrupt")
        if message.turn_id not in (None, turn.id):
            raise invalid_request(f"expected active turn id `{message.turn_id}` but found `{turn.id}`")
        message.reply.resolve(None)
        turn.interrupt()

    def ended(self) -> None:
        """Release the running turn: its record is closed."""
        turn, self._thread.turn = self._thread.turn, None
        if turn is not None:
            self.interrupted = turn.result is not None and turn.result.status == "interrupted"
            turn.release()

    def due(self) -> Iterator[Ask[Any]]:
        """The requests that waited for the turn, to be handled one after the other. What cannot start yet waits again."""
        reverting, self.reverting = self.reverting, []
        yield from reverting
        for _ in range(len(self.waiting)):
            if self.waiting:  # some may have been withdrawn meanwhile
                yield self.waiting.pop(0)

    def refuse(self) -> None:
        """Refuse the requests that waited for the turn: the thread ends."""
        reverting, self.reverting = self.reverting, []
        late: list[Ask[Any]] = [*reverting, *self.waiting]
        for message in late:
            message.reply.reject(ThreadNotFound(f"thread not found: {self._thread.thread_id}"))

    def _wait(self, message: StartTurn | Compact | Review | RunScript) -> None:
        """Keep a request until the running turn has ended, and drop withdrawn ones. Raises RpcError if too many wait."""
        for stale in [other for other in self.waiting if withdrawn(other)]:
            self.waiting.remove(stale)
            if isinstance(stale, StartTurn):
                stale.reply.reject(invalid_request("the turn has been withdrawn"))
        if len(self.waiting) >= WAITING:
            raise overloaded()
        self.waiting.append(message)

    def _watch(self, turn: LiveTurn, watch: TurnWatch | None) -> None:
        if watch is None:
            turn.clients = True
        else:
            watch.reply.track(self._thread.mailbox.replies)
            turn.watch(watch)

    def _begin(
        self, turn_id: str, params: TurnStartParams, given: TurnInput | None, context: Context, **kind: Any
    ) -> LiveTurn:
        thread = self._thread
        turn = LiveTurn(turn_id, params, given, **kind)
        task = TurnTask(thread, turn, self._recording, self._tools, self._servers, self._membership)
        thread.turn = turn
        if turn.kind == "regular":
            self._membership.turn_began()
        context.run(thread.tasks.start_soon, task.run)  # the task gets a copy of it
        return turn

    async def _taker(self, client_id: str | None) -> Turn | None:
        """The turn, without items, that took the message with this id of its client before; None if none did."""
        if client_id is None:
            return None
        if (live := self._thread.turn) is not None and client_id in live.client_ids:
            return live.accepted()
        conversation = self._thread.state.conversation
        if (id := await conversation.turn_of(client_id)) is None:
            return None
        shown = await one_turn(await conversation.snapshot(live.id if live else None), id)
        return evolve(shown or Turn(id), items=(), items_view="notLoaded")

    async def _given(self, params: TurnStartParams, settings: Settings) -> TurnInput:
        """What a request gives a turn. Raises RpcError."""
        client_id = params.client_user_message_id
        if not params.additional_context and params.tool_output is None:
            return await self._input(params.input, settings, client_id)
        from spindle.actors.turn.additional_context import context_items, output_item, shown_output

        context, output = context_items(params.additional_context), params.tool_output
        if output is not None:
            return TurnInput((), output_item(output), (), client_id, context, shown_output(output))
        return evolve(await self._input(params.input, settings, client_id), context=context)

    def _modalities(self, content: Sequence[UserInput], settings: Settings) -> Sequence[str]:
        """The input modalities of the model, as far as they matter."""
        if not any(isinstance(part, AudioInput | LocalAudioInput) for part in content):
            return ()
        config = self._thread.state.config
        listed = self._thread.services.model_lists.entries(settings.model_provider, config)
        return model_info(settings.model, config, listed).modalities

    async def _input(self, content: Sequence[UserInput], settings: Settings, client_id: str | None) -> TurnInput:
        """The input with the images, skills and plugins that it mentions, if a turn with `settings` may read them."""
        thread = self._thread
        skills, state = thread.services.skills, thread.state
        mentions = any(isinstance(part, SkillInput) or (isinstance(part, TextInput) and "$" in part.text) for part in content)
        readable = readable_files(thread.services.home, settings, self._tools.granted)
        item = await to_response_item(content, readable, self._modalities(content, settings))
        added: list[dict[str, Any]] = []
        if mentions:
            find = partial(skills.mentioned, content, state.settings.cwd, state.config.raw, readable, state.config.plugins)
            added += await trio.to_thread.run_sync(find, abandon_on_cancel=True)
        if state.config.plugins:
            from spindle.actors.services.plugin_mentions import mentioned

            added += mentioned(content, state.config)
        return TurnInput(content, item, added, client_id)


def withdrawn(message: object) -> bool:
    """Whether the caller of a message has withdrawn."""
    return isinstance(message, StartTurn | Compact) and message.watch is not None and message.watch.withdrawn


async def _join(turn: LiveTurn, given: TurnInput) -> None:
    if len(turn.pending) >= PENDING or sum(weigh((one.item, one.context)) for one in turn.pending) > PENDING_WEIGHT:
        raise overloaded()
    turn.pending.append(given)
    if given.client_id is not None:
        turn.client_ids.add(given.client_id)
    if turn.waiting is not None and turn.waiting.stored:
        await turn.waiting.save()
