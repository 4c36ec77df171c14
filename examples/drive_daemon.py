"""Drives the daemon over its standard input and output, with the standard library only.

    python examples/drive_daemon.py

Each message is one line of JSON: `{"id", "method", "params"}` asks, `{"id", "result"}` or `{"id", "error"}` answers,
`{"method", "params"}` notifies. `>` marks a sent message and `<` a received one.
"""

import itertools
import json
import os
import subprocess
import sys
import tempfile
import threading
from typing import Any

SECONDS = 30  # for the whole program; then the daemon is killed, and reading from it fails


class Daemon:
    """A daemon and its one client. Leaving the block closes its input, so that it exits."""

    def __init__(self, home: str) -> None:
        # Without the override, the provider in $CODEX_HOME/config.toml answers; without CODEX_HOME that is ~/.codex.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "spindle", "app-server", "-c", 'model_provider="offline"'],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "CODEX_HOME": home},
        )
        self._ids = itertools.count(1)
        self._notifications: list[dict[str, Any]] = []
        self._deadline = threading.Timer(SECONDS, self._process.kill)

    def __enter__(self) -> "Daemon":
        self._deadline.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()  # closes its input and waits for its exit
        self._deadline.cancel()
        print(f"the daemon has ended with exit code {self._process.returncode}")

    def ask(self, method: str, **params: Any) -> Any:
        """Send a request; returns its result. Keeps the notifications that arrive before it."""
        id = next(self._ids)
        self._send({"id": id, "method": method, "params": params})
        while (message := self._receive()).get("id") != id or "method" in message:
            if "id" in message:
                # the daemon sends requests too, for approvals, and waits for an answer
                self._send({"id": message["id"], "error": {"code": -32601, "message": "not supported"}})
            else:
                self._notifications.append(message)
        if "error" in message:
            raise RuntimeError(f"{method}: {message['error']['message']}")
        return message["result"]

    def notify(self, method: str) -> None:
        """Send a notification."""
        self._send({"method": method})

    def next_notification(self) -> dict[str, Any]:
        """Returns the next notification of the daemon."""
        return self._notifications.pop(0) if self._notifications else self._receive()

    def _send(self, message: dict[str, Any]) -> None:
        line = json.dumps(message)
        print(">", line)
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")
        self._process.stdin.flush()

    def _receive(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().decode()
        if not line:
            raise RuntimeError("the daemon has closed its output")
        print("<", line.rstrip()[:150])
        message: dict[str, Any] = json.loads(line)
        return message


def main() -> None:
    with tempfile.TemporaryDirectory() as home, Daemon(home) as daemon:
        daemon.ask("initialize", clientInfo={"name": "drive-daemon", "version": "1"})
        daemon.notify("initialized")
        thread = daemon.ask("thread/start", cwd=home)["thread"]["id"]
        daemon.ask("turn/start", threadId=thread, input=[{"type": "text", "text": "Hello"}])
        text = ""
        while (message := daemon.next_notification())["method"] != "turn/completed":
            if message["method"] == "item/agentMessage/delta":
                text += message["params"]["delta"]
        daemon.ask("thread/unsubscribe", threadId=thread)
        while daemon.next_notification()["method"] != "thread/closed":
            pass
        print("the agent said:", text)


if __name__ == "__main__":
    main()
