"""A seeded fuzzer of what clients send: heads, frames, JSON, text, on all three transports, against a daemon's process.

With any input the daemon keeps running, each request is answered once or its connection is closed with a reason, no error
is logged, memory and descriptors come back, and the next client is served. CI takes a second or two of it for each transport;
`SPINDLE_FUZZ=10000000 SPINDLE_SEED=7 pytest -n 0 --timeout=0 tests/fuzz` sends as many bytes on each.
"""

from __future__ import annotations

import logging
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from benchmarks.driving import DEADLINE
from tests.daemon.process import Daemon

from .messages import Messages
from .play import GROWTH, Channel, Expected, connect, converse, descriptors, faults, resident
from .wire import Lines

log = logging.getLogger(__name__)

pytestmark = pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs /proc")

BYTES = int(os.environ.get("SPINDLE_FUZZ", "150000"))
"""The number of bytes sent on each transport."""
SEED = int(os.environ.get("SPINDLE_SEED", "1"))
SPARE = 16
"""How many descriptors a daemon may have opened for itself: for its databases, and to wake its threads."""
WARM = 0.1
"""The share of the bytes after which the daemon's memory is measured. It has allocated what it needs by then."""

CONFIG = """\
model = "mock-model"
model_provider = "nobody"
approval_policy = "never"
sandbox_mode = "read-only"
thread_unload_delay_secs = 0

[model_providers.nobody]
name = "Nobody"
base_url = "http://127.0.0.1:9/v1"
wire_api = "responses"
request_max_retries = 0
stream_max_retries = 0
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    (home / "config.toml").write_text(CONFIG, encoding="utf-8")
    return home


@pytest.fixture
def daemon(home: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Daemon]:
    daemon = Daemon(home, {"unix": f"unix://{tmp_path}/s", "ws": "ws://127.0.0.1:0"}.get(request.param, "stdio://"))
    yield daemon
    daemon.close()


@pytest.mark.parametrize("daemon", ["unix", "ws"], indirect=True)
def test_connections(daemon: Daemon) -> None:
    client = daemon.client()
    before = descriptors(daemon)
    sent, number, memory = 0, 0, 0
    while sent < BYTES:
        logged = len(daemon.log.entries)
        draw = random.Random(f"{SEED} {daemon.listen[:2]} {number}")
        try:
            sent += connect(draw, Messages(draw), daemon)
        except AssertionError as error:
            pytest.fail(f"seed {SEED}, connection {number}: {error}\n" + "\n".join(daemon.log.entries[-20:]))
        number += 1
        assert daemon.process.poll() is None, f"the daemon has ended: {daemon.log.entries[-20:]}"
        assert not faults(daemon, logged), f"seed {SEED}, connection {number - 1}: {faults(daemon, logged)}"
        if number % 50 == 0:
            assert client.call("thread/loaded/list") is not None
        if not memory and sent > WARM * BYTES:
            memory = resident(daemon)
    limit = time.monotonic() + DEADLINE
    while (after := descriptors(daemon)) > before + SPARE and time.monotonic() < limit:
        client.call("thread/loaded/list")
    assert after <= before + SPARE
    assert resident(daemon) - memory < GROWTH
    assert daemon.client().call("thread/loaded/list") is not None
    assert not faults(daemon)
    log.info(
        f"{number} connections, {sent} bytes, {after - before} descriptors and {resident(daemon) - memory} bytes more"
    )


@pytest.mark.parametrize("daemon", ["stdio"], indirect=True)
def test_lines(daemon: Daemon) -> None:
    """One client on standard input. What it sends ends only its own requests."""
    stdin, stdout = daemon.process.stdin, daemon.process.stdout
    assert stdin is not None
    assert stdout is not None
    draw, received = random.Random(SEED), Lines()
    generator = Messages(draw)
    expected = Expected(generator)
    channel = Channel(stdin.fileno(), stdout.fileno(), received.feed)
    memory, before = 0, 0
    while channel.sent < BYTES:
        at, logged = channel.sent, len(daemon.log.entries)
        try:
            converse(draw, generator, channel, received, expected)
        except AssertionError as error:
            pytest.fail(f"seed {SEED}, from byte {at}: {error}\n" + "\n".join(daemon.log.entries[-20:]))
        assert not faults(daemon, logged), f"seed {SEED}, from byte {at}: {faults(daemon, logged)}"
        if not memory and channel.sent > WARM * BYTES:
            memory, before = resident(daemon), descriptors(daemon)
    assert descriptors(daemon) <= before + SPARE
    assert resident(daemon) - memory < GROWTH
    log.info(
        f"{channel.sent} bytes, {descriptors(daemon) - before} descriptors and {resident(daemon) - memory} bytes more"
    )
    stdin.close()
    assert daemon.wait() == 0
    assert not faults(daemon)
