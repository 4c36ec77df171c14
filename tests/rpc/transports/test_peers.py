"""What the kernel says of another process."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from spindle.rpc.transports.peers import standing

pytestmark = pytest.mark.skipif(not os.path.exists("/proc/self/ns"), reason="needs /proc")

WAIT = "import ctypes, sys; {}; print(flush=True); sys.stdin.read()"


@contextmanager
def process(does: str) -> Iterator[int]:
    """A process that has done something, and waits."""
    command = [sys.executable, "-c", WAIT.format(does)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdout.readline()
        yield child.pid
        child.stdin.close()


def differing(pid: int) -> set[str]:
    ours, theirs = standing(os.getpid()), standing(pid)
    assert ours is not None
    assert theirs is not None
    return {name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)}


def test_a_child_stands_as_its_parent() -> None:
    with process("pass") as pid:
        assert differing(pid) == set()


def test_no_new_privs_shows() -> None:
    with process("ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)") as pid:
        assert differing(pid) == {"no_new_privs"}


def test_a_namespace_of_its_own_shows() -> None:
    with process("ctypes.CDLL(None).unshare(0x10000000)") as pid:  # CLONE_NEWUSER
        found = differing(pid)
    if not found:
        pytest.skip("this system has no user namespaces")
    assert "user namespace" in found


def test_a_process_that_is_gone_cannot_be_looked_at() -> None:
    with process("pass") as pid:
        pass
    with pytest.raises(OSError):
        standing(pid)
