"""Rollouts that another program changes, and homes that cannot be written to, through a daemon: docs/files.md, "Damage"."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from .histories import (
    NOT_SAVED,
    ONE,
    TWO,
    index,
    joined,
    lines,
    listed,
    place,
    read,
    records,
    shown,
    status,
    thread_of,
    turn,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from .client import Client
    from .model import Endpoint
    from .process import Daemon


def other_turn(path: Path) -> bytes:
    return joined([*path.read_bytes().splitlines(keepends=True)[:1], *turn("other", "elsewhere", "anderswo")])


def removed(path: Path) -> None:
    path.unlink()


def shortened(path: Path) -> None:
    path.write_bytes(other_turn(path)[:-1])


def rewritten(path: Path) -> None:
    path.write_bytes(other_turn(path) + joined(turn("long", "l" * 9000, "r")))


def replaced(path: Path) -> None:
    new = path.with_name("new")
    new.write_bytes(other_turn(path))
    os.replace(new, path)


def test_a_rollout_that_is_changed_under_an_idle_thread_is_reloaded(experimental: Client, endpoint: Endpoint) -> None:
    for change in (shortened, replaced):
        thread = experimental.start_thread()
        experimental.run_turn(thread["id"], "first")
        change(Path(thread["path"]))
        elsewhere = ("other", "completed", ["elsewhere", "anderswo"])
        assert read(experimental, thread["id"]) == [elsewhere]
        ended = experimental.run_turn(thread["id"], "more")
        assert ended["status"] == "completed"
        assert read(experimental, thread["id"]) == [elsewhere, (ended["id"], "completed", ["more", "You said: more"])]
        asked = [item["content"][-1]["text"] for item in endpoint.requests.entries[-1]["input"]]
        assert "elsewhere" in asked
        assert "first" not in asked
        assert records(Path(thread["path"]))[0]["type"] == "session_meta"


def test_each_request_that_needs_a_removed_rollout_fails(experimental: Client, home: Path) -> None:
    thread = experimental.start_thread()
    id, path = thread["id"], Path(thread["path"])
    experimental.run_turn(id, "first")
    removed(path)
    for method, params in (
        ("thread/read", {"includeTurns": True}),
        ("thread/turns/list", {}),
        ("thread/name/set", {"name": "named"}),
        ("thread/rollback", {"numTurns": 1}),
        ("thread/metadata/update", {"gitInfo": {"branch": "b"}}),
    ):
        message = experimental.refusal(method, threadId=id, **params).message
        assert path.name in message, (method, message)
    assert listed(experimental) == set()
    ended = experimental.run_turn(id, "second")
    assert ended["status"] == "failed"
    assert "is gone" in ended["error"]["message"]
    assert not path.exists()
    experimental.call("thread/unsubscribe", threadId=id)
    experimental.wait_for("thread/closed", id)
    assert "no rollout found" in experimental.refusal("thread/resume", threadId=id).message


@pytest.mark.parametrize("change", [removed, shortened, rewritten, replaced])
def test_a_rollout_that_is_changed_under_a_running_turn(
    experimental: Client, endpoint: Endpoint, change: Callable[[Path], None]
) -> None:
    thread = experimental.start_thread()
    id, path = thread["id"], Path(thread["path"])
    experimental.run_turn(id, "first")
    since = experimental.now
    held = experimental.hold_turn(id)
    change(path)
    endpoint.release()
    ended = experimental.wait_for("turn/completed", id, held, since)["turn"]
    if change is rewritten:
        assert ended["status"] == "completed"  # what the turn wrote afterwards is in the file
    else:
        assert ended["status"] == "failed"
        assert ended["error"]["message"].startswith(NOT_SAVED)
    if change is removed:
        assert not path.exists()
        return
    again = experimental.run_turn(id, "again")
    assert again["status"] == "completed"
    assert read(experimental, id)[-1] == (again["id"], "completed", ["again", "You said: again"])
    assert read(experimental, id)[0] == ("other", "completed", ["elsewhere", "anderswo"])


@pytest.fixture
def read_only(launch: Callable[..., Daemon], home: Path) -> Callable[[], Daemon]:
    """Launches a daemon whose home is mounted read-only."""
    script = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && cd "$1" && shift && exec "$@"'
    prefix = ["unshare", "-rm", "sh", "-c", script, "sh", str(home)]
    if shutil.which("unshare") is None or subprocess.run([*prefix, "true"], capture_output=True).returncode:
        pytest.skip("no mounts of our own can be made here")
    return lambda: launch(prefix=prefix)


@pytest.mark.parametrize("used", [False, True])
def test_a_read_only_home_can_be_read(
    read_only: Callable[[], Daemon], launch: Callable[..., Daemon], home: Path, used: bool
) -> None:
    """With and without an existing index and state."""
    for number in range(2):
        place(home, thread_of(number)).write_bytes(joined(lines(thread_of(number))))
    if used:
        earlier = launch()
        client = earlier.client(experimentalApi=True)
        client.call("threadSection/create", name="a section", appearance=None)
        listed(client)
        client.join()
        earlier.wait()
        index(home)
    before = sorted(home.rglob("*"))
    client = read_only().client(experimentalApi=True)
    loaded, stored = thread_of(0), thread_of(1)
    assert listed(client) == {loaded, stored}
    assert read(client, stored) == [ONE, TWO]
    assert len(client.call("thread/turns/list", threadId=stored)["data"]) == 2
    assert len(client.call("thread/search", searchTerm="two")["data"]) == 2
    assert shown(client.call("thread/resume", threadId=loaded)["thread"]) == [ONE, TWO]
    new = client.start_thread()["id"]
    for id in (loaded, new):
        ended = client.run_turn(id, "lost")
        assert ended["status"] == "failed"
        assert ended["error"]["message"].startswith(NOT_SAVED)
        assert "Read-only file system" in ended["error"]["message"]
        assert status(client, id) == "systemError"
    for id in (loaded, stored):
        for method, params in (
            ("thread/name/set", {"name": "named"}),
            ("thread/metadata/update", {"gitInfo": {"branch": "b"}}),
            ("thread/memoryMode/set", {"mode": "disabled"}),
            ("thread/fork", {}),
            ("thread/goal/set", {"objective": "o"}),
            ("thread/archive", {}),
        ):
            message = client.refusal(method, threadId=id, **params).message
            assert any(word in message for word in ("Read-only file system", "readonly", "unable to open")), message
        assert read(client, id) == [ONE, TWO]
    ephemeral = client.start_thread(ephemeral=True)["id"]
    assert client.run_turn(ephemeral, "said")["status"] == "completed"
    assert sorted(home.rglob("*")) == before
