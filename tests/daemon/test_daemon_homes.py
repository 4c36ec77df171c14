"""A home that two daemons share, that other users may read, or whose daemon has no descriptors left."""

from __future__ import annotations

import json
import os
import resource
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from .client import Client
    from .model import Endpoint
    from .process import Daemon

ITEM = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "injected"}]}


def kinds(path: Path) -> list[str]:
    """The types of the records of a rollout. Checks that all are complete."""
    data = path.read_bytes()
    assert data.endswith(b"\n")
    records = [json.loads(line) for line in data.splitlines()]
    return [str(record["payload"].get("type", record["type"])) for record in records]


def turns(client: Client, id: str) -> list[tuple[str, str]]:
    thread = client.call("thread/read", threadId=id, includeTurns=True)["thread"]
    return [(turn["id"], turn["status"]) for turn in thread["turns"]]


STORED: list[tuple[str, dict[str, Any]]] = [
    ("thread/resume", {}),
    ("thread/name/set", {"name": "theirs"}),
    ("thread/metadata/update", {"gitInfo": {"branch": "theirs"}}),
    ("thread/memoryMode/set", {"mode": "disabled"}),
    ("thread/archive", {}),
    ("thread/delete", {}),
]
LOADED: list[tuple[str, dict[str, Any]]] = [
    ("thread/name/set", {"name": "theirs"}),
    ("thread/metadata/update", {"gitInfo": {"branch": "theirs"}}),
    ("thread/memoryMode/set", {"mode": "disabled"}),
    ("thread/rollback", {"numTurns": 1}),
    ("thread/inject_items", {"items": [ITEM]}),
    ("thread/revert", {"beforeTurnId": "first"}),
    ("thread/settings/update", {"model": "other"}),
    ("thread/archive", {}),
    ("thread/delete", {}),
]


@pytest.mark.parametrize("loaded", [False, True], ids=["stored", "loaded"])
def test_requests_of_another_daemon_for_a_thread_with_a_running_turn_are_refused_or_harmless(
    launch: Callable[..., Daemon], endpoint: Endpoint, loaded: bool
) -> None:
    first = launch()
    ours, theirs = first.client(experimentalApi=True), launch().client(experimentalApi=True)
    thread = ours.start_thread()
    id, path = thread["id"], Path(thread["path"])
    done = ours.run_turn(id, "before")["id"]
    if loaded:
        theirs.call("thread/resume", threadId=id)
    running = ours.hold_turn(id)
    before = path.read_bytes()
    for method, params in LOADED if loaded else STORED:
        params = {"beforeTurnId": done} if method == "thread/revert" else params
        message = theirs.refusal(method, threadId=id, **params).message
        assert f"already has an active writer: pid {first.process.pid} (spindle)" in message, (method, message)
    if loaded:
        since = theirs.now
        theirs.start_turn(id, "mine")
        failed = theirs.wait_for("turn/completed", id, None, since)["turn"]
        assert failed["status"] == "failed"
        assert f"pid {first.process.pid}" in failed["error"]["message"]
    assert path.read_bytes() == before
    fork = theirs.call("thread/fork", threadId=id)["thread"]
    assert [turn["status"] for turn in fork["turns"]] == ["completed", "interrupted"]
    ours.call("thread/name/set", threadId=id, name="ours")
    since = ours.now
    endpoint.release()
    assert ours.wait_for("turn/completed", id, running, since)["turn"]["status"] == "completed"
    assert path.read_bytes().startswith(before)
    assert kinds(path).count("task_complete") == 2
    assert turns(theirs, id) == turns(ours, id) == [(done, "completed"), (running, "completed")]
    if not loaded:
        theirs.call("thread/resume", threadId=id)
    last = theirs.run_turn(id, "after")
    assert last["status"] == "completed"
    assert turns(ours, id) == [(done, "completed"), (running, "completed"), (last["id"], "completed")]
    assert {each["id"]: each["name"] for each in theirs.call("thread/list")["data"]}[id] == "ours"


@pytest.mark.parametrize("mask", ["000", "077"])
def test_the_files_of_a_daemon_are_for_its_owner_alone(launch: Callable[..., Daemon], home: Path, mask: str) -> None:
    client = launch(prefix=["/bin/sh", "-c", f'umask {mask}; exec "$@"', "sh"]).client(experimentalApi=True)
    ids = [client.start_thread()["id"] for _ in range(2)]
    for id in ids:
        client.run_turn(id, "secret")
        client.call("thread/name/set", threadId=id, name="secret")
    assert len(client.call("thread/list")["data"]) == 2
    client.call("thread/goal/set", threadId=ids[0], objective="secret")
    client.call("account/login/start", type="apiKey", apiKey="sk-secret")
    client.call("thread/archive", threadId=ids[1])
    open_to_others = {
        str(path.relative_to(home))
        for path in home.rglob("*")
        if stat.S_IMODE(path.stat().st_mode) & 0o077 and path != home / "config.toml"
    }
    assert open_to_others == set()
    assert {"sessions", "archived_sessions", "spindle", "thread-writer-locks", "auth.json", "session_index.jsonl"} <= set(
        os.listdir(home)
    )


@pytest.mark.parametrize(
    ("kind", "most", "reason"),
    [("RLIMIT_NOFILE", 3, "Too many open files"), ("RLIMIT_FSIZE", 0, "File too large")],
)
def test_a_first_turn_that_cannot_make_its_files_fails_and_the_next_one_works(
    launch: Callable[..., Daemon], home: Path, kind: str, most: int, reason: str
) -> None:
    daemon = launch()
    client = daemon.client()
    client.run_turn(client.start_thread()["id"], "has everything imported")
    thread = client.start_thread()
    which = getattr(resource, kind)
    if not hasattr(resource, "prlimit"):
        pytest.skip("limits of another process cannot be set")
    soft, hard = resource.prlimit(daemon.process.pid, which)
    resource.prlimit(daemon.process.pid, which, (most, hard))
    failed = client.run_turn(thread["id"], "one")
    resource.prlimit(daemon.process.pid, which, (soft, hard))
    assert failed["status"] == "failed"
    assert "could not be saved" in failed["error"]["message"]
    assert reason in failed["error"]["message"]
    assert not Path(thread["path"]).exists()
    assert client.run_turn(thread["id"], "two")["status"] == "completed"
    assert turns(client, thread["id"])[-1][1] == "completed"
    assert kinds(Path(thread["path"]))[0] == "session_meta"
