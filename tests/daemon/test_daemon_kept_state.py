"""Sections, goals, read states, searches and deletion, through one daemon and through a second one after it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .client import Client
    from .process import Daemon

UNKNOWN = "019a0000-0000-7000-8000-000000000000"


@pytest.fixture
def client(daemon: Daemon) -> Client:
    """A client with the experimental API."""
    return daemon.client(experimentalApi=True)


def thread_with_a_turn(client: Client, text: str) -> str:
    thread: str = client.start_thread()["id"]
    client.run_turn(thread, text)
    return thread


def refused(client: Client, method: str, **params: Any) -> Any:
    """The `error` member of the answer."""
    since = client.now
    (id,) = client.ask((method, params))
    return client.messages.find(lambda message: message.get("id") == id and "method" not in message, since)["error"]


def listed(client: Client, **params: Any) -> list[str]:
    return [thread["id"] for thread in client.call("thread/list", **params)["data"]]


def test_threads_are_listed_in_the_order_of_their_section(client: Client) -> None:
    one, two, three = (thread_with_a_turn(client, text) for text in ("one", "two", "three"))
    section = client.call("threadSection/create", name=" Work ", appearance={"icon": "star"})["section"]
    assert client.call("threadSection/list")["data"][1:] == [section]
    for thread in (one, two):
        client.call("thread/section/move", threadId=thread, sectionId=section["id"])
    since = client.now
    client.call("thread/section/move", threadId=two, sectionId=section["id"], beforeThreadId=one)
    assert client.wait_for("thread/section/changed", two, since=since)["sectionId"] == section["id"]
    assert listed(client, sortKey="section_position", sectionId=section["id"]) == [two, one]
    assert listed(client, sectionId=None) == [three]
    assert sorted(listed(client)) == sorted([one, two, three])
    assert client.call("thread/read", threadId=one)["thread"]["section"] == section
    assert client.call("thread/resume", threadId=one)["thread"]["section"] == section
    client.call("thread/archive", threadId=two)
    assert listed(client, sortKey="section_position", sectionId=section["id"]) == [one]
    assert client.call("thread/unarchive", threadId=two)["thread"]["section"] == section
    client.call("threadSection/delete", sectionId=section["id"])
    assert sorted(listed(client, sectionId=None)) == sorted([one, two, three])


def test_refusals_of_section_requests(client: Client) -> None:
    thread = thread_with_a_turn(client, "one")
    for method, params, code, message in (
        ("threadSection/create", {"name": " "}, -32602, "section name must not be empty"),
        ("threadSection/update", {"sectionId": "x", "name": "a"}, -32602, "thread section not found: x"),
        ("thread/section/move", {"threadId": thread, "sectionId": "x"}, -32600, "section x does not exist"),
        ("thread/section/move", {"threadId": UNKNOWN, "sectionId": None}, -32600, f"thread not found: {UNKNOWN}"),
        ("thread/list", {"sortKey": "section_position"}, -32600, "section-position sorting requires a section filter"),
        (
            "thread/list",
            {"excludedThreadIds": [UNKNOWN] * 101},
            -32602,
            "excludedThreadIds accepts at most 100 entries",
        ),
        (
            "thread/list",
            {"parentThreadId": UNKNOWN, "ancestorThreadId": UNKNOWN},
            -32600,
            "parentThreadId and ancestorThreadId are mutually exclusive",
        ),
    ):
        error = refused(client, method, **params)
        assert (error["code"], error["message"]) == (code, message)


def test_a_mark_needs_the_revision_that_was_seen(client: Client) -> None:
    thread = thread_with_a_turn(client, "one")
    state = client.call("thread/list")["readStates"][thread]
    assert state["firstUnread"]["type"] == "turn"
    mark = {"threadId": thread, "operation": {"type": "read"}}
    error = refused(client, "thread/readState/update", **mark, expectedRevision="x")
    assert error["data"] == {"reason": "readStateConflict", "readState": state}
    read = client.call("thread/readState/update", **mark, expectedRevision=state["revision"])["readState"]
    assert read["firstUnread"] is None
    assert client.call("thread/list")["readStates"] == {thread: read}


def test_a_goal_is_set_notified_and_cleared(client: Client) -> None:
    thread = thread_with_a_turn(client, "one")
    assert client.call("thread/goal/get", threadId=thread) == {"goal": None}
    since = client.now
    goal = client.call("thread/goal/set", threadId=thread, objective="o", tokenBudget=5, status="paused")["goal"]
    assert client.wait_for("thread/goal/updated", thread, since=since)["goal"] == goal
    assert client.call("thread/goal/set", threadId=thread, tokenBudget=None)["goal"]["tokenBudget"] is None
    client.call("thread/unsubscribe", threadId=thread)
    assert client.call("thread/goal/get", threadId=thread)["goal"]["objective"] == "o"
    assert client.call("thread/goal/clear", threadId=thread) == {"cleared": True}
    assert client.call("thread/goal/clear", threadId=thread) == {"cleared": False}
    assert refused(client, "thread/goal/get", threadId=UNKNOWN)["message"] == f"thread not found: {UNKNOWN}"


def test_a_search_finds_messages(client: Client) -> None:
    one, two = thread_with_a_turn(client, "where is the Needle"), thread_with_a_turn(client, "elsewhere")
    found = client.call("thread/search", searchTerm="nEEDLE")["data"]
    assert [(each["thread"]["id"], each["snippet"]) for each in found] == [(one, "where is the Needle")]
    places = client.call("thread/searchOccurrences", threadId=one, searchTerm="needle")["data"]
    assert [place["snippetMatchRange"] for place in places] == [{"start": 13, "end": 19}, {"start": 23, "end": 29}]
    assert client.call("thread/searchOccurrences", threadId=two, searchTerm="needle")["data"] == []
    assert refused(client, "thread/search", searchTerm=" ")["message"].endswith("requires a non-empty searchTerm")
    assert (
        "thread not found" in refused(client, "thread/searchOccurrences", threadId=UNKNOWN, searchTerm="x")["message"]
    )


def test_settings_are_notified_and_turns_reverted(client: Client) -> None:
    thread = client.start_thread()["id"]
    turns = [client.run_turn(thread, text)["id"] for text in ("one", "two")]
    since = client.now
    assert client.call("thread/settings/update", threadId=thread, model="other") == {}
    assert client.wait_for("thread/settings/updated", thread, since=since)["threadSettings"]["model"] == "other"
    reverted = client.call("thread/revert", threadId=thread, beforeTurnId=turns[1])
    assert turns[0] in reverted["turnsBackwardsCursor"]
    client.wait_for("thread/reverted", thread, since=since)
    assert [
        turn["id"] for turn in client.call("thread/read", threadId=thread, includeTurns=True)["thread"]["turns"]
    ] == turns[:1]


def test_a_deleted_thread_is_not_listed(client: Client) -> None:
    thread = thread_with_a_turn(client, "one")
    since = client.now
    assert client.call("thread/delete", threadId=thread) == {}
    client.wait_for("thread/deleted", thread, since=since)
    assert listed(client) == []
    assert refused(client, "thread/delete", threadId=thread)["message"] == f"no rollout found for thread id {thread}"


def test_a_client_without_the_capability_gets_no_experimental_notification(daemon: Daemon) -> None:
    client = daemon.client()
    thread = thread_with_a_turn(client, "one")
    assert client.call("thread/list")["readStates"][thread]["firstUnread"] is not None
    assert "thread/readState/changed" not in [message.get("method") for message in client.messages.entries]
    for method, params in (("thread/search", {"searchTerm": "x"}), ("thread/settings/update", {"threadId": thread})):
        assert refused(client, method, **params)["message"] == f"{method} requires experimentalApi capability"
