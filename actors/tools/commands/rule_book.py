"""The rules for commands in the home, `$CODEX_HOME/rules/*.rules`: reloaded when a file has changed, and added to."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

import trio

from spindle.actors.tools.commands.rules import Rules
from spindle.actors.tools.commands.rules_file import RulesError, parse_rules
from spindle.rpc.protocol.config import ConfigWarningNotification, TextPosition, TextRange
from spindle.rpc.protocol.values import clean
from spindle.storage.durable import append_all, make_folder, sync_folder
from spindle.storage.locks import release, wait_for
from spindle.storage.outside import TEXT, read_file, read_open
from spindle.storage.regular import regular

FILE: Final = "default.rules"
"""The file for amendments."""
MOST_FILES: Final = 1_000
"""The most entries in the folder of rules."""
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


def rule_files(folder: Path) -> list[Path]:
    """The `*.rules` of `folder`, sorted by name; none if it does not exist. Blocks. Raises OSError, also for too many."""
    try:
        with os.scandir(folder) as entries:
            paths = [folder / entry.name for entry in islice(entries, MOST_FILES + 1)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    if len(paths) > MOST_FILES:
        raise OSError(errno.EFBIG, f"there are more than {MOST_FILES} files in this folder", str(folder))
    return sorted(path for path in paths if path.suffix == ".rules" and path.is_file())


def load_rules(folder: Path) -> Rules:
    """The rules of all `*.rules` in `folder`, sorted by name. Blocks. Raises RulesError, OSError."""
    rules = Rules()
    for path in rule_files(folder):
        read = parse_rules(read_file(path, TEXT).decode("utf-8", "replace"), clean(str(path)))
        rules = Rules([*rules.rules, *read.rules], {**rules.executables, **read.executables})
    return rules


def allow_prefix(folder: Path, words: Sequence[str]) -> None:
    """Append a rule that allows commands beginning with `words` to `default.rules`, unless it is there. Blocks.

    It is on disk when this returns. The file is locked, because processes may share a home. Raises OSError.
    """
    if not words:
        raise ValueError("a rule needs at least one word")
    pattern = ", ".join(json.dumps(word, ensure_ascii=False) for word in words)
    line = f'prefix_rule(pattern=[{pattern}], decision="allow")'
    make_folder(folder)
    path = folder / FILE
    fd = regular(str(path), os.O_RDWR | os.O_APPEND | os.O_CREAT)
    try:
        wait_for(fd, path)
        text = read_open(fd, path, TEXT)
        if line.encode() in text.split(b"\n"):
            return
        separator = b"\n" if text and not text.endswith(b"\n") else b""
        append_all(fd, separator + line.encode() + b"\n")
        if not text:
            sync_folder(folder)
    finally:
        release(fd)
