"""The spans as a real backend shows them: Phoenix (arize-phoenix), asked by its own query.

`SPINDLE_TEST_PHOENIX=http://127.0.0.1:6006` names a server. If the package is installed, the test starts one. Else it is
skipped. `--log-cli-level=info` shows what Phoenix answers.
"""

import contextlib
import importlib.util
import json
import logging
import os
import socket
import subprocess
import sys
import time
import urllib.request
import uuid

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from tests.actors.conftest import Scripted

from spindle import open_runtime
from spindle.otel import OpenTelemetryInstrument
from spindle.rpc.model.interface import Usage

log = logging.getLogger(__name__)

ASKED = os.environ.get("SPINDLE_TEST_PHOENIX")
INSTALLED = importlib.util.find_spec("phoenix") is not None
STARTING = 120.0
"""Seconds that a server may take to start: it makes a database."""
CONFIG = [("sandbox_mode", "danger-full-access"), ("approval_policy", "untrusted")]

SPANS = """query ($id: ID!) { node(id: $id) { ... on Project { spans(first: 50) { edges { node {
    name spanKind statusCode parentId spanId attributes tokenCountTotal } } } } } }"""

pytestmark = pytest.mark.skipif(not ASKED and not INSTALLED, reason="there is no Phoenix")


def call(id, name, **arguments):
    return {"type": "function_call", "call_id": id, "name": name, "arguments": json.dumps(arguments)}


def weather(city: str) -> str:
    """The weather in a city."""
    return f"sunny in {city}"


def get(url, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


@pytest.fixture
def phoenix(tmp_path):
    """The URL of a Phoenix."""
    if ASKED:
        yield ASKED.rstrip("/")
        return
    port = free_port()
    own = {
        "PHOENIX_WORKING_DIR": str(tmp_path / "phoenix"),
        "PHOENIX_HOST": "127.0.0.1",
        "PHOENIX_PORT": str(port),
        "PHOENIX_GRPC_PORT": str(free_port()),
        "PHOENIX_TELEMETRY_ENABLED": "false",
    }
    command = [sys.executable, "-m", "phoenix.server.main", "serve"]
    with (tmp_path / "log").open("w") as log, subprocess.Popen(command, env=os.environ | own, stdout=log, stderr=log) as server:
        try:
            wait_for(f"http://127.0.0.1:{port}/healthz", server)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()


def wait_for(url, server):
    limit = time.monotonic() + STARTING
    while server.poll() is None and time.monotonic() < limit:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=1):
            return
        time.sleep(0.1)
    raise TimeoutError("Phoenix does not start")


def stored(phoenix, project, count):
    """The spans of a project as Phoenix's own query returns them, once there are so many."""
    limit = time.monotonic() + 30
    while time.monotonic() < limit:
        with contextlib.suppress(OSError):
            id = get(f"{phoenix}/v1/projects/{project}")["data"]["id"]
            found = get(f"{phoenix}/graphql", {"query": SPANS, "variables": {"id": id}})
            spans = [edge["node"] for edge in found["data"]["node"]["spans"]["edges"]]
            if len(spans) >= count:
                return spans
        time.sleep(0.1)
    raise TimeoutError("the spans do not arrive")


async def converse(home, instrument):
    """A turn with two calls and an approval."""

    async def accept(question):
        question.accept()

    model = Scripted(
        [
            call("w", "weather", city="Paris"),
            call("t", "exec_command", cmd="touch made", login=False),
            Usage(120, 20, 30, 5, 150),
        ],
        ["It is sunny in Paris, and the file is made.", Usage(180, 100, 20, 0, 200)],
    )
    async with (
        open_runtime(home=home / "home", cwd=home, model=model, config=CONFIG, instruments=[instrument]) as runtime,
        runtime.start_thread(tools=[weather], on_question=accept) as thread,
    ):
        await thread.run("How is the weather in Paris? Also make a file.")
        return thread.id


@pytest.mark.timeout(240)
async def test_a_turn_with_two_calls_and_an_approval(phoenix, tmp_path):
    project = f"spindle-{uuid.uuid4().hex[:8]}"
    resource = Resource.create({"service.name": "spindle", "openinference.project.name": project})
    tracers = TracerProvider(resource=resource, shutdown_on_exit=False)
    tracers.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(f"{phoenix}/v1/traces")))
    thread_id = await converse(tmp_path, OpenTelemetryInstrument(tracers, content=True))
    tracers.shutdown()
    spans = stored(phoenix, project, 6)
    log.info("%s", json.dumps(spans, indent=1))
    names = {span["spanId"]: span["name"] for span in spans}
    tree = sorted((names.get(span["parentId"], ""), span["name"]) for span in spans)
    model = next(span["name"] for span in spans if span["name"].startswith("chat "))
    assert tree == sorted(
        [
            ("", "invoke_agent spindle"),
            ("invoke_agent spindle", model),
            ("invoke_agent spindle", model),
            ("invoke_agent spindle", "execute_tool weather"),
            ("invoke_agent spindle", "execute_tool exec_command"),
            ("execute_tool exec_command", "spindle.question"),
        ]
    )
    kinds = {span["name"].split()[0]: span["spanKind"] for span in spans}
    assert (kinds["invoke_agent"], kinds["chat"], kinds["execute_tool"]) == ("agent", "llm", "tool")
    assert sorted(span["tokenCountTotal"] for span in spans if span["name"] == model) == [150, 200]
    assert {json.loads(span["attributes"])["gen_ai"]["conversation"]["id"] for span in spans} == {thread_id}
