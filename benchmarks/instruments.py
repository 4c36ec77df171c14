"""Measures what instruments add to a turn: none, one that does nothing, and OpenTelemetry that exports.

    python benchmarks/instruments.py [--rounds 15]

A turn has two requests to a model over HTTP, a call of a function, and an answer in a few pieces. The three kinds have a
runtime each in this process, and take turns in blocks, so that other load on the machine meets all of them. The model and the
receiver of OTLP are another process. Measured are the turns, and the processor time of this process in a block. A block has as
many spans as OpenTelemetry's SDK exports at once, and they are exported in it. What is added is the median of the ratios to
the block without instruments of the same round.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import trio
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

sys.path.insert(0, os.path.dirname(__file__))
from driving import (
    ModelProcess,
    completed,
    configure,
    created,
    item_done,
    message_added,
    pieces,
    response,
    serve,
    spoken,
)
from driving.comparing import described

import spindle
from spindle.otel import OpenTelemetryInstrument

THREADS, TURNS, PIECES, WARM = 4, 32, 8, 2
ACCEPTED = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
CALL = {"type": "function_call", "call_id": "c", "name": "add", "arguments": '{"a": 1, "b": 2}'}


def serve_model() -> None:
    """Ask for a call first, and answer when its output is there. What is exported is accepted."""
    calling = response(created(), message_added(), item_done(**CALL), completed())
    answering = response(*spoken(pieces(PIECES)))

    def answer(method: str, path: str, body: bytes) -> tuple[bytes, bool]:
        if path.startswith("/otlp"):
            return ACCEPTED, False
        last = json.loads(body)["input"][-1]
        return (answering if last["type"] == "function_call_output" else calling), False

    serve(answer)


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def nothing() -> None:
    """What is left to do after a block without exporters."""


class Kind:
    """Turns with the same instruments: the seconds of each turn, and the processor time of each block."""

    def __init__(
        self, name: str, instruments: Sequence[spindle.Instrument], flush: Callable[[], object] = nothing
    ) -> None:
        self.name, self.instruments, self._flush = name, instruments, flush
        self.turns: list[float] = []
        self.blocks: list[float] = []

    async def block(self, runtime: spindle.Runtime) -> None:
        """Measure the turns of some threads, one after the other."""
        took: list[float] = []
        before = time.process_time()
        for _ in range(THREADS):
            async with runtime.start_thread(tools=[add]) as thread:
                for _ in range(TURNS):
                    began = time.perf_counter()
                    await thread.run("Go on.")
                    took.append(time.perf_counter() - began)
        self._flush()
        self.blocks.append((time.process_time() - before) / len(took))
        self.turns.append(statistics.median(took))

    def row(self, first: Kind) -> str:
        """The row of the table, compared with the first kind."""
        cells: list[str] = []
        for own, without in ((self.turns, first.turns), (self.blocks, first.blocks)):
            ratio = statistics.median(a / b for a, b in zip(own, without, strict=True))
            cells += [f"{statistics.median(own) * 1000:6.2f} ms", f"{(ratio - 1) * 100:+5.1f} %"]
        return f"| {self.name:32} | {' | '.join(cells)} |"


def kinds(receiver: str, closing: AsyncExitStack) -> list[Kind]:
    """The three of them. OpenTelemetry exports to `receiver`."""
    tracers = TracerProvider()
    tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{receiver}/traces")))
    meters = MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter(f"{receiver}/metrics"))])
    closing.callback(meters.shutdown)  # what is measured last is sent while the receiver is there
    closing.callback(tracers.shutdown)
    return [
        Kind("no instrument", []),
        Kind("an instrument that does nothing", [spindle.Instrument()]),
        Kind("OpenTelemetry, exporting", [OpenTelemetryInstrument(tracers, meters)], tracers.force_flush),
    ]


async def measure(port: int, rounds: int) -> list[Kind]:
    """Run the rounds. The kinds begin a round in turn."""
    async with AsyncExitStack() as stack:
        measured = kinds(f"http://127.0.0.1:{port}/otlp", stack)
        runtimes: list[spindle.Runtime] = []
        for kind in measured:
            home = stack.enter_context(tempfile.TemporaryDirectory(prefix="spindle-benchmark-"))
            configure(Path(home), f"http://127.0.0.1:{port}/v1")
            opened = spindle.open_runtime(home=home, cwd=home, instruments=kind.instruments)
            runtimes.append(await stack.enter_async_context(opened))
        for number in range(WARM + rounds):
            pairs = list(zip(measured, runtimes, strict=True))
            for kind, runtime in (*pairs[number % 3 :], *pairs[: number % 3]):
                await kind.block(runtime)
            if number == WARM - 1:
                for kind in measured:
                    kind.turns.clear()
                    kind.blocks.clear()
    return measured


def main() -> int:
    """Run the rounds and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--model", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.model:
        serve_model()
    with ModelProcess(__file__) as model:
        measured = trio.run(measure, model.port, chosen.rounds)
    print("\n".join(described([], chosen.rounds)))
    print(f"| {'turns with':32} | {'median':>9} | {'added':>7} | {'processor':>9} | {'added':>7} |\n|{' --- |' * 5}")
    for kind in measured:
        print(kind.row(measured[0]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
