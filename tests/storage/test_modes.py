"""Files are private to their owner, with any umask, also those that an earlier version left open."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from spindle.actors.tools.commands.rule_book import allow_prefix
from spindle.actors.tools.patch.on_path import programs
from spindle.storage.config.approvals import Approvals
from spindle.storage.config.editing import edit
from spindle.storage.credentials import CredentialStore
from spindle.storage.durable import make_folder
from spindle.storage.home import Home
from spindle.storage.index import ThreadIndex
from spindle.storage.model_lists import ModelList, keep_list
from spindle.storage.rollout.fork import segments, write_fork
from spindle.storage.rollout.journal import Journal
from spindle.storage.rollout.lines import encode_line
from spindle.storage.state import StateStore
from spindle.storage.threads.archive import archive
from spindle.storage.threads.names import record_name
from spindle.storage.threads.query import ThreadQuery

A = "00000000-0000-7000-8000-00000000000a"
B = "00000000-0000-7000-8000-00000000000b"


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


async def use(home: Home) -> dict[str, int]:
    """Create one of each file; return the modes during use, when SQLite has files beside its databases."""
    make_files(home)
    index, state = ThreadIndex(home), StateStore(home)
    page = index.page(ThreadQuery())
    assert page is not None
    assert [thread.preview for thread in page.data] == ["secret"]
    await state.change(lambda db: db.execute("INSERT INTO sections (id, name) VALUES ('s', 'secret')"))
    found = modes(home.path)
    index.close()
    await state.aclose()
    return found


def make_files(home: Home) -> None:
    make_folder(home.path)
    name = home.sessions / "2025/01/05" / f"rollout-2025-01-05T12-00-00-{A}.jsonl"
    journal = Journal(name, home.lock_file(A))
    said = encode_line("event_msg", {"type": "user_message", "message": "secret"})
    journal.begin([encode_line("session_meta", {"id": A, "cwd": "/"}), said])
    journal.end()
    with open(name, "ab") as file:
        file.write(b'{"torn')
    journal.begin()
    journal.end()
    fork = name.with_name(name.name.replace(A, B))
    write_fork(fork, {"id": B}, segments(name, lambda _: None), lambda _: [], lambda: None)
    archive(home, B)
    record_name(home, A, "secret")
    keep_list(home, "provider", "1", ModelList([], None, 0))
    edit(home.config_file, lambda document: document.update(model="m"))
    Approvals(home).record([], {})
    CredentialStore(home).login_api_key("sk-secret")
    allow_prefix(home.path / "rules", ("ls",))
    programs(home.path)


def leave_open(home: Path) -> None:
    for path in home.rglob("*"):
        path.chmod(0o755 if path.is_dir() or "commands" in path.parts else 0o644)


def modes(home: Path) -> dict[str, int]:
    return {str(path.relative_to(home)): stat.S_IMODE(path.stat().st_mode) for path in (home, *home.rglob("*"))}


def expected(name: str, home: Path) -> int:
    return 0o700 if (home / name).is_dir() or "commands/" in name else 0o600


@pytest.mark.parametrize("mask", [0, 0o022, 0o077])
async def test_all_files_are_private(tmp_path: Path, mask: int) -> None:
    home = Home(tmp_path / "deep" / "home")
    with umask(mask):
        found = await use(home)
    assert {"spindle/state.sqlite-wal", "spindle/index.sqlite-shm", "spindle/models", "auth.json"} <= found.keys()
    assert any(name.endswith(".torn") for name in found)
    assert {name: oct(mode) for name, mode in found.items() if mode != expected(name, home.path)} == {}
    assert stat.S_IMODE((tmp_path / "deep").stat().st_mode) == 0o700


async def test_open_modes_of_an_earlier_version_are_corrected(tmp_path: Path) -> None:
    home = Home(tmp_path)
    (tmp_path / "config.toml").write_text("")
    (tmp_path / "config.toml").chmod(0o644)
    await use(home)
    leave_open(tmp_path)
    index, state = ThreadIndex(home), StateStore(home)
    assert index.page(ThreadQuery()) is not None
    await state.change(lambda db: None)
    keep_list(home, "provider", "1", ModelList([], None, 0))
    journal = Journal(home.sessions / "r.jsonl", home.lock_file(A))
    journal.begin()
    journal.end()
    found = modes(tmp_path)
    kept = ("spindle", "spindle/models", "thread-writer-locks")
    files = [name for name in found if name.startswith("spindle/") and "sqlite" in name]
    assert len(files) >= 6
    assert {name: oct(found[name]) for name in kept} == dict.fromkeys(kept, "0o700")
    assert {name: oct(found[name]) for name in files} == dict.fromkeys(files, "0o600")
    assert oct(found["config.toml"]) == "0o644"  # the user's own
    index.close()
    await state.aclose()


def test_a_file_system_without_modes_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    (tmp_path / "spindle").mkdir(mode=0o777)
    (tmp_path / "spindle").chmod(0o777)
    monkeypatch.setattr(os, "chmod", refuse)
    keep_list(Home(tmp_path), "provider", "1", ModelList([], None, 0))
    assert list((tmp_path / "spindle/models").iterdir()) != []
