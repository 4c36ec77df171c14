"""The index is a cache: with any damage to its file, lists are correct."""

import fcntl
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from spindle.storage.home import Home
from spindle.storage.index import IndexUnavailable, ThreadIndex
from spindle.storage.threads.query import ThreadQuery

Write = Callable[..., Path]

EXPECTED = [f"t{number:03}" for number in reversed(range(90))]


@pytest.fixture
def file(home: Home, write: Write) -> Path:
    """The file of a closed index."""
    for number in range(90):
        path = write(f"t{number:03}", f"2025-01-01T{number // 60:02}-{number % 60:02}-00", cwd="/" + "x" * 500)
    for folder in list(path.parents)[:4]:
        os.utime(folder, (5, 5))  # long settled
    index = ThreadIndex(home)
    assert listed(index) == EXPECTED
    index.catch_up()
    index.close()
    return home.path / "spindle" / "index.sqlite"


def listed(index: ThreadIndex) -> list[str]:
    page = index.page(ThreadQuery(limit=100))
    assert page is not None
    return [thread.preview for thread in page.data]


def listed_in_the_end(home: Home) -> list[str]:
    """As a server does it: read from the files what the index lacks, then use the index again."""
    index = ThreadIndex(home)
    try:
        for _ in range(2):
            try:
                index.catch_up()
                return listed(index)
            except IndexUnavailable:
                continue
        raise AssertionError("the index was not rebuilt")
    finally:
        index.close()


def garbage(file: Path) -> None:
    file.write_bytes(b"this is not a database at all" * 1000)


def emptied(file: Path) -> None:
    file.write_bytes(b"")


def truncated(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def zeroed(file: Path) -> None:
    size = file.stat().st_size
    with file.open("r+b") as out:
        out.seek(4096)
        out.write(bytes(size - 4096))


def scribbled(file: Path) -> None:
    size = file.stat().st_size
    with file.open("r+b") as out:
        for at in range(8192, size, 4096):
            out.seek(at)
            out.write(b"\xff" * 64)


def other_version(file: Path) -> None:
    db = sqlite3.connect(file)
    db.execute("PRAGMA user_version = 999")
    db.execute("DROP TABLE threads")
    db.close()


def table_gone(file: Path) -> None:
    db = sqlite3.connect(file)
    db.execute("DROP TABLE threads")
    db.close()


def rows_wrong(file: Path) -> None:
    db = sqlite3.connect(file, isolation_level=None)
    db.execute("UPDATE threads SET head = x'00'")
    db.close()


def removed(file: Path) -> None:
    file.unlink()


def folder_removed(file: Path) -> None:
    for path in file.parent.iterdir():
        path.unlink()
    file.parent.rmdir()


KINDS = (garbage, emptied, truncated, zeroed, scribbled, other_version, table_gone, rows_wrong, removed, folder_removed)


@pytest.mark.parametrize("damage", KINDS)
def test_a_damaged_file_is_rebuilt(home: Home, file: Path, damage: Callable[[Path], None]) -> None:
    damage(file)
    assert listed_in_the_end(home) == EXPECTED


@pytest.mark.parametrize("damage", KINDS)
def test_damage_under_an_open_index(home: Home, file: Path, damage: Callable[[Path], None]) -> None:
    index = ThreadIndex(home)
    assert listed(index) == EXPECTED
    damage(file)
    for _ in range(3):
        try:
            index.catch_up()
            found = listed(index)
        except IndexUnavailable:
            continue
        assert found == EXPECTED
        break
    else:
        raise AssertionError("the index was not rebuilt")
    index.close()


def test_without_a_place_in_the_home_the_index_is_temporary(home: Home, write: Write) -> None:
    write("here")
    (home.path / "spindle").write_text("in the way")
    index = ThreadIndex(home)
    assert listed(index) == ["here"]
    index.catch_up()
    assert listed(index) == ["here"]
    index.close()
    assert (home.path / "spindle").read_text() == "in the way"


def test_a_stopped_process_blocks_no_other(home: Home, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spindle.storage.index.file._PATIENCE", 0.01)
    with (file.parent / "index.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        index = ThreadIndex(home)
        with pytest.raises(IndexUnavailable):
            listed(index)
        index.outlines.keep_outline(file, 1, 1, b"")
        assert index.locate("x") is None
    assert listed(index) == EXPECTED
    index.close()


def test_the_wait_for_a_writer_is_short(
    home: Home, file: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spindle.storage.index.file._PATIENCE", 0.01)
    index = ThreadIndex(home)
    assert listed(index) == EXPECTED
    writer = sqlite3.connect(file, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    assert listed(index) == EXPECTED
    write("new")
    with pytest.raises(IndexUnavailable):
        listed(index)
    writer.execute("ROLLBACK")
    writer.close()
    assert listed(index) == ["new", *EXPECTED]
    index.close()


def test_stopping_in_the_middle_keeps_the_finished_part(home: Home, write: Write) -> None:
    for number in range(300):
        write(f"t{number:03}", f"2025-01-01T{number // 60:02}-{number % 60:02}-00")
    index = ThreadIndex(home)
    calls = iter(range(250))

    class Stop(Exception):
        pass

    def check() -> None:
        if next(calls, None) is None:
            raise Stop

    with pytest.raises(Stop):
        index.catch_up(check)
    index.close()
    again = ThreadIndex(home)
    reads: list[tuple[int, int]] = []
    again.catch_up(progress=lambda done, total: reads.append((done, total)))
    assert 0 < reads[-1][1] < 300
    page = again.page(ThreadQuery(limit=100))
    assert page is not None
    assert page.data[0].preview == "t299"
    again.close()
