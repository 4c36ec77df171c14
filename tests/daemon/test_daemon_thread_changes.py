"""Names, metadata, forks and summaries of threads, for a client on stdio."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .client import Client
    from .process import Daemon

UNKNOWN = "0199a213-81c0-7800-8aa1-bbab2a035a53"


@pytest.fixture
def client(daemon: Daemon) -> Client:
    return daemon.client(experimentalApi=True)


@pytest.fixture
def stored(client: Client) -> str:
    """An unloaded thread with one turn."""
    thread: str = client.start_thread()["id"]
    client.run_turn(thread, "hello")
    client.call("thread/unsubscribe", threadId=thread)
    client.wait_for("thread/closed", thread)
    return thread


def test_a_stored_thread_is_named_and_described_without_being_loaded(client: Client, stored: str) -> None:
    assert client.call("thread/name/set", threadId=stored, name=" kept ") == {}
    assert client.wait_for("thread/name/updated", stored)["threadName"] == "kept"
    git = {"branch": " b ", "sha": "a"}
    thread = client.call("thread/metadata/update", threadId=stored, gitInfo=git)["thread"]
    assert (thread["name"], thread["status"]) == ("kept", {"type": "notLoaded"})
    assert thread["gitInfo"] == {"sha": "a", "branch": "b", "originUrl": None}
    assert client.call("thread/memoryMode/set", threadId=stored, mode="disabled") == {}
    assert client.call("thread/loaded/list")["data"] == []
    [row] = client.call("thread/list", modelProviders=[])["data"]
    assert (row["name"], row["gitInfo"]) == ("kept", thread["gitInfo"])
    assert client.call("thread/resume", threadId=stored)["thread"]["gitInfo"] == thread["gitInfo"]


def test_an_archived_thread_is_described_but_not_named(client: Client, stored: str) -> None:
    client.call("thread/archive", threadId=stored)
    assert client.refusal("thread/name/set", threadId=stored, name="x").message == f"thread not found: {stored}"
    git = {"branch": "b"}
    assert client.call("thread/metadata/update", threadId=stored, gitInfo=git)["thread"]["gitInfo"]["branch"] == "b"
    assert client.call("getConversationSummary", conversationId=stored)["summary"]["gitInfo"]["branch"] == "b"


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("thread/name/set", {"name": "x"}),
        ("thread/metadata/update", {"gitInfo": {"branch": "b"}}),
        ("thread/memoryMode/set", {"mode": "enabled"}),
        ("thread/rollback", {"numTurns": 1}),
        ("thread/inject_items", {"items": [{"type": "x"}]}),
        ("thread/compact/start", {}),
        ("thread/increment_elicitation", {}),
        ("thread/decrement_elicitation", {}),
    ],
)
def test_an_unknown_thread_is_not_found(client: Client, method: str, params: dict[str, Any]) -> None:
    assert client.refusal(method, threadId=UNKNOWN, **params).message == f"thread not found: {UNKNOWN}"
    assert "invalid thread id" in client.refusal(method, threadId="nope", **params).message


@pytest.mark.parametrize(
    ("git", "reason"),
    [
        (None, "gitInfo must include at least one field"),
        ({}, "gitInfo must include at least one field"),
        ({"originUrl": "  "}, "gitInfo.originUrl must not be empty"),
    ],
)
def test_a_change_of_nothing_is_refused(client: Client, git: dict[str, Any] | None, reason: str) -> None:
    assert client.refusal("thread/metadata/update", threadId=UNKNOWN, gitInfo=git).message == reason


def test_a_fork_by_path_needs_no_id(client: Client, stored: str) -> None:
    path = client.call("thread/read", threadId=stored)["thread"]["path"]
    thread = client.call("thread/fork", threadId="", path=path)["thread"]
    assert (thread["forkedFromId"], thread["preview"], len(thread["turns"])) == (stored, "hello", 1)
    assert "none.jsonl" in client.refusal("thread/fork", threadId="", path="/none.jsonl").message


def test_a_conversation_summary_by_id_and_by_path(daemon: Daemon, client: Client, stored: str) -> None:
    by_id = client.call("getConversationSummary", conversationId=stored)["summary"]
    assert (by_id["conversationId"], by_id["preview"], by_id["source"]) == (stored, "hello", "vscode")
    path = by_id["path"].removeprefix(f"{daemon.home}/")
    assert client.call("getConversationSummary", rolloutPath=path)["summary"] == by_id
    missing = client.refusal("getConversationSummary", rolloutPath="/none.jsonl").message
    assert missing == "failed to resolve rollout path `/none.jsonl`: No such file or directory (os error 2)"
    assert "NUL" in client.refusal("getConversationSummary", rolloutPath="/a\0b").message
    unknown = client.refusal("getConversationSummary", conversationId=UNKNOWN).message
    assert unknown == f"no rollout found for conversation id {UNKNOWN}"
    assert "did not match any variant" in client.refusal("getConversationSummary", conversationId="nope").message


def test_the_parameters_of_a_new_thread_are_checked(client: Client) -> None:
    tool = {"name": "a", "description": "d", "inputSchema": {"type": "object"}}
    for change, reason in (
        ({"name": " "}, "dynamic tool name must not be empty"),
        ({"name": "mcp__x"}, "dynamic tool name is reserved: mcp__x"),
        ({"name": "a b"}, "dynamic tool name must match ^[a-zA-Z0-9_-]+$ to match Responses API: a b"),
    ):
        assert client.refusal("thread/start", dynamicTools=[tool | change]).message == reason
    assert client.refusal("thread/start", dynamicTools=[tool, tool]).message == "duplicate dynamic tool name: a"
    twice = client.refusal("thread/start", permissionProfile={}, sandbox="read-only").message
    assert twice == "`permissionProfile` cannot be combined with `sandbox`"


def test_null_removes_the_configured_service_tier(client: Client) -> None:
    config = {"service_tier": "fast"}
    assert client.call("thread/start", config=config)["serviceTier"] == "fast"
    assert client.call("thread/start", config=config, serviceTier=None)["serviceTier"] is None
    assert client.call("thread/start", config=config, serviceTier="flex")["serviceTier"] == "flex"


def test_a_thread_has_its_source(client: Client) -> None:
    thread = client.call("thread/start", threadSource="automation", historyMode="paginated", model="m")["thread"]
    client.run_turn(thread["id"], "hello")
    told = {"threadSource": "automation", "historyMode": "paginated", "originator": "tester"}
    for shown in (thread, client.call("thread/read", threadId=thread["id"])["thread"]):
        assert {name: shown[name] for name in told} == told
        assert (shown["model"], shown["canAcceptDirectInput"]) == ("m", True)
    [row] = client.call("thread/list", modelProviders=[])["data"]
    assert {name: row[name] for name in told} == told
