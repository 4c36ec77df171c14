"""One writer per thread, also between processes."""

import os
import subprocess
import sys

import pytest

from spindle.storage.rollout.journal import Journal, WriterBusy
from spindle.storage.rollout.lines import encode_line

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


def test_a_second_process_is_told_who_writes_and_the_lock_dies_with_its_holder(holder, tmp_path):
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


def test_what_a_dead_holder_wrote_names_nobody(tmp_path):
    lock = tmp_path / "lock"
    lock.write_text("999999999 somebody else entirely, long gone\n")
    first, second = (Journal(tmp_path / "r.jsonl", lock) for _ in range(2))
    first.begin()
    with pytest.raises(WriterBusy, match=f"pid {os.getpid()} "):
        second.begin()
    first.end()
    assert lock.read_text() == ""


def test_a_lock_of_another_program_is_named_by_its_pid(tmp_path):
    if sys.platform != "linux":
        pytest.skip("needs /proc/locks")
    import fcntl

    lock = tmp_path / "lock"
    with open(lock, "w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(WriterBusy, match=f"pid {os.getpid()}$"):
            Journal(tmp_path / "r.jsonl", lock).begin()
