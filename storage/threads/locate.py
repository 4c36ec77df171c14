"""Finding rollout files by name.

They are `rollout-YYYY-MM-DDTHH-MM-SS-<thread id>.jsonl` below `sessions/YYYY/MM/DD`, and flat in the archive; compressed
ones end in `.jsonl.zst`.
The time in the name is the local time of the machine that made the thread, in whole seconds.
"""

import os
import re
import uuid
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from attrs import frozen

from spindle.storage.home import Home
from spindle.storage.rollout.compressed import SUFFIX

_NAME = re.compile(r"rollout-(\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d)-([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.jsonl(?:\.zst)?")


@frozen
class RolloutName:
    """What a rollout's file name tells: `stamp` as written (`YYYY-MM-DDTHH-MM-SS`) and the thread id."""

    stamp: str
    thread_id: str

    @classmethod
    def parse(cls, name: str) -> "RolloutName | None":
        """Read a file name; None when it is not a rollout's."""
        match = _NAME.fullmatch(name)
        return None if match is None else cls(match[1], match[2])

    @property
    def day(self) -> tuple[str, str, str]:
        """Year, month and day: the folders below `sessions/`."""
        return self.stamp[:4], self.stamp[5:7], self.stamp[8:10]

    @property
    def millis(self) -> int:
        """The stamp in milliseconds, counted as if it were UTC; raises ValueError for a date that does not exist."""
        date, _, time = self.stamp.partition("T")
        # fromisoformat is several times faster than strptime, and a search asks this of every file.
        return int(datetime.fromisoformat(f"{date}T{time.replace('-', ':')}+00:00").timestamp()) * 1000


def locate(home: Home, thread_id: str) -> Path | None:
    """The rollout of a thread that is not archived, or None. Raises OSError if the folders cannot be read.

    A version 7 id tells the day, so the common case looks into at most three folders; the rest are walked otherwise.
    """
    tried: set[Path] = set()
    for day in _likely_days(thread_id):
        folder = home.sessions / day
        tried.add(folder)
        if (found := _in_folder(folder, thread_id)) is not None:
            return found
    for folder in day_folders(home.sessions, newest_first=True):
        if folder not in tried and (found := _in_folder(folder, thread_id)) is not None:
            return found
    return None


def locate_archived(home: Home, thread_id: str) -> Path | None:
    """The rollout of an archived thread, or None. Raises OSError if the folder cannot be read."""
    return _in_folder(home.archived_sessions, thread_id)


def day_folders(sessions: Path, *, newest_first: bool) -> Iterator[Path]:
    """The `YYYY/MM/DD` folders below `sessions`, lazily, in the order of their dates."""
    for year in _numbered(sessions, 4, newest_first):
        for month in _numbered(year, 2, newest_first):
            yield from _numbered(month, 2, newest_first)


def rollouts_in(folder: Path) -> list[tuple[RolloutName, str]]:
    """Every rollout directly in `folder` with its path, in no order. A missing folder is empty.

    A compressed file beside its plain one is left out.
    """
    try:
        names = rollout_names(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []
    prefix = f"{folder}{os.sep}"
    return [(parsed, prefix + name) for name in names if (parsed := RolloutName.parse(name)) is not None]


def rollout_names(names: Iterable[str]) -> set[str]:
    """Those of a folder's names that may be rollouts, without compressed ones that have their plain one beside them."""
    found = {name for name in names if name.startswith("rollout-")}
    return found - {plain + SUFFIX for plain in found if plain + SUFFIX in found}


def _in_folder(folder: Path, thread_id: str) -> Path | None:
    wanted = thread_id.lower()
    for name, path in rollouts_in(folder):
        if name.thread_id == wanted:
            return Path(path)
    return None


def _numbered(folder: Path, digits: int, newest_first: bool) -> list[Path]:
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
    wanted = [name for name in names if len(name) == digits and name.isdecimal()]
    return [folder / name for name in sorted(wanted, reverse=newest_first)]


def _likely_days(thread_id: str) -> list[str]:
    try:
        value = uuid.UUID(thread_id)
    except ValueError:
        return []
    if value.version != 7:
        return []
    made = datetime.fromtimestamp((value.int >> 80) / 1000, UTC)
    # The folder is named in local time, whatever that was then: a day either way.
    return [(made + timedelta(days=shift)).strftime("%Y/%m/%d") for shift in (0, 1, -1)]
