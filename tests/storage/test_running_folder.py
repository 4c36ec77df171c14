"""The folder of the sockets of running runtimes: private, reached by a short path, without what dead processes have left."""

import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from spindle.storage import running_folder
from spindle.storage.running_folder import open_folder, sockets, sweep


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder whose path is longer than a Unix socket's may be."""
    return tmp_path / ("long" * 40) / "running"


def bind(at: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(at))


@pytest.mark.skipif(sys.platform != "linux", reason="there is no short path elsewhere")
def test_sockets_are_found_by_process(folder: Path) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    with open_folder(folder, make=True) as inside:
        mine = running_folder.new_name()
        other = f"{ended.pid}.0"
        for name in (mine, other, ".hidden", "readme"):
            bind(inside / name)
        (inside / f"{os.getpid()}.file").touch()
        assert sockets(inside) == {mine: os.getpid(), other: ended.pid}
        for name, pid in sockets(inside).items():
            sweep(inside, name, pid)
        assert sockets(inside) == {mine: os.getpid()}
    assert sorted(os.listdir(folder)) == sorted([mine, ".hidden", "readme", f"{os.getpid()}.file"])
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_folder_that_is_open_to_others_is_refused(folder: Path) -> None:
    with open_folder(folder, make=True):
        pass
    folder.chmod(0o750)
    with pytest.raises(PermissionError, match="mode 0700"), open_folder(folder):
        pass


def test_a_folder_that_is_a_link_is_refused(folder: Path, tmp_path: Path) -> None:
    folder.parent.mkdir(parents=True)
    folder.symlink_to(tmp_path)
    with pytest.raises(OSError, match=r"Not a directory|Too many levels"), open_folder(folder):
        pass


def test_no_folder_is_no_runtime(folder: Path) -> None:
    with pytest.raises(FileNotFoundError), open_folder(folder):
        pass
