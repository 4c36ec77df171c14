"""How the server fares."""

from collections.abc import Sequence

from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.shapes import U32, USize


@frozen
class ServerDiagnosticsParams:
    """Ask how the server fares."""


@frozen
class ServerDiagnosticsGauge:
    """A count."""

    name: str
    value: USize


@frozen
class ServerDiagnosticsProcess:
    """The server's process; sizes in bytes."""

    id: U32
    physical_footprint_bytes: USize | None = None
    resident_memory_bytes: USize | None = None


@frozen
class ServerDiagnosticsResponse:
    """The process, and what it has in hand."""

    gauges: Sequence[ServerDiagnosticsGauge]
    process: ServerDiagnosticsProcess
