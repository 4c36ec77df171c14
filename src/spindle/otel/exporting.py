"""Where the daemon sends spans and metrics: the exporters that `[otel]` of config.toml asks for.

Spans are exported in batches and metrics each minute, by threads of OpenTelemetry's SDK. If the receiver is slow or down, spans
are dropped when the SDK's queue is full, and the log says so about once a minute. No turn waits for it.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.metrics import MeterProvider, NoOpMeterProvider
from opentelemetry.sdk.metrics import MeterProvider as SdkMeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import Span, SpanProcessor
from opentelemetry.sdk.trace import TracerProvider as SdkTracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import NoOpTracerProvider, TracerProvider

from spindle.actors.services.instruments import Instrument
from spindle.otel.content import Content
from spindle.otel.instrument import OpenTelemetryInstrument
from spindle.storage.config.otel import HttpExporter, OtelConfig

log = logging.getLogger("spindle")

COMPLAINING: Final = 60.0
"""Seconds between two warnings of the SDK that get into the log."""


class OtlpExporting:
    """An instrument with exporters of its own. `shutdowns` send what is left; each blocks, and may be called in any thread."""

    def __init__(self, config: OtelConfig) -> None:
        self.shutdowns: list[Callable[[], None]] = []
        resource = _resource(config.environment)
        tracers, meters = self._tracers(config, resource), self._meters(config.metrics, resource)
        content = Content(prompts=config.prompts, responses=config.responses, tools=config.tools)
        self.instruments: Sequence[Instrument] = [OpenTelemetryInstrument(tracers, meters, content)]
        _pass_on_complaints()

    def _tracers(self, config: OtelConfig, resource: Resource) -> TracerProvider:
        if config.traces is None:
            return NoOpTracerProvider()
        provider = SdkTracerProvider(resource=resource, shutdown_on_exit=False)
        if config.span_attributes:
            provider.add_span_processor(_Marking(dict(config.span_attributes)))
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(**_where(config.traces))))
        self.shutdowns.append(provider.shutdown)
        return provider

    def _meters(self, exporter: HttpExporter | None, resource: Resource) -> MeterProvider:
        if exporter is None:
            return NoOpMeterProvider()
        reader = PeriodicExportingMetricReader(OTLPMetricExporter(**_where(exporter)))
        provider = SdkMeterProvider([reader], resource, shutdown_on_exit=False)
        self.shutdowns.append(provider.shutdown)
        return provider


class _Marking(SpanProcessor):
    """Adds the attributes of `span_attributes` to each span."""

    def __init__(self, attributes: dict[str, str]) -> None:
        self._attributes = attributes

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """See SpanProcessor."""
        span.set_attributes(self._attributes)


class _Complaints(logging.Handler):
    """Passes on what OpenTelemetry says, as a warning without its traceback, and not more often than `COMPLAINING`."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._next = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        """See logging.Handler."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + COMPLAINING
            log.warning("OpenTelemetry: %s", record.getMessage())


def _pass_on_complaints() -> None:
    logger = logging.getLogger("opentelemetry")
    if logger.propagate:
        logger.propagate = False
        logger.addHandler(_Complaints())


def _resource(environment: str) -> Resource:
    """What describes this process. `$OTEL_SERVICE_NAME` and `$OTEL_RESOURCE_ATTRIBUTES` count as for any program."""
    own = {
        SERVICE_VERSION: version("spindle"),
        "deployment.environment.name": environment,
        "env": environment,  # as Codex calls it
    }
    if not os.environ.get("OTEL_SERVICE_NAME"):
        own[SERVICE_NAME] = "spindle"
    return Resource.create(own)


def _where(exporter: HttpExporter) -> dict[str, Any]:
    def name(path: Path | None) -> str | None:
        return None if path is None else str(path)

    return {
        "endpoint": exporter.endpoint,
        "headers": dict(exporter.headers),
        "certificate_file": name(exporter.ca_certificate),
        "client_certificate_file": name(exporter.client_certificate),
        "client_key_file": name(exporter.client_private_key),
    }
