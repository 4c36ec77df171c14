"""The folder of the shared daemon: one lock, one socket, whatever an earlier daemon has left."""

import os
import socket
import stat
from pathlib import Path

import pytest

from spindle.storage import shared_folder


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home whose path is longer than a Unix socket's may be."""
    monkeypatch.chdir(tmp_path)  # restores the working directory
    home = tmp_path / ("long" * 40)
    shared_folder.enter(str(home))
    return home


def test_the_folder_and_its_files_are_for_their_owner_alone(home: Path) -> None:
    assert Path.cwd() == Path(shared_folder.shared_folder(str(home)))
    os.close(shared_folder.open_log())
    lock = shared_folder.take_lock()
    assert lock is not None
    os.close(lock)
    shared_folder.listen().close()
    for path in (home, home / "spindle", Path.cwd(), *Path.cwd().iterdir()):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_a_folder_that_is_open_to_others_is_refused(home: Path) -> None:
    os.chmod(".", 0o750)
    with pytest.raises(PermissionError, match="mode 0700"):
        shared_folder.enter(str(home))


def test_one_process_at_a_time_has_the_lock(home: Path) -> None:
    assert shared_folder.owner() == ("", False)
    lock = shared_folder.take_lock()
    assert lock is not None
    shared_folder.sign(lock)
    assert shared_folder.take_lock() is None
    assert shared_folder.owner() == (str(os.getpid()), False)
    os.close(lock)
    again = shared_folder.take_lock()
    assert again is not None
    os.close(again)


def test_a_socket_that_is_left_is_replaced(home: Path) -> None:
    assert shared_folder.connect(1) is None
    shared_folder.listen().close()  # as a killed daemon leaves it
    assert Path(shared_folder.SOCKET).exists()
    assert shared_folder.connect(1) is None
    with shared_folder.listen() as server:
        connection = shared_folder.connect(1)
        assert connection is not None
        with connection, server.accept()[0] as accepted:
            assert accepted.family == socket.AF_UNIX
    shared_folder.leave()
    shared_folder.leave()
    assert not Path(shared_folder.SOCKET).exists()
