"""Several processes on one index."""

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from spindle.storage.home import Home
from spindle.storage.index import ThreadIndex
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
