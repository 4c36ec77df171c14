"""Several processes on one index."""

import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from spindle.storage.home import Home
from spindle.storage.index import ThreadIndex
from spindle.storage.index.file import IndexConnection, IndexFile
from spindle.storage.index.folders import Folders
from spindle.storage.threads.names import record_name
from spindle.storage.threads.query import ThreadQuery

Write = Callable[..., Path]

PROGRAM = """
import sys
from pathlib import Path
from spindle.storage.home import Home
from spindle.storage.index import ThreadIndex
from spindle.storage.threads.query import ThreadQuery
index = ThreadIndex(Home(Path(sys.argv[1])))
for _ in range(3):
    index.catch_up()
print(len(index.page(ThreadQuery(limit=100)).data))
index.close()
"""


def test_two_processes_and_a_reader_index_at_once(home: Home, write: Write, index: ThreadIndex) -> None:
    for number in range(600):
        write(f"t{number:03}", f"2025-01-{1 + number // 60:02}T12-{number % 60:02}-00")
    others = [
        subprocess.Popen([sys.executable, "-c", PROGRAM, str(home.path)], stdout=subprocess.PIPE) for _ in range(2)
    ]
    catching_up = threading.Thread(target=index.catch_up)
    catching_up.start()
    while any(other.poll() is None for other in others) or catching_up.is_alive():
        page = index.page(ThreadQuery(limit=3))
        assert page is None or [thread.preview for thread in page.data] == ["t599", "t598", "t597"]
    catching_up.join()
    assert [other.communicate()[0].strip() for other in others] == [b"100", b"100"]
    met: list[str] = []
    cursor = None
    while True:
        page = index.page(ThreadQuery(limit=100, cursor=cursor))
        assert page is not None
        met += [thread.preview for thread in page.data]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert met == [f"t{number:03}" for number in reversed(range(600))]


def test_one_process_sees_the_rows_of_the_other(home: Home, write: Write) -> None:
    path = write("shared", id="00000000-0000-7000-8000-000000000001")
    one, other = ThreadIndex(home), ThreadIndex(home)

    def seen(index: ThreadIndex) -> list[tuple[str, str | None]]:
        page = index.page(ThreadQuery())
        assert page is not None
        return [(thread.preview, thread.name) for thread in page.data]

    assert seen(one) == seen(other) == [("shared", None)]
    record_name(home, path.stem[-36:], "name")
    assert seen(one) == seen(other) == [("shared", "name")]
    write("another", "2024-01-05T12-00-00")
    assert seen(other) == seen(one) == [("shared", "name"), ("another", None)]
    one.close()
    other.close()


def test_folders_that_another_adds_while_a_list_walks_are_walked_too(
    home: Home, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    day = write("found", "2025-01-05T12-00-00").parent
    for folder in (day, *day.parents[:3]):
        os.utime(folder, (1, 1))  # a young folder is listed again in any case
    one, other, connection = ThreadIndex(home), Folders(home.path), IndexConnection(IndexFile(home))
    refresh = Folders._refresh  # pyright: ignore[reportPrivateUsage]

    def overtaken(folders: Folders, db: sqlite3.Connection, epoch: int) -> None:
        refresh(folders, db, epoch)
        monkeypatch.setattr(Folders, "_refresh", refresh)
        with connection.use() as db:  # as the start of its `catch_up`, before it has read a rollout
            list(other.changed(db, connection.opened))

    monkeypatch.setattr(Folders, "_refresh", overtaken)
    page = one.page(ThreadQuery())
    assert page is not None
    assert [thread.preview for thread in page.data] == ["found"]
    one.close()
    connection.close()
