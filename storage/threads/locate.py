"""Find rollout files by name.

They are `rollout-YYYY-MM-DDTHH-MM-SS-<thread id>.jsonl` below `sessions/YYYY/MM/DD`, and flat in the archive;
compressed files end in `.jsonl.zst`. The time in the name is the local time of the machine that created the file, in
whole seconds.

A "paginated" thread that was reverted continues in another file, a segment, named `…-<thread id>_<segment id>.jsonl`.
The newest file is in force, and starts with a part of an older one. Other files refer to a file by its rollout id: the
segment id, or the thread id for the first file.
"""

import os
import re
import uuid
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from spindle.rpc.lazy_class import frozen
from spindle.storage.home import Home
from spindle.storage.rollout.compressed import SUFFIX, open_rollout
from spindle.storage.threads.thread_errors import is_passing

_ID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_NAME = re.compile(rf"rollout-(\d{{4}}-\d\d-\d\dT\d\d-\d\d-\d\d)-({_ID})(?:_({_ID}))?\.jsonl(?:\.zst)?")
_ID_AT = len("rollout-YYYY-MM-DDTHH-MM-SS-")
_SEGMENT_AT = _ID_AT + 36
# {"timestamp":"2025-01-05T12:00:00.000Z","ordinal":0, -- the start of a paginated rollout's first line
_NUMBERED = re.compile(rb'\s*\{\s*"timestamp"\s*:\s*"[^"]{0,64}"\s*,\s*"ordinal"\s*:')


@frozen
class RolloutName:
    """The parts of a rollout's file name: `stamp` as written (`YYYY-MM-DDTHH-MM-SS`), the thread id, and a segment's id."""

    stamp: str
    thread_id: str
    segment: str | None = None

    @classmethod
    def parse(cls, name: str) -> "RolloutName | None":
        """Parse a file name; None if it is not a rollout's."""
        match = _NAME.fullmatch(name)
        return None if match is None else cls(match[1], match[2], match[3])

    @property
    def rollout_id(self) -> str:
        """The id by which other rollouts refer to this file."""
        return self.segment or self.thread_id

    @property
    def age(self) -> tuple[str, str]:
        """Orders the files of one thread; the greatest is in force."""
        return self.stamp, self.segment or ""

    @property
    def day(self) -> tuple[str, str, str]:
        """Year, month and day: the folders below `sessions/`."""
        return self.stamp[:4], self.stamp[5:7], self.stamp[8:10]

    @property
    def millis(self) -> int:
        """The stamp in milliseconds, as if it were UTC. Raises ValueError for a date that does not exist."""
        date, _, time = self.stamp.partition("T")
        # fromisoformat is several times faster than strptime, and a search calls this for each file.
        return int(datetime.fromisoformat(f"{date}T{time.replace('-', ':')}+00:00").timestamp()) * 1000


def locate(home: Home, thread_id: str) -> Path | None:
    """The rollout of a thread that is not archived, its newest segment, or None. Raises OSError if folders cannot be read.

    A version 7 id contains the day, so usually at most three folders are read; otherwise all are walked.
    """
    wanted = thread_id.lower()
    tried: set[Path] = set()
    for day in _likely_days(wanted):
        folder = home.sessions / day
        tried.add(folder)
        if found := _newest_in(folder, wanted):
            return newest_segment(home, found) if may_have_segments(found) else found
    for folder in day_folders(home.sessions, newest_first=True):
        if folder not in tried and (found := _newest_in(folder, wanted)):
            return found
    return None


def locate_archived(home: Home, thread_id: str) -> Path | None:
    """The rollout of an archived thread, its newest segment, or None. Raises OSError if the folder cannot be read."""
    return _newest_in(home.archived_sessions, thread_id.lower())


def locate_file(home: Home, rollout_id: str) -> Path | None:
    """The file of a rollout id (as in `history_base`), archived or not, or None. Raises OSError."""
    wanted = rollout_id.lower()
    likely = [home.sessions / day for day in _likely_days(wanted)]
    for folder in (*likely, home.archived_sessions):
        if found := _file_in(folder, wanted):
            return found
    for folder in day_folders(home.sessions, newest_first=True):
        if folder not in likely and (found := _file_in(folder, wanted)):
            return found
    return None


def locate_all(home: Home, thread_id: str, *, archived: bool) -> list[Path]:
    """All files of a thread, archived or not archived, oldest first. Raises OSError."""
    wanted = thread_id.lower()
    newest = (locate_archived if archived else locate)(home, wanted)
    if newest is None:
        return []
    if archived:
        folders: Iterable[Path] = [home.archived_sessions]
    elif may_have_segments(newest):
        folders = day_folders(home.sessions, newest_first=False)
    else:
        folders = [newest.parent]
    found = [file for folder in folders for file in rollouts_in(folder, wanted) if file[0].thread_id == wanted]
    return [Path(path) for _, path in sorted(found, key=lambda file: file[0].age)]


def may_have_segments(path: Path) -> bool:
    """Whether the lines of a file are numbered, so that its thread may have several files. False for a damaged file.

    Raises OSError if it cannot be read for reasons that are not its own.
    """
    try:
        with open_rollout(path, 512) as file:
            return _NUMBERED.match(file.read(256)) is not None
    except OSError as error:
        if is_passing(error):
            raise
        return False


def newest_segment(home: Home, path: Path) -> Path:
    """The newest file of the thread with a file at `path`, if `path` is below `sessions`: only its day and later are searched.

    Raises OSError.
    """
    name = RolloutName.parse(path.name)
    if name is None or home.sessions not in path.parents:
        return path
    for folder in day_folders(home.sessions, newest_first=True):
        if "/".join(folder.parts[-3:]) < "/".join(path.parent.parts[-3:]):
            break
        if found := _newest_in(folder, name.thread_id):
            return found
    return path


class Segments:
    """The newest segments of a home's threads, archived or not archived.

    Lists folders when they are needed, newest first: a newer segment is in the folder of the same day or of a later one.
    """

    def __init__(self, home: Home, *, archived: bool) -> None:
        self._folders = iter([home.archived_sessions]) if archived else day_folders(home.sessions, newest_first=True)
        self._oldest: tuple[str, ...] | None = None
        self._newest: dict[str, tuple[str, str]] = {}

    def supersede(self, path: str) -> bool:
        """Whether the thread of the rollout at `path` continues in a newer file. Raises OSError."""
        folder, _, file = path.rpartition(os.sep)
        name = RolloutName.parse(file)
        if name is None:
            return False
        day = _day(folder)
        while (self._oldest is None or self._oldest > day) and (listed := next(self._folders, None)) is not None:
            self._oldest = _day(listed)
            self._add(_listed(listed))
        return name.age < self._newest.get(name.thread_id, name.age)

    def _add(self, files: Iterable[str]) -> None:
        for file in files:
            if file[_SEGMENT_AT : _SEGMENT_AT + 1] == "_" and (name := RolloutName.parse(file)) is not None:
                self._newest[name.thread_id] = max(name.age, self._newest.get(name.thread_id, name.age))


def _day(folder: str | Path) -> tuple[str, ...]:
    """The names of a day's folder and of those of its month and year, which order days."""
    return Path(folder).parts[-3:]


def day_folders(sessions: Path, *, newest_first: bool) -> Iterator[Path]:
    """The `YYYY/MM/DD` folders below `sessions`, lazily, ordered by date."""
    for year in _numbered(sessions, 4, newest_first):
        for month in _numbered(year, 2, newest_first):
            yield from _numbered(month, 2, newest_first)


def rollouts_in(folder: Path, holding: str = "") -> list[tuple[RolloutName, str]]:
    """All rollouts directly in `folder` with their paths, in no order. A missing folder is empty.

    Skips compressed files beside their plain file, and names without `holding`.
    """
    names = rollout_names(name for name in _listed(folder) if holding in name)
    prefix = f"{folder}{os.sep}"
    return [(parsed, prefix + name) for name in names if (parsed := RolloutName.parse(name)) is not None]


def rollout_names(names: Iterable[str]) -> set[str]:
    """The names in a folder that may be rollouts, without compressed files beside their plain file."""
    found = {name for name in names if name.startswith("rollout-")}
    return found - {plain + SUFFIX for plain in found if plain + SUFFIX in found}


def _newest_in(folder: Path, thread_id: str) -> Path | None:
    found = [file for file in rollouts_in(folder, thread_id) if file[0].thread_id == thread_id]
    return Path(max(found, key=lambda file: file[0].age)[1]) if found else None


def _file_in(folder: Path, rollout_id: str) -> Path | None:
    return next((Path(path) for name, path in rollouts_in(folder, rollout_id) if name.rollout_id == rollout_id), None)


def _listed(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _numbered(folder: Path, digits: int, newest_first: bool) -> list[Path]:
    wanted = [name for name in _listed(folder) if len(name) == digits and name.isdecimal()]
    return [folder / name for name in sorted(wanted, reverse=newest_first)]


def _likely_days(thread_id: str) -> list[str]:
    try:
        value = uuid.UUID(thread_id)
    except ValueError:
        return []
    if value.version != 7:
        return []
    try:
        made = datetime.fromtimestamp((value.int >> 80) / 1000, UTC)
        # The folder's name is a local date in an unknown time zone: a day earlier or later.
        return [(made + timedelta(days=shift)).strftime("%Y/%m/%d") for shift in (0, 1, -1)]
    except (ValueError, OverflowError):  # 48 bits go beyond the year 9999
        return []
