"""How long a daemon on a socket waits for running turns."""

import math
import signal
from types import SimpleNamespace

import pytest
import trio

from spindle.actors import daemon
from spindle.actors.daemon import DRAIN, serve_listener
from spindle.actors.signals import CAUGHT, EndSignals
from spindle.rpc.transports.listen import ListenTarget


@pytest.fixture
def busy(monkeypatch):
    """A runtime whose turns never end. It is not inspected: that uses worker threads, during which the clock would jump."""
    monkeypatch.setattr(daemon, "UNGREETED", math.inf)
    in_use = trio.Event()
    in_use.set()
    registry = SimpleNamespace(idle=trio.sleep_forever, emptied=trio.sleep_forever)
    return SimpleNamespace(in_use=in_use, greeted=trio.Event(), registry=registry, ending=False)


async def test_turns_that_do_not_end_are_waited_for_with_a_timeout(busy, tmp_path, autojump_clock, caplog):
    signals = EndSignals()
    signals.count = 1
    began = trio.current_time()
    await serve_listener(busy, ListenTarget("unix", path=tmp_path / "s"), signals)
    assert DRAIN <= trio.current_time() - began < DRAIN + 1
    assert busy.ending
    assert "ending turns that still run after 60 seconds" in caplog.text


async def test_a_second_signal_ends_the_wait(busy, tmp_path, autojump_clock, caplog):
    signals = EndSignals()
    signals.count = 2
    began = trio.current_time()
    await serve_listener(busy, ListenTarget("unix", path=tmp_path / "s"), signals)
    assert trio.current_time() - began < 1
    assert not caplog.records


def test_signals_are_counted_and_an_ignored_hangup_stays_ignored():
    before = {number: signal.getsignal(number) for number in CAUGHT}
    signals = EndSignals()
    try:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signals.catch()
        for number in CAUGHT:
            signal.raise_signal(number)
        assert signals.count == 2
        signals.ignore()
        signal.raise_signal(signal.SIGTERM)
        assert signals.count == 2
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
