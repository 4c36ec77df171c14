"""`spindle app-server --shared`: relays in processes of their own, and the daemon that they share."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import sys
from pathlib import Path

import pytest
from benchmarks.driving import completed, created, message_done

from .client import Pipes
from .model import Endpoint, calls
from .sharing import Relays, Shared

PR_SET_NO_NEW_PRIVS = 38


def test_clients_in_several_folders_share_a_daemon_and_its_threads(
    relay: Relays, shared: Shared, endpoint: Endpoint, tmp_path: Path
) -> None:
    a, b = relay(cwd="a", TERM="one", VSCODE_PID="1"), relay(cwd="b", TERM="two")
    a.client.initialize()
    pid = shared.pid
    b.client.initialize()
    thread = a.client.start_thread()
    assert thread["cwd"] == str(tmp_path / "a")
    assert b.client.start_thread()["cwd"] == str(tmp_path / "b")
    assert b.client.start_thread(cwd="below")["cwd"] == str(tmp_path / "b" / "below")

    a.client.run_turn(thread["id"], "hello")
    assert len(b.client.call("thread/resume", threadId=thread["id"])["thread"]["turns"]) == 1
    turn = b.client.hold_turn(thread["id"])
    a.client.wire.close()  # the end of input ends this client only
    assert a.ended() == (0, "")
    endpoint.release()
    assert b.client.wait_for("turn/completed", thread["id"], turn)["turn"]["status"] == "completed"
    assert shared.pid == pid


def test_relays_that_are_started_at_once_start_one_daemon(relay: Relays, shared: Shared) -> None:
    relays = [relay() for _ in range(4)]
    for one in relays:
        one.client.initialize()
    assert shared.log.count("the shared daemon is ready") == 1


def test_a_killed_daemon_ends_its_relays_and_is_replaced(relay: Relays, shared: Shared) -> None:
    one = relay()
    one.client.initialize()
    before = shared.pid
    os.kill(before, signal.SIGKILL)
    code, said = one.ended()
    assert code == 1
    assert said == f"spindle: the shared daemon has closed the connection; its log is {shared.folder}/log\n"
    assert (shared.folder / "socket").exists()
    relay().client.initialize()
    assert shared.pid != before


def test_what_differs_is_named_without_its_value(relay: Relays, shared: Shared) -> None:
    one = relay("-c", "model=gpt-secret", API_KEY="secret-1", LEFT="secret-2")
    one.client.initialize()
    code, said = relay("-c", "model=gpt-hidden", "--enable", "x", API_KEY="secret-3", ADDED="secret-4").ended()
    assert code == 1
    assert "other values of -c, --enable or --disable (features.x, model)" in said
    assert "other environment variables (ADDED, API_KEY, LEFT)" in said
    assert f"(pid {shared.pid})" in said
    for text in (said, shared.log):
        assert "secret-" not in text
        assert "gpt-" not in text
    assert one.client.start_thread()["id"]


def test_a_daemon_that_is_not_in_use_is_replaced_by_what_a_client_needs(relay: Relays, shared: Shared) -> None:
    one = relay(API_KEY="1")
    one.client.initialize()
    one.client.wire.close()
    assert one.ended() == (0, "")
    relay(API_KEY="2").client.initialize()
    assert shared.log.count("the shared daemon is ready") == 2


@pytest.mark.skipif(not os.path.exists("/proc/self/ns"), reason="needs /proc")
def test_a_process_with_other_rights_is_refused(relay: Relays) -> None:
    relay().client.initialize()
    libc = ctypes.CDLL(None)
    code, said = relay(popen={"preexec_fn": lambda: libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)}).ended()
    assert code == 1
    assert "its process differs in no_new_privs" in said


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="needs /proc")
def test_a_command_of_the_daemon_is_refused(relay: Relays, endpoint: Endpoint) -> None:
    client = relay().client
    client.initialize()
    command = {"command": [sys.executable, "-m", "spindle", "app-server", "--shared"], "timeout_ms": 30_000}
    answers = [calls(("shell", command)), [[created(), message_done("done"), completed()]]]
    endpoint.scripts["run"] = lambda: answers.pop(0)
    thread = client.start_thread(sandbox="danger-full-access", approvalPolicy="never")["id"]
    client.run_turn(thread, "run")
    assert "a command that this server runs cannot be its client" in str(client.messages.entries)


def test_a_running_turn_keeps_a_daemon_without_clients_which_then_ends(
    relay: Relays, shared: Shared, endpoint: Endpoint
) -> None:
    one = relay("-c", "shared_daemon_idle_secs=0")
    one.client.initialize()
    thread = one.client.start_thread()
    one.client.hold_turn(thread["id"])
    one.process.send_signal(signal.SIGTERM)
    assert one.ended() == (0, "")
    endpoint.release()
    shared.wait_for_end()
    assert not (shared.folder / "socket").exists()
    lines = [json.loads(line)["payload"] for line in Path(thread["path"]).read_bytes().splitlines()]
    marks = [line["type"] for line in lines if str(line.get("type")).startswith(("task_", "turn_"))]
    assert marks[-1] == "task_complete"


def test_large_messages_pass_over_non_blocking_descriptors(relay: Relays) -> None:
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)  # as Node.js leaves the ends of its children
    started = relay(popen={"stdin": theirs.fileno(), "stdout": theirs.fileno()})
    theirs.close()
    with ours, ours.makefile("rb") as out, ours.makefile("wb") as into, started.on(Pipes(into, out)) as client:
        client.initialize()
        thread, text = client.start_thread()["id"], "x" * 1_000_000
        assert client.run_turn(thread, text)["status"] == "completed"
        sent = [message["params"]["item"] for message in client.messages.entries if message.get("method") == "item/completed"]
        assert [item.get("text") for item in sent] == [None, f"You said: {text}"]
        ours.shutdown(socket.SHUT_WR)
        assert started.ended() == (0, "")


def test_a_signal_ends_the_daemon_and_its_relays(relay: Relays, shared: Shared) -> None:
    one = relay()
    one.client.initialize()
    os.kill(shared.pid, signal.SIGTERM)
    code, said = one.ended()
    assert code == 1
    assert "the shared daemon has closed the connection" in said
    shared.wait_for_end()


def test_what_keeps_a_daemon_from_starting_is_shown(relay: Relays, shared: Shared) -> None:
    code, said = relay("-c", "nonsense").ended()
    assert code == 1
    assert "did not start: spindle: " in said
    assert "nonsense" in said
