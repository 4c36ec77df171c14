"""One writer per thread, also between processes."""

import fcntl
import os
import subprocess
import sys

import pytest

from spindle.storage import locks
from spindle.storage.rollout.journal import Journal, WriterBusy
from spindle.storage.rollout.lines import encode_line
from spindle.storage.rollout.writer_lock import WriterLock

HOLD = """
import sys
from pathlib import Path
from spindle.storage.rollout.journal import Journal
Journal(Path(sys.argv[1]), Path(sys.argv[2])).begin()
sys.stdout.write("held\\n")
sys.stdout.flush()
sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", HOLD, str(tmp_path / "r.jsonl"), str(tmp_path / "locks" / "t.lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        yield process
        process.kill()


def test_a_second_process_gets_the_holders_name_and_the_lock_ends_with_its_holder(holder, tmp_path):
    journal = Journal(tmp_path / "r.jsonl", tmp_path / "locks" / "t.lock")
    with pytest.raises(WriterBusy) as caught:
        journal.begin([encode_line("event_msg", {})])
    assert f"pid {holder.pid}" in caught.value.holder
    assert "spindle" in caught.value.holder
    assert (tmp_path / "r.jsonl").read_bytes() == b""
    holder.kill()
    holder.wait()
    journal.begin()
    journal.end()


def test_two_journals_of_one_process_exclude_each_other_too(tmp_path):
    first, second = (Journal(tmp_path / "r.jsonl", tmp_path / "lock") for _ in range(2))
    first.begin()
    with pytest.raises(WriterBusy, match=f"pid {os.getpid()} "):
        second.begin()
    first.end()
    second.begin()
    second.end()


def test_the_note_of_a_dead_holder_is_not_used(tmp_path):
    lock = tmp_path / "lock"
    lock.write_text("999999999 spindle\n")
    first, second = (Journal(tmp_path / "r.jsonl", lock) for _ in range(2))
    first.begin()
    with pytest.raises(WriterBusy, match=f"pid {os.getpid()} "):
        second.begin()
    first.end()
    assert lock.read_text().strip() == ""


def test_a_lock_of_another_program_is_named_by_its_pid(tmp_path):
    if sys.platform != "linux":
        pytest.skip("needs /proc/locks")
    lock = tmp_path / "lock"
    with open(lock, "w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(WriterBusy, match=f"pid {os.getpid()}$"):
            Journal(tmp_path / "r.jsonl", lock).begin()


def test_a_link_or_a_pipe_is_not_a_lock_and_a_files_content_is_kept(tmp_path):
    stranger, lock = tmp_path / "poetry.lock", tmp_path / "locks" / "t.lock"
    stranger.write_text("[[package]]\n")
    lock.parent.mkdir()
    lock.symlink_to(stranger)
    with pytest.raises(OSError, match="symbolic links"):
        WriterLock(lock).acquire()
    lock.unlink()
    os.mkfifo(lock)
    with pytest.raises(OSError, match="Not a regular file"):
        WriterLock(lock).acquire()
    lock.unlink()
    os.link(stranger, lock)
    held = WriterLock(lock)
    held.acquire()
    held.release()
    assert stranger.read_text() == "[[package]]\n"


def test_a_lock_file_removed_while_it_is_opened_does_not_count(tmp_path, monkeypatch):
    lock = tmp_path / "t.lock"

    def removed_once(path):
        fd = locks.open_lock(path)
        monkeypatch.undo()
        path.unlink()
        return fd

    monkeypatch.setattr("spindle.storage.rollout.writer_lock.open_lock", removed_once)
    first, second = WriterLock(lock), WriterLock(lock)
    first.acquire()
    with pytest.raises(WriterBusy):
        second.acquire()
    first.release()


def test_codex_does_not_check_lock_files_while_one_is_taken_or_removed(tmp_path, monkeypatch):
    coordination, lock = tmp_path / ".coordination.lock", WriterLock(tmp_path / "t.lock")
    coordination.touch()
    waited = []
    monkeypatch.setattr("spindle.storage.rollout.writer_lock.wait_for", lambda fd, path, patience, kind: waited.append(kind))
    lock.acquire()
    assert waited == [fcntl.LOCK_SH]
    lock.remove()
    assert waited == [fcntl.LOCK_SH, fcntl.LOCK_EX]
    assert not lock.path.exists()
    lock.release()
    monkeypatch.undo()
    monkeypatch.setattr("spindle.storage.rollout.writer_lock._COORDINATION_PATIENCE", 0.0)
    with open(coordination) as codex:
        fcntl.flock(codex, fcntl.LOCK_EX)
        lock.acquire()
        lock.remove()
        assert lock.path.exists()
        lock.release()


FORKS = """
import ctypes, os, sys
from pathlib import Path
from spindle.storage.rollout.writer_lock import WriterBusy, WriterLock
path = Path(sys.argv[1])
lock = WriterLock(path)
lock.acquire()
go, done = os.pipe(), os.pipe()
fork = os.fork if sys.argv[2] == "python" else ctypes.CDLL(None).fork
if fork() == 0:
    os.close(go[1])
    if sys.argv[2] == "python":
        lock.release()
    os.write(done[1], b"released")
    os.read(go[0], 1)  # lives on until all of its parent's ends of the pipe are closed
    os._exit(0)
os.read(done[0], 100)
def free():
    other = WriterLock(path)
    try:
        other.acquire()
    except WriterBusy:
        return False
    other.release()
    return True
print("still held", not free())
lock.release()
print("given up", free())
lock.acquire()
sys.stdout.flush()
sys.stdin.read()
"""


@pytest.mark.parametrize("language", ["python", "c"])
def test_a_forked_process_does_not_hold_the_lock(tmp_path, language):
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", FORKS, str(tmp_path / "t.lock"), language]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env) as process:
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in range(2)] == [b"still held True\n", b"given up True\n"]
        process.kill()


KILLED = """
import os, sys
from pathlib import Path
from spindle.storage.rollout.writer_lock import WriterLock
lock = WriterLock(Path(sys.argv[1]))
lock.acquire()
if os.fork() == 0:
    sys.stdout.write("forked\\n")
    sys.stdout.flush()
    sys.stdin.read()
    os._exit(0)
os.kill(os.getpid(), 9)
"""


def test_a_surviving_forked_process_does_not_keep_the_lock_of_its_killed_parent(tmp_path):
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", KILLED, str(tmp_path / "t.lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"forked\n"
        process.wait()
        lock = WriterLock(tmp_path / "t.lock")
        lock.acquire()
        lock.release()
