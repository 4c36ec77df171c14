"""Sessions of `exec_command` and `write_stdin`: commands that may run longer than their call.

A call waits for its yield time. If the command ends before that, the answer has its exit code, and the caller completes its
item (after a retry without the sandbox, if any). Otherwise it becomes a session with a number: it can be polled and written
to, and completes its item itself.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Sequence
from typing import Final

import trio
from attrs import define, field

from spindle.actors.tools.commands.decision import ENTER
from spindle.actors.tools.commands.execution import Around, Execution, plain
from spindle.actors.tools.commands.items import CommandItem
from spindle.actors.tools.commands.process import Command, Warden
from spindle.actors.tools.interface import BackgroundTasks, CommandHost, Use
from spindle.actors.tools.truncation import DEFAULT_LIMIT, Limit, shown_to_model, token_count
from spindle.rpc.lazy_class import frozen

log = logging.getLogger("spindle")

MOST: Final = 64
"""The most sessions; a new one ends the least recently used."""
WARN: Final = 60
_PROTECTED: Final = 8  # so many recently used sessions are never ended for a new one
_SHORTEST, _SHORTEST_POLL, _LONGEST = 250, 5_000, 30_000
LONGEST_POLL: Final = 300_000
"""Milliseconds; `background_terminal_max_timeout` of config.toml."""
EXEC_YIELD: Final = 10_000
WRITE_YIELD: Final = 250
_LINE: Final = 4096  # characters; the longest line of a terminal
_WRITING: Final = 5.0  # seconds that a terminal may take to accept input


class UnknownSession(Exception):
    """There is no session with this number, or its exit code was already returned."""

    def __init__(self, session_id: str) -> None:
        super().__init__(f"Unknown process id {session_id}")


class InputRefused(Exception):
    """The session cannot be written to; the text says why."""


@frozen
class CommandOutcome:
    """The result of a call: `session_id` while the command runs, `exit_code` after its end."""

    output: str
    seconds: float
    session_id: str | None = None
    exit_code: int | None = None
    use: Use | None = None
    """The command as hooks receive it, if it has ended and an earlier call started it."""
    chunk_id: str = field(factory=lambda: f"{random.getrandbits(24):06x}")

    def text(self, limit: Limit = DEFAULT_LIMIT) -> str:
        """The answer to the model, with the output truncated to `limit`."""
        state = (
            f"Process exited with code {self.exit_code}"
            if self.session_id is None
            else f"Process running with session ID {self.session_id}"
        )
        return (
            f"Chunk ID: {self.chunk_id}\nWall time: {self.seconds:.4f} seconds\n{state}\n"
            f"Original token count: {token_count(self.output)}\nOutput:\n{self.shown(limit)}"
        )

    def shown(self, limit: Limit = DEFAULT_LIMIT) -> str:
        """The output, truncated to `limit`."""
        return shown_to_model(self.output, limit)


@define(eq=False)
class Session:
    """A command with a number. `line` is the typed part of a line that is not ended."""

    id: str
    item: CommandItem
    execution: Execution
    line: str = ""

    def typed(self, chars: str) -> None:
        """Add typed characters to `line`."""
        self.line = ENTER.split(self.line + chars)[-1][-_LINE:]


@frozen
class Terminal:
    """A running session, for clients."""

    item_id: str
    process_id: str
    command: str
    cwd: str
    os_pid: int | None


def exec_yield(milliseconds: int | None) -> float:
    """Seconds that `exec_command` waits."""
    return min(max(EXEC_YIELD if milliseconds is None else milliseconds, _SHORTEST), _LONGEST) / 1000


def write_yield(milliseconds: int | None, *, poll: bool, longest_poll: int = LONGEST_POLL) -> float:
    """Seconds that `write_stdin` waits; longer for a poll."""
    wanted = max(WRITE_YIELD if milliseconds is None else milliseconds, _SHORTEST)
    return (min(max(wanted, _SHORTEST_POLL), longest_poll) if poll else min(wanted, _LONGEST)) / 1000


class Sessions:
    """The sessions of one `Runner`; their commands run in `nursery` and end with it."""

    def __init__(
        self, warden: Warden, nursery: BackgroundTasks, *, choose: Callable[[int, int], int] | None = None
    ) -> None:
        self._warden, self._nursery = warden, nursery
        self._choose = choose or random.randint
        self._sessions: dict[str, Session] = {}  # the most recently used is last
        self._reserved: set[str] = set()

    def new_id(self) -> str:
        """An unused number for the next command."""
        while (chosen := str(self._choose(1_000, 99_999))) in self._reserved:
            pass
        self._reserved.add(chosen)
        return chosen

    def release(self, session_id: str) -> None:
        """Free a number whose command does not run."""
        self._reserved.discard(session_id)

    async def execute(
        self, item: CommandItem, command: Command, seconds: float, *, around: Around = plain
    ) -> CommandOutcome:
        """Run `command` for `item`, whose process id is from `new_id`, and wait at most `seconds`.

        Raises OSError if it cannot be started, and what `around` raises. If cancelled, it kills the command and completes
        the item.
        """
        session_id = item.item.process_id or self.new_id()
        self._reserved.add(session_id)
        item.start()
        execution = Execution(self._warden, command, emit=item.delta, room=item.host.room, around=around)
        try:
            await self._nursery.start(execution.run)
            await _until_exit(execution, seconds)
        except trio.Cancelled:
            await execution.end()
            self.release(session_id)
            item.complete(execution.exit_code, execution.transcript.text(), execution.seconds)
            raise
        if execution.exited.is_set():
            self.release(session_id)
            return CommandOutcome(execution.unread.take(), execution.elapsed, None, execution.exit_code)
        session = Session(session_id, item, execution)
        self._make_room()
        self._sessions[session_id] = session
        self._reserved.add(session_id)
        self._nursery.start_soon(self._complete, session)
        return CommandOutcome(execution.unread.take(), execution.elapsed, session_id)

    def find(self, session_id: str) -> Session:
        """The session with this number. Raises UnknownSession."""
        if (session := self._sessions.get(session_id)) is None:
            raise UnknownSession(session_id)
        return session

    async def write_stdin(self, host: CommandHost, session_id: str, chars: str, seconds: float) -> CommandOutcome:
        """Write to a session, or poll it, and wait at most `seconds`. Raises UnknownSession, InputRefused."""
        session = self.find(session_id)
        self._sessions[session_id] = self._sessions.pop(session_id)
        execution = session.execution
        if chars and not execution.command.tty:
            raise InputRefused("stdin is closed for this session; rerun exec_command with tty=true to keep stdin open")
        session.item.interaction(host, chars)
        began = trio.current_time()
        if chars:
            session.typed(chars)
            await _type(execution, chars)
        await _until_exit(execution, seconds)
        waited = trio.current_time() - began
        if execution.exited.is_set():
            self._forget(session)
            return CommandOutcome(execution.unread.take(), waited, None, execution.exit_code, session.item.use)
        return CommandOutcome(execution.unread.take(), waited, session_id)

    @property
    def warning(self) -> str | None:
        """A warning for the model if it keeps many sessions."""
        if len(self._sessions) < WARN:
            return None
        return (
            f"The maximum number of unified exec processes you can keep open is {WARN} and you currently have "
            f"{len(self._sessions)} processes open. Reuse older processes or close them to prevent automatic pruning of "
            "old processes"
        )

    def terminals(self) -> list[Terminal]:
        """The running sessions, least recently used first."""
        return [
            Terminal(s.item.item.id, s.id, s.item.item.command, s.item.item.cwd, s.execution.pid)
            for s in self._running()
        ]

    async def terminate(self, session_id: str) -> bool:
        """End one session and all that it started; False if it does not run."""
        session = self._sessions.get(session_id)
        if session is None or session.execution.exited.is_set():
            return False
        await self._end([session])
        return True

    async def clean(self) -> None:
        """End all sessions."""
        await self._end(self._running())
        for session in list(self._sessions.values()):
            self._forget(session)

    async def _end(self, sessions: Sequence[Session]) -> None:
        for session in sessions:
            session.execution.kill()
        for session in sessions:
            await session.execution.end()
            self._forget(session)

    def _running(self) -> list[Session]:
        return [session for session in self._sessions.values() if not session.execution.exited.is_set()]

    def _forget(self, session: Session) -> None:
        if self._sessions.get(session.id) is session:
            del self._sessions[session.id]
            self._reserved.discard(session.id)

    def _make_room(self) -> None:
        """End the least recently used session if there are too many; prefer one whose command has ended."""
        if len(self._sessions) < MOST:
            return
        old = list(self._sessions.values())[:-_PROTECTED]
        session = next((session for session in old if session.execution.exited.is_set()), old[0])
        session.execution.kill()
        self._forget(session)

    async def _complete(self, session: Session) -> None:
        """Wait for the end of a session and complete its item, also if this is cancelled."""
        execution = session.execution
        with trio.CancelScope(shield=True):  # bounded: the execution is cancelled too
            await execution.exited.wait()
        output = execution.transcript.take()  # the session stays until its exit code is returned

        def finish() -> None:
            try:
                session.item.complete(execution.exit_code, output, execution.seconds)
            except Exception:
                id, thread_id = session.item.item.id, session.item.host.thread_id
                log.exception("thread %s: the end of command %s could not be recorded", thread_id, id)

        session.item.host.settle(finish)


async def _until_exit(execution: Execution, seconds: float) -> None:
    with trio.move_on_after(seconds):
        await execution.exited.wait()


async def _type(execution: Execution, chars: str) -> None:
    try:
        with trio.fail_after(_WRITING):
            await execution.write(chars.encode())
    except trio.TooSlowError:
        raise InputRefused("failed to write to stdin: the command does not read its input") from None
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        pass  # it is ending; the caller waits for that
