"""Stored outlines of rollouts."""

import os
from collections.abc import Callable
from pathlib import Path

from spindle.storage.home import Home
from spindle.storage.index import ThreadIndex

Write = Callable[..., Path]


def test_an_outline_is_stored_for_the_next_process(home: Home, write: Write) -> None:
    path = write("t")
    index = ThreadIndex(home)
    assert index.outlines.outline(path) is None
    index.outlines.keep_outline(path, path.stat().st_ino, 10, b"outline")
    index.close()
    index = ThreadIndex(home)
    assert index.outlines.outline(path) == b"outline"
    assert index.outlines.outline(path, path.stat().st_ino) == b"outline"
    index.close()


def test_it_belongs_to_the_file_and_not_to_the_name(home: Home, write: Write, index: ThreadIndex) -> None:
    path = write("t")
    index.outlines.keep_outline(path, path.stat().st_ino, 10, b"outline")
    home.archived_sessions.mkdir()
    away = path.rename(home.archived_sessions / path.name)
    assert index.outlines.outline(away) == b"outline"
    replaced = away.with_suffix(".new")
    replaced.write_bytes(b"")
    os.replace(replaced, away)
    assert index.outlines.outline(away) is None
    assert index.outlines.outline(path) is None


def test_the_last_outline_counts(write: Write, index: ThreadIndex) -> None:
    path = write("t")
    inode = path.stat().st_ino
    for size, data in ((20, b"twenty"), (10, b"ten")):
        index.outlines.keep_outline(path, inode, size, data)
        assert index.outlines.outline(path) == data


def test_without_an_index_nothing_is_kept(home: Home, write: Write, index: ThreadIndex) -> None:
    path = write("t")
    index.outlines.keep_outline(path, path.stat().st_ino, 1, b"lost")
    index.close()
    (home.path / "spindle" / "index.sqlite").write_bytes(b"damaged" * 1000)
    assert index.outlines.outline(path) is None
    index.outlines.keep_outline(path, path.stat().st_ino, 1, b"kept")
    assert index.outlines.outline(path) == b"kept"


def test_outlines_of_deleted_rollouts_are_deleted(write: Write, index: ThreadIndex) -> None:
    kept, gone = write("kept"), write("gone")
    inodes = {path: path.stat().st_ino for path in (kept, gone)}
    for path, inode in inodes.items():
        index.outlines.keep_outline(path, inode, 1, b"data")
    gone.unlink()
    index.catch_up()
    assert [index.outlines.outline(path, inode) for path, inode in inodes.items()] == [b"data", None]
