"""The socket file: its mode, and which files it replaces."""

import errno
import fcntl
import os
import socket
import stat
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from spindle.rpc.transports import unix_socket
from spindle.rpc.transports.unix_socket import BoundSocket, bind_unix, unlink_unix


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s.sock"


@pytest.fixture
def bound(path: Path) -> Iterator[BoundSocket]:
    found = bind_unix(path, 5)
    yield found
    unlink_unix(found)
    found.socket.close()


def connects(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(path)) == 0


def test_only_the_owner_may_connect_and_no_other_file_is_left(bound: BoundSocket) -> None:
    assert stat.S_IMODE(bound.path.lstat().st_mode) == 0o600
    assert connects(bound.path)
    assert list(bound.path.parent.iterdir()) == [bound.path]


def test_the_file_never_shows_another_mode(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mode is set before the file has its name."""
    seen: list[bool] = []
    chmod = Path.chmod

    def watched(self: Path, mode: int) -> None:
        seen.append(path.exists() or stat.S_IMODE(self.parent.stat().st_mode) != 0o700)
        chmod(self, mode)

    monkeypatch.setattr(Path, "chmod", watched)
    made = bind_unix(path, 1)
    made.socket.close()
    assert seen == [False]


def test_missing_folders_are_made_private(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        made = bind_unix(tmp_path / "new" / "deep" / "s", 1)
    finally:
        os.umask(before)
    made.socket.close()
    assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("new", "new/deep")] == [0o700, 0o700]


def test_a_folder_in_which_others_could_replace_it_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(PermissionError, match="must not be writable for everyone"):
        bind_unix(folder / "s", 1)
    folder.chmod(0o1777)  # like /tmp
    bind_unix(folder / "s", 1).socket.close()
    if os.geteuid() == 0:
        os.chown(folder, 65534, 65534)
    monkeypatch.setattr(os, "geteuid", lambda: 4242)
    with pytest.raises(PermissionError, match="must not belong to another user"):
        bind_unix(folder / "other", 1)
    assert sorted(path.name for path in folder.iterdir()) == ["s"]


def test_a_stale_file_is_replaced(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as crashed:
        crashed.bind(str(path))
    assert not connects(path)
    made = bind_unix(path, 1)
    assert connects(path)
    made.socket.close()


def test_a_socket_in_use_is_not_replaced(bound: BoundSocket) -> None:
    with pytest.raises(OSError, match="in use") as error:
        bind_unix(bound.path, 1)
    assert error.value.errno == errno.EADDRINUSE
    assert connects(bound.path)


def test_a_server_with_a_full_queue_is_in_use(path: Path) -> None:
    made = bind_unix(path, 0)
    waiting: list[socket.socket] = []
    while True:
        client = socket.socket(socket.AF_UNIX)
        client.setblocking(False)
        waiting.append(client)
        if client.connect_ex(str(path)) != 0:
            break
    with pytest.raises(OSError, match="in use"):
        bind_unix(path, 1)
    for client in (*waiting, made.socket):
        client.close()


def test_a_file_that_is_not_a_socket_is_not_replaced(path: Path) -> None:
    path.write_text("precious")
    with pytest.raises(FileExistsError):
        bind_unix(path, 1)
    assert path.read_text() == "precious"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.skipif(sys.platform != "linux", reason="it is reached by the descriptor of its folder")
def test_a_long_path_is_reached_from_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / ("x" * 120) / "s"
    made = bind_unix(path, 1)
    with pytest.raises(OSError, match="a server has this socket in use"):
        bind_unix(path, 1)
    monkeypatch.chdir(path.parent)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect("s")
    assert os.listdir() == ["s"]
    unlink_unix(made)
    made.socket.close()
    assert os.listdir() == []


def test_a_path_too_long_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(OSError, match="too long") as error:
        bind_unix(tmp_path / ("x" * 120) / "s", 1)
    assert error.value.errno == errno.ENAMETOOLONG


def test_the_file_is_removed_at_the_end(path: Path) -> None:
    made = bind_unix(path, 1)
    unlink_unix(made)
    assert not path.exists()
    unlink_unix(made)  # removing twice is allowed
    made.socket.close()


def test_a_replaced_file_is_not_removed(path: Path) -> None:
    first = bind_unix(path, 1)
    first.socket.close()
    second = bind_unix(path, 1)
    unlink_unix(first)
    assert connects(path)
    second.socket.close()


def test_of_many_concurrent_servers_one_wins(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as crashed:
        crashed.bind(str(path))
    results: list[BoundSocket | OSError] = []

    def bind() -> None:
        try:
            results.append(bind_unix(path, 1))
        except OSError as error:
            results.append(error)

    threads = [threading.Thread(target=bind) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winners = [result for result in results if isinstance(result, BoundSocket)]
    assert len(winners) == 1
    assert winners[0].identity == (os.lstat(path).st_dev, os.lstat(path).st_ino)
    winners[0].socket.close()


def test_a_folder_locked_by_others_is_an_error_after_a_bounded_wait(
    bound: BoundSocket, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unix_socket, "PATIENCE", 0)
    fd = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH)
        with pytest.raises(TimeoutError, match=f"another process has held the lock.*{path.parent}"):
            bind_unix(path.with_name("other.sock"), 5)
        unlink_unix(bound)
    finally:
        os.close(fd)
    assert os.listdir(path.parent) == [path.name]
