"""Files and folders of others: what is no file, is too large or leads back to itself costs a bounded read."""

import errno
import os
import socket
import tracemalloc
from pathlib import Path

import pytest

from spindle.storage.outside import Walked, read_file, read_start, walk


def test_a_file_up_to_the_bound_is_read_and_a_larger_one_names_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    assert read_file(path, 5) == b"12345"
    assert read_start(path, 3) == b"123"
    assert read_start(path, 0) == b""
    with pytest.raises(OSError, match=r"larger than 4 bytes.*file") as caught:
        read_file(path, 4)
    assert caught.value.errno == errno.EFBIG


def test_a_large_file_takes_the_memory_of_its_bound(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    os.truncate(path, 600 << 20)
    tracemalloc.start()
    try:
        with pytest.raises(OSError, match="larger than"):
            read_file(path, 1 << 20)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 << 20


@pytest.mark.parametrize("kind", ["pipe", "device", "socket", "folder", "missing", "loop"])
def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "file"
    with socket.socket(socket.AF_UNIX) as server:
        match kind:
            case "pipe":
                os.mkfifo(path)
            case "device":
                path.symlink_to("/dev/zero")
            case "socket":
                server.bind(str(path))
            case "folder":
                path.mkdir()
            case "loop":
                path.symlink_to(path)
            case _:
                pass
        with pytest.raises(OSError, match="file"):
            read_file(path, 10)


def test_links_to_files_are_followed(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"text")
    (tmp_path / "link").symlink_to("file")
    assert read_file(tmp_path / "link", 10) == b"text"


def test_each_folder_is_walked_once_however_many_links_lead_to_it(tmp_path: Path) -> None:
    root, inner = tmp_path / "root", tmp_path / "root" / "inner"
    inner.mkdir(parents=True)
    (root / ".hidden").mkdir()
    (root / "file").touch()
    for number in range(12):
        (root / f"back{number}").symlink_to(root)
        (inner / f"back{number}").symlink_to(root)
    (root / "itself").symlink_to(root / "itself")
    assert walk([root, inner, tmp_path / "missing"], depth=50, most=1000) == Walked([root, inner])


def test_the_walk_has_a_depth_and_a_number_of_entries(tmp_path: Path) -> None:
    (tmp_path / "a/b/c").mkdir(parents=True)
    assert walk([tmp_path], depth=2, most=10) == Walked([tmp_path, tmp_path / "a", tmp_path / "a/b"])
    for number in range(3):
        (tmp_path / "a" / f"file{number}").touch()
    assert walk([tmp_path], depth=2, most=6).cut is None
    assert walk([tmp_path], depth=2, most=4) == Walked([tmp_path, tmp_path / "a"], tmp_path / "a")
