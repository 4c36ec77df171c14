"""The rules for commands in the home, reloaded when a file has changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import trio

from spindle.actors.tools.commands.rules import Rules, RulesError, allow_prefix, load_rules, rule_files
from spindle.rpc.protocol.config import ConfigWarningNotification, TextPosition, TextRange

UNREADABLE = "Error parsing rules; custom rules not applied."


class RuleBook:
    """`$CODEX_HOME/rules`, for all threads of a runtime. Files are read in worker threads.

    If they cannot be read, no rules hold, and `warn` is called once per error.
    """

    def __init__(self, folder: Path, warn: Callable[[ConfigWarningNotification], None]) -> None:
        self._folder, self._warn = folder, warn
        self._seen: object = None
        self._rules = Rules()
        self._lock = trio.Lock()
        self._error: RulesError | OSError | None = None
        self._warned: set[str] = set()

    async def current(self) -> Rules:
        """The current rules."""
        async with self._lock:
            found = await trio.to_thread.run_sync(_reload, self._folder, self._seen, abandon_on_cancel=True)
            if found is not None:
                self._seen, self._rules, self._error = found
        if self._error is not None and str(self._error) not in self._warned:
            self._warned.add(str(self._error))
            self._warn(_warning(self._error))
        return self._rules

    async def allow(self, words: Sequence[str]) -> None:
        """Save a rule that allows commands beginning with `words`. Raises OSError."""
        # without our lock: another process may hold the file's lock, and reading must not wait for that
        await trio.to_thread.run_sync(allow_prefix, self._folder, words)


def _reload(folder: Path, seen: object) -> tuple[object, Rules, RulesError | OSError | None] | None:
    """(stamp, rules, the error if there are none); None if nothing has changed since the stamp `seen`."""
    try:
        stats = [(path.name, path.stat()) for path in rule_files(folder)]
    except OSError as error:
        return None if seen == str(error) else (str(error), Rules(), error)
    stamp = [(name, stat.st_mtime_ns, stat.st_size, stat.st_ino) for name, stat in stats]
    if stamp == seen:
        return None
    try:
        return stamp, load_rules(folder), None
    except (RulesError, OSError) as error:
        return stamp, Rules(), error


def _warning(error: RulesError | OSError) -> ConfigWarningNotification:
    if isinstance(error, OSError):
        return ConfigWarningNotification(UNREADABLE, str(error), error.filename)
    where = TextRange(TextPosition(*error.start), TextPosition(*error.end))
    return ConfigWarningNotification(UNREADABLE, str(error), error.path, where)
