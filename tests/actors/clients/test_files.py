"""fs/*: files as a client reads, changes and watches them."""

import errno
import os
from base64 import b64encode

import pytest
import trio

from spindle.actors.clients.files import operations
from spindle.actors.clients.files import watches as client_watches
from spindle.actors.clients.files.base64_text import InvalidBase64, decode


def os_error(number):
    return {"code": -32603, "message": f"{os.strerror(number)} (os error {number})"}


MISSING = os_error(errno.ENOENT)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("!!", "Invalid symbol 33, offset 0."),
        ("YQ", "Invalid padding"),
        ("YR==", "Invalid last symbol 82, offset 1."),
        ("YWJ=", "Invalid last symbol 74, offset 2."),
        ("YW Jj", "Invalid symbol 32, offset 2."),
        ("YWJj\n", "Invalid symbol 10, offset 4."),
        ("-_==", "Invalid symbol 45, offset 0."),
        ("YQ===", "Invalid symbol 61, offset 2."),
        ("YWJjé", "Invalid symbol 195, offset 4."),
        ("YWJjZ", "Invalid input length: 5"),
        ("====", "Invalid symbol 61, offset 0."),
    ],
)
def test_base64_is_strict(text, fault):
    with pytest.raises(InvalidBase64) as caught:
        decode(text)
    assert str(caught.value) == fault


@pytest.mark.parametrize("data", [b"", b"a", b"ab", b"abc", b"abcd", bytes(range(256))])
def test_base64_of_any_length(data):
    assert decode(b64encode(data).decode()) == data


async def test_what_was_written_is_read(client, tmp_path):
    path, data = f"{tmp_path}/file", bytes(range(256)) * 1000
    (tmp_path / "file").write_text("longer than nothing")
    os.chmod(path, 0o640)
    assert await client.call("fs/writeFile", path=path, dataBase64=b64encode(data).decode()) == {}
    assert (tmp_path / "file").read_bytes() == data
    assert os.stat(path).st_mode & 0o777 == 0o640
    assert await client.call("fs/readFile", path=path) == {"dataBase64": b64encode(data).decode()}
    assert await client.call("fs/readFile", path=f"{tmp_path}/none") == MISSING
    assert await client.call("fs/readFile", path=str(tmp_path)) == os_error(errno.EISDIR)
    assert (await client.call("fs/readFile", path="file"))["message"] == (
        "Invalid request: AbsolutePathBuf deserialized without a base path (at path)"
    )


async def test_wrong_base64_changes_no_file(client, tmp_path):
    (tmp_path / "file").write_text("kept")
    assert await client.call("fs/writeFile", path=f"{tmp_path}/file", dataBase64="!") == {
        "code": -32600,
        "message": "fs/writeFile requires valid base64 dataBase64: Invalid symbol 33, offset 0.",
    }
    assert (tmp_path / "file").read_text() == "kept"


async def test_a_pipe_does_not_hold_up_a_read_or_a_write(client, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    refusal = {"code": -32600, "message": f"path `{tmp_path}/pipe` is not a file"}
    assert await client.call("fs/readFile", path=f"{tmp_path}/pipe") == refusal
    assert await client.call("fs/writeFile", path=f"{tmp_path}/pipe", dataBase64="") == refusal


async def test_a_file_above_the_bound_is_refused(client, tmp_path, monkeypatch):
    monkeypatch.setattr(operations, "LARGEST", 10)
    (tmp_path / "file").write_bytes(bytes(11))
    assert await client.call("fs/readFile", path=f"{tmp_path}/file") == {
        "code": -32600, "message": "file is too large to read: limit is 10 bytes"}  # fmt: skip


async def test_a_slash_after_a_link_does_not_mean_its_target(client, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/file").write_text("kept")
    (tmp_path / "link").symlink_to("folder")
    assert await client.call("fs/remove", path=f"{tmp_path}/link/") == {}
    assert not (tmp_path / "link").is_symlink()
    assert (tmp_path / "folder/file").read_text() == "kept"


async def test_removal(client, tmp_path):
    (tmp_path / "a/b").mkdir(parents=True)
    path = f"{tmp_path}/a"
    assert await client.call("fs/remove", path=path, recursive=False) == os_error(errno.ENOTEMPTY)
    assert await client.call("fs/remove", path=path) == {}
    assert await client.call("fs/remove", path=path) == {}
    assert await client.call("fs/remove", path=path, force=False) == MISSING


async def test_folders(client, tmp_path):
    path = f"{tmp_path}/a/b"
    assert await client.call("fs/createDirectory", path=path, recursive=False) == MISSING
    assert await client.call("fs/createDirectory", path=path) == {}
    assert await client.call("fs/createDirectory", path=path) == {}
    assert await client.call("fs/createDirectory", path=path, recursive=False) == os_error(errno.EEXIST)
    (tmp_path / "a/file").write_text("")
    (tmp_path / "a/nowhere").symlink_to("none")
    assert await client.call("fs/createDirectory", path=f"{tmp_path}/a/file/x") == os_error(errno.ENOTDIR)
    entries = (await client.call("fs/readDirectory", path=f"{tmp_path}/a"))["entries"]
    assert sorted((one["fileName"], one["isDirectory"], one["isFile"]) for one in entries) == [
        ("b", True, False), ("file", False, True)]  # fmt: skip


async def test_metadata_follows_links(client, tmp_path):
    (tmp_path / "file").write_text("")
    os.utime(tmp_path / "file", ns=(0, 1_234_567_890))
    (tmp_path / "link").symlink_to("file")
    found = await client.call("fs/getMetadata", path=f"{tmp_path}/link")
    assert (found["isFile"], found["isDirectory"], found["isSymlink"]) == (True, False, True)
    assert found["modifiedAtMs"] == 1234
    assert (await client.call("fs/getMetadata", path=f"{tmp_path}/file"))["isSymlink"] is False


async def test_copies(client, tmp_path):
    (tmp_path / "a/sub").mkdir(parents=True)
    (tmp_path / "a/sub/file").write_text("x")
    os.chmod(tmp_path / "a/sub/file", 0o751)
    (tmp_path / "a/link").symlink_to("sub/file")
    os.mkfifo(tmp_path / "a/pipe")

    async def copy(source, target, **more):
        return await client.call(
            "fs/copy", sourcePath=f"{tmp_path}/{source}", destinationPath=f"{tmp_path}/{target}", **more
        )

    assert (await copy("a", "b"))["message"] == "fs/copy requires recursive: true when sourcePath is a directory"
    assert await copy("a", "b", recursive=True) == {}
    assert sorted(os.listdir(tmp_path / "b")) == ["link", "sub"]
    assert (tmp_path / "b/sub/file").read_text() == "x"
    assert os.stat(tmp_path / "b/sub/file").st_mode & 0o777 == 0o751
    assert os.readlink(tmp_path / "b/link") == "sub/file"
    (tmp_path / "to-a").symlink_to("a")
    for inside in ("a", "a/new", "to-a/new"):
        assert (await copy("a", inside, recursive=True))["message"] == operations._TO_ITSELF
    assert (await copy("a/pipe", "p"))["message"] == "fs/copy only supports regular files, directories, and symlinks"
    assert await copy("a/sub/file", "a/sub/file") == {}
    assert (tmp_path / "a/sub/file").read_text() == "x"


async def test_a_watch_reports_changes_until_it_ends(client, tmp_path):
    assert await client.call("fs/watch", watchId="w", path=f"{tmp_path}/x/..") == {"path": str(tmp_path)}
    assert (await client.call("fs/watch", watchId="w", path=str(tmp_path)))["message"] == "watchId already exists: w"
    (tmp_path / "file").write_text("x")
    assert await client.notification("fs/changed") == {"watchId": "w", "changedPaths": [f"{tmp_path}/file"]}
    assert await client.call("fs/unwatch", watchId="w") == {}
    assert await client.call("fs/unwatch", watchId="w") == {}
    await client.call("fs/watch", watchId="v", path=f"{tmp_path}/other")
    client.notes.clear()
    (tmp_path / "file").write_text("y")
    (tmp_path / "other").write_text("y")
    assert (await client.notification("fs/changed"))["watchId"] == "v"
    assert not client.notes


async def test_watches_are_bounded_and_end_with_the_connection(client, tmp_path, monkeypatch):
    monkeypatch.setattr(client_watches, "MOST", 1)
    await client.call("fs/watch", watchId="1", path=str(tmp_path))
    assert await client.call("fs/watch", watchId="2", path=str(tmp_path)) == {
        "code": -32600, "message": "too many watches: limit is 1"}  # fmt: skip
    held = client.services.watches
    assert len(held._notify) == 1
    client.wire.requests.close()
    with trio.fail_after(60):
        while held._notify:
            await trio.lowlevel.checkpoint()


async def test_a_path_that_cannot_be_watched_frees_its_id(client, tmp_path, monkeypatch):
    def refuse(watched):
        raise OSError(errno.ENOSPC, "no")

    await client.call("fs/watch", watchId="first", path=str(tmp_path))
    with monkeypatch.context() as patched:
        patched.setattr(client.services.watches._watcher, "add", refuse)
        assert await client.call("fs/watch", watchId="w", path=str(tmp_path)) == os_error(errno.ENOSPC)
    assert await client.call("fs/watch", watchId="w", path=str(tmp_path)) == {"path": str(tmp_path)}
