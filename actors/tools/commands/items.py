"""A command as an item for clients and the rollout: started, output, completed, in this order and once each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from attrs import evolve

from spindle.actors.tools.commands import quoting
from spindle.actors.tools.commands.actions import command_actions
from spindle.actors.tools.interface import CommandHost, Use
from spindle.actors.tools.notifications import emit_completed, emit_started
from spindle.rpc.protocol.items import (
    CommandAction,
    CommandExecutionItem,
    CommandExecutionSource,
    ListFilesAction,
    ReadAction,
    SearchAction,
)
from spindle.rpc.protocol.turns import (
    CommandExecutionOutputDeltaNotification,
    TerminalInteractionNotification,
)
from spindle.storage.rollout import records
from spindle.storage.rollout.records import Entry

_SOURCES: Final[Mapping[CommandExecutionSource, str]] = {
    "agent": "agent",
    "userShell": "user_shell",
    "unifiedExecStartup": "unified_exec_startup",
    "unifiedExecInteraction": "unified_exec_interaction",
}


def parsed_command(action: CommandAction) -> dict[str, Any]:
    """An action in the form of rollouts."""
    match action:
        case ReadAction():
            return {"type": "read", "cmd": action.command, "name": action.name, "path": action.path}
        case ListFilesAction():
            return {"type": "list_files", "cmd": action.command, "path": action.path}
        case SearchAction():
            return {"type": "search", "cmd": action.command, "query": action.query, "path": action.path}
        case _:
            return {"type": "unknown", "cmd": action.command}


class CommandItem:
    """The item of one command. Any method may be called at any time; a late or second call has no effect."""

    def __init__(
        self,
        host: CommandHost,
        item_id: str,
        argv: Sequence[str],
        cwd: str,
        *,
        source: CommandExecutionSource = "agent",
        process_id: str | None = None,
    ) -> None:
        self.host, self.argv = host, list(argv)
        self.item = CommandExecutionItem(
            id=item_id,
            command=quoting.join(argv),
            cwd=cwd,
            process_id=process_id,
            source=source,
            command_actions=command_actions(argv, cwd),
        )
        self._started = self._completed = False
        self.use: Use | None = None
        """The command as hooks receive it, for the call that sees its end."""

    def start(self, *, asked: bool = False) -> None:
        """Emit item/started: before the command runs, or, if `asked`, before the user is asked."""
        if not self._started:
            self._started = True
            shown = self._not_running() if asked else self.item
            emit_started(self.host, shown)

    def delta(self, text: str) -> None:
        """Emit a piece of output."""
        if text and self._started and not self._completed:
            self.host.emit(
                CommandExecutionOutputDeltaNotification(self.host.thread_id, self.host.turn_id, self.item.id, text)
            )

    def interaction(self, host: CommandHost, stdin: str) -> None:
        """The model wrote `stdin` or polled, in the turn of `host`, maybe a later one."""
        host.emit(
            TerminalInteractionNotification(
                host.thread_id, host.turn_id, self.item.id, self.item.process_id or "", stdin
            )
        )

    def complete(self, exit_code: int, output: str, seconds: float) -> None:
        """The command has ended; exit code -1 for a signal. Recorded, then emitted."""
        self._end("completed" if exit_code == 0 else "failed", exit_code, output, seconds)

    def decline(self, reason: str = "") -> None:
        """The command does not run; `reason` is its output."""
        self._end("declined", None, reason, 0.0)

    def _not_running(self) -> CommandExecutionItem:
        """The item without a process, and so without a session."""
        source: CommandExecutionSource = "agent" if self.item.source == "unifiedExecStartup" else self.item.source
        return evolve(self.item, process_id=None, source=source)

    def _end(
        self, status: Literal["completed", "failed", "declined"], exit_code: int | None, output: str, seconds: float
    ) -> None:
        if self._completed:
            return
        ran = exit_code is not None
        self.start(asked=not ran)
        self._completed = True
        self.item = evolve(
            self.item if ran else self._not_running(),
            status=status,
            exit_code=exit_code,
            aggregated_output=output or None,
            duration_ms=int(seconds * 1000) if ran else None,
        )
        self.host.record(self._event(exit_code, output, seconds))
        emit_completed(self.host, self.item)

    def _event(self, exit_code: int | None, output: str, seconds: float) -> Entry:
        return records.exec_command_end(
            call_id=self.item.id,
            process_id=self.item.process_id,
            turn_id=self.host.turn_id,
            command=self.argv,
            cwd=self.item.cwd,
            parsed_cmd=[parsed_command(action) for action in self.item.command_actions],
            source=_SOURCES[self.item.source],
            output=output,
            exit_code=exit_code,
            nanoseconds=int(seconds * 1_000_000_000),
            status=self.item.status,
        )
