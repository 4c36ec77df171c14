"""`[otel]` of the user's config.toml: what a daemon exports, and that no exporter is ever in its way."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.otel.receiver import Receiver, attributes

from .model import calls

if TYPE_CHECKING:
    from .client import Client
    from .model import Endpoint
    from .process import Daemon


PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


def export(home: Path, url: str, more: str = "") -> None:
    """Have the daemon of this home export to a receiver."""
    with (home / "config.toml").open("a") as file:
        file.write(
            f'\n[otel]\nenvironment = "test"\n{more}\n'
            f'trace_exporter.otlp-http = {{ endpoint = "{url}/v1/traces", headers = {{ x-key = "secret" }} }}\n'
            f'metrics_exporter.otlp-http = {{ endpoint = "{url}/v1/metrics", protocol = "binary" }}\n'
        )


def end(daemon: Daemon, client: Client) -> None:
    """The client hangs up, and the daemon ends."""
    client.wire.close()
    assert daemon.wait() == 0


def test_a_turn_is_exported_with_its_spans_and_metrics_before_the_daemon_ends(
    home: Path, launch: Callable[..., Daemon], endpoint: Endpoint, receiver: Receiver
) -> None:
    export(home, receiver.url, 'span_attributes = { team = "core" }')
    answers = [calls(("exec_command", {"cmd": "echo hi", "login": False})), calls()]
    endpoint.scripts["run"] = lambda: answers.pop(0)
    daemon = launch()
    client = daemon.client()
    thread = client.start_thread(sandbox="danger-full-access", approvalPolicy="never")
    assert client.run_turn(thread["id"], "run")["status"] == "completed"
    end(daemon, client)
    turn, tool = receiver.named("invoke_agent spindle"), receiver.named("execute_tool exec_command")
    assert not turn.parent_span_id
    assert tool.parent_span_id == turn.span_id
    assert len(receiver.spans) == 4
    of_turn = attributes(turn)
    assert (of_turn["gen_ai.conversation.id"], of_turn["team"]) == (thread["id"], "core")
    assert "gen_ai.input.messages" not in of_turn
    [request, _] = [span for span in receiver.spans if span.name.startswith("chat ")]
    assert attributes(request)["server.address"] == "127.0.0.1"
    assert attributes(request)["gen_ai.usage.input_tokens"] == 10
    assert all(resource["service.name"] == "spindle" for resource in receiver.resources)
    assert all(resource["deployment.environment.name"] == "test" for resource in receiver.resources)
    assert {metric.name for metric in receiver.metrics} >= {"gen_ai.client.token.usage", "gen_ai.execute_tool.duration"}
    sent = dict(receiver.requests)
    assert sorted(sent) == ["/v1/metrics", "/v1/traces"]
    assert sent["/v1/traces"]["x-key"] == "secret"
    assert "x-key" not in sent["/v1/metrics"]
    assert [line for line in daemon.log.entries if "OpenTelemetry" in line] == []


def test_a_turn_belongs_to_the_trace_that_the_client_sends(
    home: Path, launch: Callable[..., Daemon], receiver: Receiver
) -> None:
    export(home, receiver.url)
    traces = [{"traceparent": PARENT, "tracestate": "a=b"}, {"traceparent": "wrong"}, 17, {"traceparent": 1}, None]
    daemon = launch()
    client = daemon.client()
    thread = client.start_thread()["id"]
    params = {"threadId": thread, "input": [{"type": "text", "text": "hi"}]}
    for number, trace in enumerate(traces):
        request = {"id": f"traced {number}", "method": "turn/start", "params": params, "trace": trace}
        client.write([json.dumps(request).encode()])
        turn = client.answer(f"traced {number}")["turn"]["id"]
        client.wait_for("turn/completed", thread, turn)
    end(daemon, client)
    turns = [span for span in receiver.spans if span.name.startswith("invoke_agent")]
    first, *others = sorted(turns, key=lambda span: span.start_time_unix_nano)
    assert [first.trace_id.hex(), first.parent_span_id.hex()] == PARENT.split("-")[1:3]
    assert first.trace_state == "a=b"
    assert [span.parent_span_id for span in others] == [b""] * 4
    assert len({span.trace_id for span in turns}) == 5


def test_prompts_and_answers_are_exported_on_request(
    home: Path, launch: Callable[..., Daemon], receiver: Receiver
) -> None:
    export(home, receiver.url, "log_user_prompt = true\nlog_agent_responses = true")
    daemon = launch()
    client = daemon.client()
    client.run_turn(client.start_thread()["id"], "hello you")
    end(daemon, client)
    of_turn = attributes(receiver.named("invoke_agent spindle"))
    assert "hello you" in of_turn["gen_ai.input.messages"]
    assert "You said: hello you" in of_turn["gen_ai.output.messages"]


def test_a_receiver_that_is_down_costs_a_warning(home: Path, launch: Callable[..., Daemon]) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # nothing listens there, and nothing else can
        export(home, f"http://127.0.0.1:{closed.getsockname()[1]}")
        daemon = launch()
        client = daemon.client()
        thread = client.start_thread()["id"]
        for text in ("one", "two"):
            assert client.run_turn(thread, text)["status"] == "completed"
        end(daemon, client)
    said = [line for line in daemon.log.entries if "OpenTelemetry" in line]
    assert 1 <= len(said) <= 2
    assert not any("Traceback" in line for line in daemon.log.entries)


def test_a_receiver_that_hangs_holds_up_no_turn_and_the_end_for_a_moment(
    home: Path, launch: Callable[..., Daemon]
) -> None:
    receiver = Receiver(hangs=True)
    try:
        export(home, receiver.url)
        daemon = launch()
        client = daemon.client()
        assert client.run_turn(client.start_thread()["id"], "hi")["status"] == "completed"
        end(daemon, client)
        assert daemon.logged("OpenTelemetry: what was not sent within 2 s is lost")
        assert receiver.asked.is_set()
    finally:
        receiver.close()


def test_without_the_packages_the_log_names_what_to_install(
    home: Path, launch: Callable[..., Daemon], receiver: Receiver, tmp_path: Path
) -> None:
    export(home, receiver.url)
    (tmp_path / "absent" / "opentelemetry").mkdir(parents=True)
    (tmp_path / "absent" / "opentelemetry" / "__init__.py").write_text("raise ImportError('it is not there')\n")
    daemon = launch(prefix=["env", f"PYTHONPATH={tmp_path / 'absent'}"])
    client = daemon.client()
    for text in ("one", "two"):
        assert client.run_turn(client.start_thread()["id"], text)["status"] == "completed"
    end(daemon, client)
    said = [line for line in daemon.log.entries if "OpenTelemetry" in line]
    assert len(said) == 1
    assert "[otel] of config.toml has no effect: OpenTelemetry is not installed: pip install 'spindle[otel]'" in said[0]
    assert receiver.requests == []


def test_a_daemon_on_a_socket_exports_too(
    home: Path, launch: Callable[..., Daemon], receiver: Receiver, tmp_path: Path
) -> None:
    export(home, receiver.url)
    daemon = launch(f"unix://{tmp_path}/s")
    client = daemon.client()
    client.run_turn(client.start_thread()["id"], "hi")
    client.wire.close()
    daemon.process.terminate()
    assert daemon.wait() == 0
    assert receiver.named("invoke_agent spindle")
