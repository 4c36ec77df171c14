"""Several clients of one daemon, and refused connections."""

from __future__ import annotations

import json
import os
import select
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .client import Client
    from .model import Endpoint
    from .process import Daemon

DEADLINE = 60.0
GROUPS, GROUP = 30, 400
"""How many pieces the slow client misses: more than socket buffers, a batch and an outbox hold together."""


def http(daemon: Daemon, request: str) -> tuple[int, bytes]:
    """The status and the body of the answer to a request head."""
    with daemon.connect() as connection:
        connection.sendall(request.replace("\n", "\r\n").encode() + b"\r\n\r\n")
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


def test_two_clients_share_a_thread(unix_daemon: Daemon, endpoint: Endpoint) -> None:
    one, two = unix_daemon.client(), unix_daemon.client()
    thread = one.start_thread()["id"]
    one.run_turn(thread, "first")
    two_before = two.now
    assert len(two.call("thread/resume", threadId=thread)["thread"]["turns"]) == 1
    turn = one.hold_turn(thread)
    assert two.wait_for("item/agentMessage/delta", thread, turn, two_before)["delta"] == "So far"

    # one leaves: it gets no more of the turn, and two still does
    assert one.call("thread/unsubscribe", threadId=thread) == {"status": "unsubscribed"}
    one_left = one.now
    endpoint.release()
    assert two.wait_for("turn/completed", thread, turn)["turn"]["status"] == "completed"
    assert two.call("thread/loaded/list")["data"] == [thread]

    # two leaves too: the thread closes, and both are notified
    assert two.call("thread/unsubscribe", threadId=thread) == {"status": "unsubscribed"}
    for client in (one, two):
        client.wait_for("thread/closed", thread)
    late = Counter(message.get("method") for message in one.messages.entries[one_left:])
    assert late == {"thread/status/changed": 2, "thread/closed": 1}


def test_a_client_that_joins_a_running_turn_gets_the_text_so_far(unix_daemon: Daemon) -> None:
    one, two = unix_daemon.client(), unix_daemon.client()
    thread = one.start_thread()["id"]
    turn = one.hold_turn(thread)
    (shown,) = two.call("thread/resume", threadId=thread)["thread"]["turns"]
    assert (shown["id"], shown["status"]) == (turn, "inProgress")
    assert shown["items"][-1]["text"] == "So far"


def test_a_client_that_never_reads_is_closed_and_delays_no_other(unix_daemon: Daemon, endpoint: Endpoint) -> None:
    reader = unix_daemon.client()
    thread = reader.start_thread()["id"]
    reader.run_turn(thread, "hello")

    slow = unix_daemon.websocket()
    info = {"clientInfo": {"name": "slow", "version": "1"}}
    requests: list[tuple[str, dict[str, Any]]] = [("initialize", info), ("thread/resume", {"threadId": thread})]
    slow.write([_request(n, method, params) for n, (method, params) in enumerate(requests)])
    frames = slow.read()
    while b'"id":1' not in next(frames):
        pass  # it is subscribed now, and reads nothing more

    endpoint.scripts["at length"] = lambda: _at_length(reader, thread)
    since = reader.now
    turn = reader.start_turn(thread, "at length")
    assert reader.wait_for("turn/completed", thread, turn, since)["turn"]["status"] == "completed"
    assert _pieces(reader) == GROUPS * GROUP
    hang_up = select.poll()
    hang_up.register(slow.socket, 0)  # polls only for the end of the connection
    assert hang_up.poll(DEADLINE * 1000) == [(slow.socket.fileno(), select.POLLHUP)]
    unix_daemon.logged("client does not keep up")
    assert reader.run_turn(thread, "still here")["status"] == "completed"


def _request(id: int, method: str, params: dict[str, Any]) -> bytes:
    return json.dumps({"id": id, "method": method, "params": params}, separators=(",", ":")).encode()


def _pieces(client: Client) -> int:
    return sum(message.get("method") == "item/reasoning/summaryTextDelta" for message in client.messages.entries)


def _ends(piece: str, message: dict[str, Any]) -> bool:
    return bool(message.get("params", {}).get("delta") == piece)


def _at_length(reader: Client, thread: str) -> Iterator[Sequence[dict[str, Any]]]:
    """Pieces that cannot be merged, no faster than `reader` reads them."""
    reasoning = {"type": "reasoning", "id": "rs", "summary": []}
    yield [
        {"type": "response.created", "response": {"id": "r"}},
        {"type": "response.output_item.added", "item": reasoning},
    ]
    for group in range(GROUPS):
        yield [
            {
                "type": "response.reasoning_summary_text.delta",
                "delta": f"{group}." if n == GROUP - 1 else "piece ",
                "summary_index": n % 2,
            }
            for n in range(GROUP)
        ]
        reader.messages.find(partial(_ends, f"{group}."))
    yield [
        {"type": "response.output_item.done", "item": reasoning},
        {"type": "response.completed", "response": {"id": "r"}},
    ]


@pytest.mark.parametrize("path", ["/readyz", "/healthz"])
def test_the_probes_answer_without_a_websocket(ws_daemon: Daemon, path: str) -> None:
    assert http(ws_daemon, f"GET {path} HTTP/1.1\nHost: x")[0] == 200
    assert http(ws_daemon, f"POST {path} HTTP/1.1\nHost: x\nContent-Length: 0")[0] == 405


def test_a_client_that_sends_an_origin_is_refused(ws_daemon: Daemon) -> None:
    assert ws_daemon.websocket("Origin: http://localhost").status == 403
    assert http(ws_daemon, "GET /readyz HTTP/1.1\nHost: x\nOrigin: null")[0] == 403
    assert ws_daemon.websocket().status == 101
    assert ws_daemon.client().call("thread/loaded/list")["data"] == []


def test_a_websocket_client_runs_a_turn_and_nothing_goes_to_standard_output(ws_daemon: Daemon) -> None:
    client = ws_daemon.client()
    client.wire.write([b"not json", b"[]"])
    thread = client.start_thread()["id"]
    assert client.run_turn(thread, "hello")["status"] == "completed"
    ws_daemon.kill()
    assert ws_daemon.process.stdout is not None
    assert ws_daemon.process.stdout.read() == b""


def test_the_socket_file_is_for_its_owner_only(unix_daemon: Daemon) -> None:
    assert os.stat(unix_daemon.address).st_mode & 0o777 == 0o600
