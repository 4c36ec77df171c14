"""Keys of a daemon's environment: its providers get them. Commands, hooks, `notify`, messages and files do not."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .model import Endpoint, calls
from .process import Daemon
from .trace import Trace

KEYS = ("PROVIDER_KEY", "SPARE_KEY", "HEADER_VARIABLE", "SERVER_TOKEN", "SERVER_HEADER")
NAMED = """
env_key = "PROVIDER_KEY"
env_http_headers = { X-Extra = "HEADER_VARIABLE", X-User = "USER" }
[model_providers.spare]
name = "spare"
base_url = "http://127.0.0.1:9/v1"
env_key = "SPARE_KEY"
[mcp_servers.far]
url = "http://127.0.0.1:9/mcp"
bearer_token_env_var = "SERVER_TOKEN"
env_http_headers = { X-Server = "SERVER_HEADER" }
enabled = false
"""
LOOK = """
import os
said = [" ".join(f"{k}={v}" for k, v in os.environ.items())]
pid, above = os.getppid(), 0
while pid > 1 and above < {above}:
    said.append(open(f"/proc/{pid}/environ", "rb").read().decode())
    pid = int(open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[1])
    above += 1
print(*said)
"""


def secret(name: str) -> str:
    return f"secret-of-{name.lower()}"


def look(above: int) -> str:
    """A command that prints its own environment and that of so many ancestors."""
    return shlex.join([sys.executable, "-S", "-c", LOOK.replace("{above}", str(above))])


@pytest.fixture
def configured(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    with open(home / "config.toml", "a") as file:
        file.write(NAMED)
    for name in KEYS:
        monkeypatch.setenv(name, secret(name))
    monkeypatch.setenv("USER", "ann")
    monkeypatch.setenv("HARMLESS", "harmless")
    return home


def output(endpoint: Endpoint) -> str:
    """The output of the command in the model's request."""
    items: list[dict[str, Any]] = endpoint.requests.entries[-1]["input"]
    return str(next(item["output"] for item in items if item["type"] == "function_call_output"))


def reveals(name: str, text: str) -> bool:
    return secret(name) in text


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    ("sandbox", "above"),
    [("read-only", 0), ("danger-full-access", 2)],  # without a sandbox, the keeper and the warden, but not the daemon
)
def test_a_command_gets_no_key(
    configured: Path, launch: Callable[..., Daemon], endpoint: Endpoint, sandbox: str, above: int
) -> None:
    endpoint.scripts["run"] = lambda: answers.pop(0)
    answers = [calls(("exec_command", {"cmd": look(above), "login": False})), calls()]
    daemon = launch()
    client = daemon.client()
    thread = client.start_thread(sandbox=sandbox, approvalPolicy="never")["id"]
    client.run_turn(thread, "run")
    output_text = output(endpoint)
    assert "HARMLESS=harmless" in output_text
    assert "USER=ann" in output_text, "what every command needs is passed on, also if it is named as a key"
    assert [name for name in KEYS if reveals(name, output_text)] == []


def test_an_allowed_key_is_inherited(
    configured: Path, launch: Callable[..., Daemon], endpoint: Endpoint
) -> None:
    config = configured / "config.toml"
    config.write_text(config.read_text() + '[shell_environment_policy]\nallow_keys = ["SERVER_*", "provider_key"]\n')
    endpoint.scripts["run"] = lambda: answers.pop(0)
    answers = [calls(("exec_command", {"cmd": look(0), "login": False})), calls()]
    client = launch().client()
    client.run_turn(client.start_thread(sandbox="danger-full-access", approvalPolicy="never")["id"], "run")
    output_text = output(endpoint)
    assert [name for name in KEYS if reveals(name, output_text)] == ["PROVIDER_KEY", "SERVER_TOKEN", "SERVER_HEADER"]


def test_hooks_and_notify_get_no_key(
    configured: Path, launch: Callable[..., Daemon], trace: Trace, tmp_path: Path
) -> None:
    hook = {"type": "command", "command": f"env > {tmp_path}/hook"}
    (configured / "hooks.json").write_text(json.dumps({"hooks": {"UserPromptSubmit": [{"hooks": [hook]}]}}))
    config = configured / "config.toml"
    program = ["sh", "-c", f"env > {tmp_path}/notify; echo done > {trace.path}"]
    config.write_text(f"notify = {json.dumps(program)}\n" + config.read_text())
    client = launch().client()
    client.run_turn(client.start_thread()["id"], "hello")
    trace.until(b"done\n")
    for file in ("hook", "notify"):
        output_text = (tmp_path / file).read_text()
        assert "HARMLESS=harmless" in output_text
        assert [name for name in KEYS if reveals(name, output_text)] == []


def test_no_message_and_no_file_has_a_key(
    configured: Path, launch: Callable[..., Daemon], endpoint: Endpoint
) -> None:
    """No key of the environment, a URL or a header is in messages, the log or the rollout, also without answers."""
    where = f"ann:secret-user@127.0.0.1:{endpoint.server_address[1]}/mcp?key=secret-query"
    with open(configured / "config.toml", "a") as file:
        file.write(f'[mcp_servers.near]\nurl = "http://{where}"\nbearer_token_env_var = "SERVER_TOKEN"\n')
        file.write('http_headers = { X-Own = "secret-header" }\n')
    daemon = launch()
    client = daemon.client()
    thread = client.start_thread()["id"]
    assert "status" in client.run_turn(thread, "hello")
    endpoint.scripts["again"] = lambda: iter(())
    assert client.run_turn(thread, "again")["status"] == "failed"
    client.call("mcpServerStatus/list")
    kept = [path.read_text() for path in (configured / "sessions").rglob("*.jsonl")]
    assert kept
    shown = json.dumps(client.messages.entries)
    assert "near" in shown, "it failed, and this was said"
    output_text = shown + "\n".join([*daemon.log.entries, *kept])
    assert "secret-" not in output_text
