"""Stored threads: finding them, reading their heads, the archive, names."""

import errno
import json
import os
import uuid
from pathlib import Path
from typing import Any

import pytest

from spindle.storage.home import Home
from spindle.storage.threads.archive import archive, unarchive
from spindle.storage.threads.locate import locate, locate_archived, locate_file
from spindle.storage.threads.names import read_names, record_name
from spindle.storage.threads.summary import StoredGit, read_summary
from spindle.storage.threads.thread_errors import (
    ArchiveConflict,
    EmptyRollout,
    NoArchivedRollout,
    NoRollout,
    NoSessionMeta,
)

NOBODY = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def line(kind: str, payload: dict[str, Any]) -> str:
    return json.dumps({"timestamp": "2025-01-05T12:00:00.000Z", "type": kind, "payload": payload}) + "\n"


def asked(text: str) -> str:
    return line("event_msg", {"type": "user_message", "message": text, "images": []})


def write(home: Home, *lines: str, thread_id: str = "", stamp: str = "2025-01-05T12-00-00", **meta: Any) -> Path:
    thread_id = thread_id or str(uuid.uuid4())
    path = home.sessions / stamp[:10].replace("-", "/") / f"rollout-{stamp}-{thread_id}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    head = {"id": thread_id, "timestamp": "2025-01-05T12:00:00.500Z", "cwd": "/work", "cli_version": "0.1", **meta}
    path.write_text(line("session_meta", head) + "".join(lines))
    return path


def test_a_thread_is_found_by_the_id_in_its_file_name(home: Home) -> None:
    path = write(home, thread_id=(wanted := str(uuid.uuid4())))
    write(home)
    assert locate(home, wanted) == path
    assert locate_archived(home, wanted) is None
    assert locate(home, NOBODY) is None


def test_an_id_made_in_another_time_zone_is_still_found(home: Home) -> None:
    # Made on 2025-01-05T23:59:59Z, filed under the local day after it.
    thread_id = "01943908-1098-7000-8000-000000000000"
    path = write(home, thread_id=thread_id, stamp="2025-01-06T08-59-59")
    assert locate(home, thread_id) == path
    moved = home.sessions / "2020/01/01" / path.name
    moved.parent.mkdir(parents=True)
    path.rename(moved)
    assert locate(home, thread_id) == moved


def test_a_file_whose_name_lacks_the_id_is_not_the_thread(home: Home) -> None:
    path = write(home, thread_id=NOBODY)
    path.rename(path.with_name("rollout-2025-01-05T12-00-00-other.jsonl"))
    with pytest.raises(NoRollout, match=f"^no rollout found for thread id {NOBODY}$"):
        archive(home, NOBODY)


def test_archive_moves_flat_and_unarchive_rebuilds_the_day(home: Home) -> None:
    path = write(home, asked("hi"), thread_id=NOBODY, stamp="2024-03-09T01-02-03")
    content = path.read_bytes()
    os.utime(path, (1, 1))
    away = archive(home, NOBODY)
    assert away == home.archived_sessions / path.name
    assert not path.exists()
    assert away.read_bytes() == content
    assert away.stat().st_mtime == 1
    assert unarchive(home, NOBODY) == path
    assert path.read_bytes() == content
    assert path.stat().st_mtime > 1
    with pytest.raises(NoArchivedRollout, match=f"^no archived rollout found for thread id {NOBODY}$"):
        unarchive(home, NOBODY)


def test_archive_replaces_nothing(home: Home) -> None:
    path = write(home, thread_id=NOBODY)
    home.archived_sessions.mkdir()
    (home.archived_sessions / path.name).write_text("kept")
    with pytest.raises(ArchiveConflict):
        archive(home, NOBODY)
    assert path.exists()
    assert (home.archived_sessions / path.name).read_text() == "kept"


def test_summary_of_the_head(home: Home) -> None:
    git = {"commit_hash": "abc", "branch": "main"}
    path = write(
        home, asked("  hello\nthere "), asked("again"), thread_id=NOBODY, source="mcp", git=git, forked_from_id="f"
    )
    os.utime(path, (1_800_000_000, 1_800_000_000))
    got = read_summary(path, default_provider="mine")
    assert (got.id, got.session_id, got.forked_from_id, got.preview) == (NOBODY, NOBODY, "f", "hello\nthere")
    assert (got.created_at, got.updated_at) == (1736078400, 1_800_000_000)
    assert (got.model_provider, got.cwd, got.cli_version, got.source) == ("mine", "/work", "0.1", "appServer")
    assert got.git == StoredGit("abc", "main", None)
    assert got.name is None
    assert got.has_user_message


@pytest.mark.parametrize(
    ("first", "preview"),
    [
        (asked("open files\n## My request for Codex:\n the ask "), "the ask"),
        (line("event_msg", {"type": "user_message", "message": "", "images": ["data:"]}), ""),
        (
            line(
                "event_msg",
                {
                    "type": "item_completed",
                    "item": {"type": "UserMessage", "content": [{"type": "text", "text": "new"}]},
                },
            ),
            "new",
        ),
    ],
)
def test_preview_is_the_first_user_message(home: Home, first: str, preview: str) -> None:
    got = read_summary(write(home, "garbage\n", line("response_item", {"role": "user"}), first, asked("later")))
    assert got.preview == preview
    assert got.has_user_message


def test_the_models_copy_of_a_message_is_not_a_user_message(home: Home) -> None:
    path = write(home, line("response_item", {"type": "message", "role": "user", "text": "user_message"}))
    assert not read_summary(path).has_user_message


def test_sub_agents_have_their_nickname_and_role(home: Home) -> None:
    spawn = {"subagent": {"thread_spawn": {"parent_thread_id": NOBODY, "depth": 1}}}
    got = read_summary(write(home, source=spawn, agent_nickname="nick", agent_role="role"))
    told = {"agent_path": None, "agent_nickname": "nick", "agent_role": "role"}
    assert got.source == {"subAgent": {"thread_spawn": {"parent_thread_id": NOBODY, "depth": 1, **told}}}
    assert (got.agent_nickname, got.agent_role) == ("nick", "role")


def test_damaged_heads(home: Home) -> None:
    path = write(home, asked("hi"), thread_id=NOBODY)
    whole = path.read_text()
    path.write_text("garbage\n\n" + whole)
    assert read_summary(path).preview == "hi"
    path.write_text(asked("hi") + whole)
    with pytest.raises(NoSessionMeta, match="does not start with session metadata"):
        read_summary(path)
    path.write_text("\n")
    with pytest.raises(EmptyRollout, match=f"^rollout at {path} is empty$"):
        read_summary(path)


@pytest.mark.parametrize("id", ["../../project/poetry", "", f"{NOBODY}/..", f"{NOBODY}\n", "t", 7, None])
def test_a_head_whose_id_is_not_a_uuid_is_invalid(home: Home, id: object) -> None:
    with pytest.raises(NoSessionMeta):
        read_summary(write(home, asked("hi"), thread_id=NOBODY, id=id))


def test_an_id_is_read_in_either_case(home: Home) -> None:
    id = str(uuid.uuid4())
    assert read_summary(write(home, asked("hi"), thread_id=id, id=id.upper())).id == id


def test_an_id_of_a_year_without_folder_is_searched_everywhere(home: Home) -> None:
    for id in ("ffffffff-ffff-7fff-bfff-ffffffffffff", "e677d21f-da00-7fff-bfff-ffffffffffff"):
        assert locate(home, id) is None
        assert locate(home, id) == locate_file(home, id)
        assert locate(home, write(home, thread_id=id).stem[-36:]) is not None


def test_names_are_not_written_while_codex_removes_some(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    record_name(home, NOBODY, "one")
    waited = []

    def replaced_first(fd: int, path: Path, *_: object) -> None:
        waited.append(path.name)
        names = home.path / "session_index.jsonl"
        names.with_name("new").write_bytes(b"")
        names.with_name("new").rename(names)

    monkeypatch.setattr("spindle.storage.locks.wait_for", replaced_first)
    record_name(home, NOBODY, "two")
    assert waited == ["session_index.jsonl.lock"]
    assert read_names(home) == {NOBODY: "two"}


def test_a_recorded_name_is_fsynced_and_never_partial(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = []
    monkeypatch.setattr(os, "fdatasync", lambda fd: synced.append(os.fstat(fd).st_size))
    record_name(home, NOBODY, "one")
    names = home.path / "session_index.jsonl"
    assert synced == [names.stat().st_size]

    def fail(_: int) -> None:
        raise OSError(errno.EIO, "the disk is broken")

    before = names.read_bytes()
    monkeypatch.setattr(os, "fdatasync", fail)
    with pytest.raises(OSError, match="the disk is broken"):
        record_name(home, NOBODY, "two")
    assert names.read_bytes() == before


def test_the_last_name_counts(home: Home) -> None:
    path = write(home, asked("hi"), thread_id=NOBODY)
    record_name(home, NOBODY, "one")
    record_name(home, "other", "else")
    with (home.path / "session_index.jsonl").open("ab") as file:
        file.write(b"garbage without end")
    record_name(home, NOBODY, "two")
    assert read_names(home) == {NOBODY: "two", "other": "else"}
    assert read_summary(path).name == "two"


def test_names_of_some_threads_are_those_among_all_names(home: Home) -> None:
    other = NOBODY[:-1] + "f"
    lines = [
        {"id": NOBODY, "thread_name": "one"},
        {"id": other, "thread_name": "two"},
        {"thread_name": "three", "id": NOBODY},
        {"id": other, "thread_name": " "},
        {"id": "short", "thread_name": "no thread"},
    ]
    text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines) + json.dumps(lines[1]) + '\n{"id":"\n'
    (home.path / "session_index.jsonl").write_text(text)
    names = read_names(home)
    assert names == {NOBODY: "three", other: "two", "short": "no thread"}
    assert "short" not in read_names(home, {NOBODY})
    for ids in ({NOBODY}, {other}, {NOBODY, other}):
        found = read_names(home, ids)
        assert {id: found.get(id) for id in ids} == {id: names.get(id) for id in ids}
