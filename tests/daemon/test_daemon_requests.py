"""What a client may send and what it gets back, from a daemon on stdio."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .client import Client
    from .process import Daemon

UNKNOWN = "0199a213-81c0-7800-8aa1-bbab2a035a53"
INVALID_REQUEST = -32600


def test_initialize_names_the_server_and_is_accepted_once(daemon: Daemon) -> None:
    client = daemon.raw_client()
    told = client.initialize()
    assert told["userAgent"].startswith("tester/0.")
    assert told["codexHome"] == str(daemon.home)
    refused = client.refusal("initialize", clientInfo={"name": "again", "version": "1"})
    assert (refused.code, refused.message) == (INVALID_REQUEST, "Already initialized")


def test_nothing_is_served_before_initialize_and_a_failed_one_can_be_repeated(daemon: Daemon) -> None:
    client = daemon.raw_client()
    assert client.refusal("thread/loaded/list").message == "Not initialized"
    assert "unknown variant `no/such`" in client.refusal("no/such").message
    assert "clientInfo" in client.refusal("initialize").message
    client.initialize()
    assert client.call("thread/loaded/list")["data"] == []


def test_params_may_not_be_left_out(client: Client) -> None:
    client.wire.write([b'{"id":"bare","method":"thread/loaded/list"}'])
    with pytest.raises(Exception, match="params"):
        client.answer("bare")


def test_experimental_methods_and_fields_need_the_capability(daemon: Daemon) -> None:
    client = daemon.client()
    assert client.refusal("mock/experimentalMethod").message == (
        "mock/experimentalMethod requires experimentalApi capability"
    )
    refused = client.refusal("thread/start", persistExtendedHistory=True)
    assert refused.message == "thread/start.persistFullHistory requires experimentalApi capability"


def test_experimental_methods_are_served_with_the_capability(daemon: Daemon) -> None:
    client = daemon.client(experimentalApi=True)
    assert client.call("mock/experimentalMethod", value="x") == {"echoed": "x"}
    assert client.start_thread(persistExtendedHistory=True)["id"]


def test_notifications_that_a_client_opted_out_of_are_not_sent(daemon: Daemon) -> None:
    client = daemon.client(optOutNotificationMethods=["item/agentMessage/delta"])
    thread = client.start_thread()["id"]
    assert client.run_turn(thread, "hello")["status"] == "completed"
    counts = Counter(message.get("method") for message in client.messages.entries)
    assert counts["item/agentMessage/delta"] == 0
    assert counts["item/completed"] == 2


def test_lines_that_are_not_messages_do_no_harm(daemon: Daemon) -> None:
    client = daemon.client()
    before = client.now
    malformed = [b"", b"   ", b"{", b"[]", b'"text"', b"null", b'{"id":7}', b'{"id":1.5,"method":"model/list"}', b"\0"]
    invalid_utf8 = b'{"id":"bad","method":"thread/loaded/list","params":{"cursor":"\xff\xfe"}}'
    client.wire.write([*malformed, invalid_utf8])
    assert client.call("thread/loaded/list")["data"] == []
    answers = [message for message in client.messages.entries[before:] if "id" in message]
    assert [answer["id"] for answer in answers] == ["bad", answers[-1]["id"]]
    assert "UTF-8" in answers[0]["error"]["message"]
    assert daemon.logged(f"cannot be read ({len(invalid_utf8)} bytes)")
    assert daemon.logged("not a message (1 bytes)")


def test_ids_come_back_with_their_type(client: Client) -> None:
    ids: list[str | int] = ["", "text", 0, -5, 2**63 - 1]
    client.wire.write([json.dumps({"id": id, "method": "thread/loaded/list", "params": {}}).encode() for id in ids])
    for id in ids:
        assert client.answer(id) == {"data": [], "nextCursor": None}


@pytest.mark.parametrize(
    ("method", "params", "told"),
    [
        ("turn/start", {"input": [{"type": "text", "text": "x"}]}, f"thread not found: {UNKNOWN}"),
        ("turn/interrupt", {"turnId": "x"}, f"thread not found: {UNKNOWN}"),
        ("thread/read", {}, f"thread not loaded: {UNKNOWN}"),
        ("thread/resume", {}, f"no rollout found for thread id {UNKNOWN}"),
        ("thread/archive", {}, f"no rollout found for thread id {UNKNOWN}"),
    ],
)
def test_an_unknown_thread_is_refused(client: Client, method: str, params: dict[str, object], told: str) -> None:
    refused = client.refusal(method, threadId=UNKNOWN, **params)
    assert (refused.code, refused.message) == (INVALID_REQUEST, told)
    malformed = client.refusal(method, threadId="nonsense", **params)
    assert (malformed.code, malformed.message[:19]) == (INVALID_REQUEST, "invalid thread id: ")


def test_unsubscribing_from_an_unknown_thread_is_no_error(client: Client) -> None:
    assert client.call("thread/unsubscribe", threadId=UNKNOWN) == {"status": "notLoaded"}


def test_interrupting_or_steering_the_wrong_turn_is_refused(client: Client) -> None:
    thread = client.start_thread()["id"]
    assert client.refusal("turn/interrupt", threadId=thread, turnId="x").message == "no active turn to interrupt"
    turn = client.hold_turn(thread)
    assert client.refusal("turn/interrupt", threadId=thread, turnId="x").message == (
        f"expected active turn id `x` but found `{turn}`"
    )
    client.call("turn/interrupt", threadId=thread, turnId=turn)
    assert client.wait_for("turn/completed", thread, turn)["turn"]["status"] == "interrupted"


def test_a_thousand_requests_at_once_get_an_answer_each(client: Client) -> None:
    thread = client.start_thread()["id"]
    client.run_turn(thread, "something to read")
    kinds: list[tuple[str, dict[str, object]]] = [
        ("thread/loaded/list", {}),
        ("thread/read", {"threadId": thread, "includeTurns": True}),
        ("thread/list", {}),
        ("model/list", {}),
        ("thread/resume", {"threadId": thread}),
    ]
    before = client.now
    ids = client.ask(*(kinds[n % 5] for n in range(1000)))
    for n, id in enumerate(ids):
        assert client.answer(id), kinds[n % 5]
    client.call("thread/loaded/list")
    answers = Counter(message["id"] for message in client.messages.entries[before:] if "id" in message)
    assert [answers[id] for id in ids] == [1] * 1000


def test_mcp_servers_are_listed_without_a_thread(daemon: Daemon) -> None:
    script = Path(__file__).parents[1] / "actors" / "tools" / "mcp" / "tiny_server.py"
    with (daemon.home / "config.toml").open("a") as config:
        config.write(f'\n[mcp_servers.tiny]\ncommand = "{sys.executable}"\nargs = ["-S", "-E", "{script}"]\n')
    client = daemon.client()
    listed = client.call("mcpServerStatus/list")
    (tiny,) = listed["data"]
    assert (tiny["name"], sorted(tiny["tools"]), listed["nextCursor"]) == ("tiny", ["echo", "write"], None)
    assert client.refusal("mcpServerStatus/list", cursor="x").message == "invalid cursor: x"
