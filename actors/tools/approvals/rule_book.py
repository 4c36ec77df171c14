"""The rules for commands as they stand in the home, read again when a file has changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import trio

from spindle.actors.tools.commands.rules import Rules, RulesError, allow_prefix, load_rules
from spindle.rpc.protocol.config import ConfigWarningNotification, TextPosition, TextRange

UNREADABLE = "Error parsing rules; custom rules not applied."


class RuleBook:
    """`$CODEX_HOME/rules`, for all threads of a runtime. Files are looked at in worker threads.

    `warn` is told, once for each state of the files, that they cannot be read; no rules hold then.
    """

    def __init__(self, folder: Path, warn: Callable[[ConfigWarningNotification], None]) -> None:
        self._folder, self._warn = folder, warn
        self._seen: object = None
        self._rules = Rules()
        self._lock = trio.Lock()
        self._error: RulesError | OSError | None = None
        self._told: set[str] = set()

    async def current(self) -> Rules:
        """The rules."""
        async with self._lock:
            await trio.to_thread.run_sync(self._look)
        if self._error is not None and str(self._error) not in self._told:
            self._told.add(str(self._error))
            self._warn(_warning(self._error))
        return self._rules

    async def allow(self, words: Sequence[str]) -> None:
        """Let commands that begin with `words` run from now on. Raises OSError."""
        async with self._lock:
            await trio.to_thread.run_sync(allow_prefix, self._folder, words)

    def _look(self) -> None:
        stamp = _stamp(self._folder)
        if stamp == self._seen:
            return
        self._seen, self._error = stamp, None
        try:
            self._rules = load_rules(self._folder)
        except (RulesError, OSError) as error:
            self._rules, self._error = Rules(), error


def _stamp(folder: Path) -> object:
    try:
        found = ((path, path.stat()) for path in folder.iterdir() if path.suffix == ".rules")
        return sorted((path.name, stat.st_mtime_ns, stat.st_size, stat.st_ino) for path, stat in found)
    except OSError:
        return None


def _warning(error: RulesError | OSError) -> ConfigWarningNotification:
    if isinstance(error, OSError):
        return ConfigWarningNotification(UNREADABLE, str(error), error.filename)
    where = TextRange(TextPosition(*error.start), TextPosition(*error.end))
    return ConfigWarningNotification(UNREADABLE, str(error), error.path, where)
