"""OpenTelemetry for threads: spans and metrics by the semantic conventions for generative AI (`pip install 'spindle[otel]'`).

The application configures OpenTelemetry, and gives the instrument to the runtime:

    async with spindle.open_runtime(instruments=[OpenTelemetryInstrument()]) as runtime:
        ...

The daemon does both by itself if the user's `config.toml` has an `[otel]` table (docs/config.md).
"""

from importlib import import_module

try:
    import_module("opentelemetry.trace")
except ImportError as error:
    raise ImportError("OpenTelemetry is not installed: pip install 'spindle[otel]'") from error

from spindle.otel.content import Content
from spindle.otel.instrument import OpenTelemetryInstrument

__all__ = ["Content", "OpenTelemetryInstrument"]
