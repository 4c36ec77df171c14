"""OpenTelemetry providers that keep what they get in memory, and runtimes that are instrumented with them."""

from contextlib import asynccontextmanager
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from tests.actors.conftest import Scripted

from spindle import open_runtime
from spindle.otel import OpenTelemetryInstrument


class Telemetry:
    """Both providers of an application, and what they have received."""

    def __init__(self):
        self.exporter, self.reader = InMemorySpanExporter(), InMemoryMetricReader()
        self.tracers = TracerProvider(shutdown_on_exit=False)
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.meters = MeterProvider([self.reader], shutdown_on_exit=False)
        self.tracer = self.tracers.get_tracer("application")

    def instrument(self, content=False, **options):
        return OpenTelemetryInstrument(self.tracers, self.meters, content, **options)

    @property
    def spans(self):
        """The spans that have ended, oldest first."""
        return sorted(self.exporter.get_finished_spans(), key=lambda span: span.start_time)

    def named(self, name):
        """The spans of this name, or of this operation."""
        return [span for span in self.spans if span.name == name or span.name.split()[0] == name]

    def one(self, name):
        """The only one."""
        [span] = self.named(name)
        return span

    def tree(self):
        """The names of the spans, each with those of its children."""
        spans = self.spans

        def below(parent):
            return [(span.name, below(span.context.span_id)) if below(span.context.span_id) else span.name
                    for span in spans if (span.parent.span_id if span.parent else None) == parent]

        return below(None)

    def points(self, name):
        """The data points of a metric."""
        data: Any = self.reader.get_metrics_data()
        metrics = [metric for resource in data.resource_metrics for scope in resource.scope_metrics for metric in scope.metrics]
        return [point for metric in metrics if metric.name == name for point in metric.data.data_points]

    def shutdown(self):
        self.tracers.shutdown()
        self.meters.shutdown()


@pytest.fixture
def telemetry():
    made = Telemetry()
    yield made
    made.shutdown()


@pytest.fixture
def scripted():
    """The class of scripted models."""
    return Scripted


@pytest.fixture
def opened(tmp_path, telemetry):
    """opened(model, content=False, agent_name=..., **options) -> an instrumented runtime to enter."""

    @asynccontextmanager
    async def open_(model, content=False, naming=None, **options):
        instrument = telemetry.instrument(content, **(naming or {}))
        options = {"home": tmp_path / "home", "cwd": tmp_path, "instruments": [instrument], **options}
        async with open_runtime(model=model, **options) as runtime:
            yield runtime
        assert not instrument._open
        assert not instrument._turns

    return open_
