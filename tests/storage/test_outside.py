"""Files and folders from outside: reads are bounded for special files, large files and link cycles."""

import errno
import os
import socket
import tracemalloc
from pathlib import Path

import pytest

from spindle.storage.outside import Hidden, Readable, Walked, place_of, read_file, read_placed, read_start, walk


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
def test_a_file_that_is_not_regular_is_refused_at_once(tmp_path: Path, kind: str) -> None:
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


def outside(hidden: Path) -> Readable:
    """All files may be read, except those in `hidden`."""
    real = os.path.realpath(hidden)
    return lambda path: not path.startswith(real + "/")


@pytest.fixture
def hidden(tmp_path: Path) -> Path:
    folder = tmp_path / "hidden"
    folder.mkdir()
    (folder / "file").write_bytes(b"secret")
    return folder


@pytest.mark.parametrize("name", ["hidden/file", "hidden/missing", "link", "folder/file", "folder/missing"])
def test_a_hidden_file_cannot_be_read_by_any_name_and_looks_missing(
    tmp_path: Path, hidden: Path, name: str
) -> None:
    (tmp_path / "link").symlink_to(hidden / "file")
    (tmp_path / "folder").symlink_to(hidden)
    for read in (read_file, read_start, read_placed):
        with pytest.raises(Hidden, match="Permission denied") as caught:
            read(tmp_path / name, 10, outside(hidden))
        assert caught.value.errno == errno.EACCES


@pytest.mark.parametrize("what", ["file", "folder"])
def test_a_link_changed_after_the_check_is_not_followed(tmp_path: Path, hidden: Path, what: str) -> None:
    (tmp_path / "free").mkdir()
    (tmp_path / "free/file").write_bytes(b"free")
    turned = tmp_path / ("free" if what == "folder" else "free/file")

    def readable(path: str) -> bool:
        found = outside(hidden)(path)
        if not turned.is_symlink():
            turned.rename(tmp_path / "before")
            turned.symlink_to(hidden if what == "folder" else hidden / "file")
        return found

    with pytest.raises(Hidden):
        read_file(tmp_path / "free/file", 10, readable)
    assert turned.is_symlink()
    assert read_file(tmp_path / "before" / ("file" if what == "folder" else ""), 10, outside(hidden)) == b"free"


def test_an_open_file_has_a_real_path_until_it_is_deleted(tmp_path: Path) -> None:
    path = Path(os.path.realpath(tmp_path)) / "file (deleted)"
    path.write_bytes(b"one")
    (tmp_path / "link").symlink_to(path)
    assert read_placed(tmp_path / "link", 2) == (b"on", str(path))
    with path.open("rb") as file:
        assert place_of(file.fileno()) == str(path)
        path.rename(path.with_name("moved"))
        assert place_of(file.fileno()) == str(path.with_name("moved"))
        path.with_name("moved").unlink()
        for there in (False, True):
            if there:
                path.with_name("moved").write_bytes(b"another")
                path.with_name("moved (deleted)").write_bytes(b"another")
            with pytest.raises(FileNotFoundError):
                place_of(file.fileno())


def test_each_folder_is_walked_once_even_with_several_links(tmp_path: Path) -> None:
    root, inner = tmp_path / "root", tmp_path / "root" / "inner"
    inner.mkdir(parents=True)
    (root / ".hidden").mkdir()
    (root / "file").touch()
    for number in range(12):
        (root / f"back{number}").symlink_to(root)
        (inner / f"back{number}").symlink_to(root)
    (root / "itself").symlink_to(root / "itself")
    assert walk([root, inner, tmp_path / "missing"], depth=50, most=1000) == Walked([root, inner])


def test_the_walk_is_bounded_in_depth_and_entries(tmp_path: Path) -> None:
    (tmp_path / "a/b/c").mkdir(parents=True)
    assert walk([tmp_path], depth=2, most=10) == Walked([tmp_path, tmp_path / "a", tmp_path / "a/b"])
    for number in range(3):
        (tmp_path / "a" / f"file{number}").touch()
    assert walk([tmp_path], depth=2, most=6).cut is None
    assert walk([tmp_path], depth=2, most=4) == Walked([tmp_path, tmp_path / "a"], tmp_path / "a")
