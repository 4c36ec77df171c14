"""Deleting threads: all of their files, no other files, and not while another process writes."""

import json
import uuid
from pathlib import Path
from typing import Any

import pytest

from spindle.storage.home import Home
from spindle.storage.rollout.writer_lock import WriterBusy, WriterLock
from spindle.storage.threads.lineage import lineage
from spindle.storage.threads.names import read_names, record_name
from spindle.storage.threads.removal import remove
from spindle.storage.threads.thread_errors import NoRollout


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def version7(number: int) -> str:
    return f"019a0000-0000-7000-8000-{number:012}"


def write(home: Home, thread_id: str, *, archived: bool = False, suffix: str = ".jsonl", **meta: Any) -> Path:
    folder = home.archived_sessions if archived else home.sessions / "2025" / "01" / "05"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"rollout-2025-01-05T12-00-00-{thread_id}{suffix}"
    entry = {"timestamp": "", "type": "session_meta", "payload": {"id": thread_id, "source": "cli"} | meta}
    path.write_text(json.dumps(entry) + "\n")
    return path


def spawned_from(parent: str) -> dict[str, Any]:
    return {"source": {"subagent": {"thread_spawn": {"parent_thread_id": parent, "depth": 1}}}}


@pytest.mark.parametrize("archived", [False, True])
def test_all_files_of_the_thread_and_no_others_are_deleted(home: Home, archived: bool) -> None:
    ours, theirs = version7(1), version7(11)
    segment = f"_{uuid.uuid4()}.jsonl"
    for suffix in (".jsonl", ".jsonl.torn", ".jsonl.zst", segment):
        write(home, ours, archived=archived, suffix=suffix)
    kept = write(home, theirs, archived=archived)
    record_name(home, ours, "ours")
    record_name(home, theirs, "theirs")
    remove(home, ours)
    assert [path for path in home.path.rglob("rollout-*") if path.is_file()] == [kept]
    assert read_names(home) == {theirs: "theirs"}
    assert not home.lock_file(ours).exists()
    with pytest.raises(NoRollout):
        remove(home, ours)
    remove(home, ours, missing_ok=True)


def test_a_thread_with_an_active_writer_is_not_deleted(home: Home) -> None:
    path = write(home, version7(1))
    lock = WriterLock(home.lock_file(version7(1)))
    lock.acquire()
    with pytest.raises(WriterBusy):
        remove(home, version7(1))
    lock.release()
    assert path.exists()
    remove(home, version7(1))


def test_descendants_come_before_their_parents(home: Home) -> None:
    root, child, grandchild, other = map(version7, (1, 2, 3, 4))
    write(home, root)
    write(home, child, archived=True, **spawned_from(root))
    write(home, grandchild, **spawned_from(child))
    write(home, other, forked_from_id=root)
    found = lineage(home, root)
    assert found.descendants == (grandchild, child)
    assert found.dependants == ()
    assert lineage(home, child).descendants == (grandchild,)
    assert lineage(home, other).descendants == ()


def test_a_fork_that_refers_to_the_rollout_depends_on_it(home: Home) -> None:
    root, copy, reference = map(version7, (1, 2, 3))
    write(home, root)
    write(home, copy, forked_from_id=root)
    write(home, reference, forked_from_id=root, history_base={"thread_id": root, "end_ordinal_exclusive": 4})
    assert lineage(home, root).dependants == (reference,)


def test_ids_without_a_time_are_also_searched(home: Home) -> None:
    root, child = str(uuid.UUID(int=9, version=4)), str(uuid.UUID(int=1, version=4))
    write(home, root)
    write(home, child, **spawned_from(root))
    assert lineage(home, root).descendants == (child,)
