"""`[otel]` of the user's files: when its instruments are made, which threads they see, and that their faults stay theirs."""

import threading
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest
import trio
from tests.actors.conftest import Scripted
from tests.actors.ledger import Ledger

from spindle import Runtime
from spindle.actors.runtime import open_backend
from spindle.actors.services.telemetry import FLUSHING
from spindle.storage.config.otel import OtelConfig

TABLE = '[otel]\ntrace_exporter.otlp-http.endpoint = "http://127.0.0.1:1/v1/traces"\n'


class Making:
    """Makes one ledger for what it is asked to export. `raises`: it fails instead."""

    def __init__(self, raises=None):
        self.raises, self.ledger = raises, Ledger()
        self.asked: list[OtelConfig] = []
        self.shut_down: list[str] = []

    def __call__(self, config):
        assert threading.current_thread() is not threading.main_thread()
        self.asked.append(config)
        if self.raises is not None:
            raise self.raises
        return SimpleNamespace(instruments=[self.ledger], shutdowns=[lambda: self.shut_down.append("traces")])


@pytest.fixture
def opened(tmp_path):
    """opened(making, config.toml) -> a runtime to enter, with the telemetry of a daemon."""
    home = tmp_path / "home"
    home.mkdir()

    @asynccontextmanager
    async def open_(making, text):
        (home / "config.toml").write_text(text)
        async with open_backend(home=home, cwd=tmp_path, model=Scripted(), exporting=making) as backend:
            yield Runtime(backend)

    return open_


async def test_it_is_made_once_and_sees_each_turn(opened):
    making = Making()
    async with opened(making, TABLE) as runtime:
        assert making.asked == []

        async def run():
            async with runtime.start_thread() as thread:
                await thread.run("hi")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(run)
            nursery.start_soon(run)
    [config] = making.asked
    assert config.traces is not None
    assert config.traces.endpoint == "http://127.0.0.1:1/v1/traces"
    assert making.ledger.names.count("turn_ended") == making.ledger.names.count("thread_closed") == 2
    assert not making.ledger.open
    assert making.shut_down == ["traces"]


@pytest.mark.parametrize("text", ["", "[otel]\n", '[otel]\ntrace_exporter = "none"\nexporter = "none"\n'])
async def test_without_an_exporter_it_is_not_made(opened, text):
    making = Making()
    async with opened(making, text) as runtime, runtime.start_thread() as thread:
        await thread.run("hi")
    assert making.asked == []


async def test_what_fails_as_it_is_made_is_logged_and_stops_nothing(opened, caplog):
    making = Making(ValueError("no exporter"))
    async with opened(making, TABLE) as runtime:
        for _ in range(2):
            async with runtime.start_thread() as thread:
                await thread.run("hi")
    assert len(making.asked) == 1
    assert [line.getMessage() for line in caplog.records] == ["[otel] of config.toml has no effect"]


async def test_a_thread_that_was_loaded_before_is_not_watched_halfway(opened, tmp_path):
    making = Making()
    async with opened(making, "") as runtime, runtime.start_thread() as before:
        (tmp_path / "home" / "config.toml").write_text(TABLE)
        async with runtime.start_thread() as after:
            await before.run("hi")
            await after.run("hi")
    assert {info.thread_id for (info,) in making.ledger.of("thread_loaded")} == {after.id}
    assert {info.thread_id for info, *_ in making.ledger.of("request_ended")} == {after.id}


async def test_the_table_of_a_project_or_a_request_makes_nothing(opened, tmp_path):
    making = Making()
    (tmp_path / ".git").mkdir()
    (tmp_path / ".codex").mkdir()
    (tmp_path / ".codex" / "config.toml").write_text(TABLE)
    trusted = f'[projects."{tmp_path}"]\ntrust_level = "trusted"\n'
    asked = {"otel": {"trace_exporter": {"otlp-http": {"endpoint": "http://127.0.0.1:1/v1/traces"}}}}
    async with opened(making, trusted) as runtime, runtime.start_thread(config=asked) as thread:
        await thread.run("hi")
    assert making.asked == []


async def test_what_cannot_be_flushed_in_time_is_left(opened, caplog, mock_clock):
    let_go = threading.Event()

    def hang():
        trio.from_thread.run_sync(mock_clock.jump, FLUSHING)
        let_go.wait()

    exporting = SimpleNamespace(instruments=[], shutdowns=[hang])
    async with opened(lambda config: exporting, TABLE) as runtime, runtime.start_thread() as thread:
        await thread.run("hi")
    let_go.set()
    assert [line.getMessage() for line in caplog.records] == ["OpenTelemetry: what was not sent within 2 s is lost"]
