"""The kit's own view of what is inside of a runtime and of a stream. Nothing else in the kit reads private members."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

from typing import TYPE_CHECKING

from spindle.actors.embedding.streams import Events, Sink

if TYPE_CHECKING:
    import trio

    from spindle.actors.embedding.runtime import Runtime
    from spindle.actors.embedding.turns import Turn
    from spindle.actors.registry.backend import Backend


def backend_of(runtime: Runtime) -> Backend:
    """The backend of a runtime."""
    return runtime._backend


def nurseries(runtime: Runtime) -> list[trio.Nursery]:
    """The nurseries in which a runtime's tasks run."""
    backend = runtime._backend
    background = backend.services.background
    return [backend._nursery, *([background] if background is not None else [])]


def sink_of(reader: Events | Turn) -> Sink:
    """Where the events of a stream or of a turn are put in."""
    return reader if isinstance(reader, Events) else reader._log
