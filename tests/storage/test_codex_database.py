"""Updates of Codex's own database: the thread's row, existing columns, and nothing without a database."""

import sqlite3
from contextlib import closing

import pytest

from spindle.storage.home import Home
from spindle.storage.threads.codex_database import update_codex_database

ID = "019a0000-0000-7000-8000-000000000001"


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path)


def make(home, version, columns="id TEXT PRIMARY KEY, name TEXT, title TEXT"):
    with closing(sqlite3.connect(home.path / f"state_{version}.sqlite")) as database, database:
        database.execute(f"CREATE TABLE threads ({columns})")
        database.executemany("INSERT INTO threads(id) VALUES(?)", [(ID,), ("other",)])


def rows(home, version):
    with closing(sqlite3.connect(home.path / f"state_{version}.sqlite")) as database:
        return dict(database.execute("SELECT id, name FROM threads"))


def test_only_the_threads_row_in_the_newest_database_is_updated(home):
    make(home, 5)
    make(home, 12)
    update_codex_database(home, ID, {"name": "mine"})
    assert rows(home, 12) == {ID: "mine", "other": None}
    assert rows(home, 5) == {ID: None, "other": None}


@pytest.mark.parametrize("given", ["file", "variable"])
def test_the_database_may_be_elsewhere(home, monkeypatch, given):
    make(home, 5)
    (home.path / "elsewhere").mkdir()
    make(Home(home.path / "elsewhere"), 5)
    if given == "file":
        home.config_file.write_text('sqlite_home = "elsewhere"\n')
        monkeypatch.setenv("CODEX_SQLITE_HOME", "/none")
    else:
        monkeypatch.setenv("CODEX_SQLITE_HOME", str(home.path / "elsewhere"))
    update_codex_database(home, ID, {"name": "mine"})
    assert rows(Home(home.path / "elsewhere"), 5)[ID] == "mine"
    assert rows(home, 5)[ID] is None


def test_missing_columns_are_ignored(home):
    make(home, 5)
    update_codex_database(home, ID, {"name": "mine", "git_branch": "main"})
    assert rows(home, 5)[ID] == "mine"


def test_a_home_without_a_database_is_unchanged(home):
    update_codex_database(home, ID, {"name": "mine"})
    assert list(home.path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"no database at all" * 100])
def test_an_unusable_database_is_ignored(home, content, caplog):
    path = home.path / "state_5.sqlite"
    path.write_bytes(content)
    update_codex_database(home, ID, {"name": "mine"})
    assert path.read_bytes() == content
    assert ("could not be updated" in caplog.text) == bool(content)


def test_the_wait_for_a_locked_database_is_short(home, caplog, monkeypatch):
    monkeypatch.setattr("spindle.storage.threads.codex_database._PATIENCE", 0.0)
    make(home, 5)
    with closing(sqlite3.connect(home.path / "state_5.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        update_codex_database(home, ID, {"name": "mine"})
        other.execute("ROLLBACK")
    assert "locked" in caplog.text
