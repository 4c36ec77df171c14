"""The runtime as `spindle top` shows it: the document of `rpc/inspection.py`, in pieces.

Nothing is asked of a thread and nothing is waited for, so a thread that hangs is shown too. Between two pieces other tasks run.
"""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from spindle.actors.registry.backend import Backend
from spindle.actors.registry.directory import Entry
from spindle.actors.thread.inspection import inspect_thread
from spindle.rpc.inspection import FORM, SHOWN, Child, InspectedRuntime, InspectedThread, RuntimeKind
from spindle.rpc.protocol.converter import encode
from spindle.rpc.protocol.values import clean, one_line

BATCH = 25
"""Threads in one piece, which takes about a millisecond."""


def inspection(backend: Backend, kind: RuntimeKind, version: str) -> Iterator[bytes]:
    """The pieces of the document. A thread that has ended before its piece is made is left out."""
    children = _children(backend)
    entries = backend.registry.directory.entries() if backend.in_use.is_set() else []
    served = {pid for _, entry in entries if entry.actor for _, _, pid in entry.actor.parts.servers.shown()}
    runtime = InspectedRuntime(
        version=FORM,
        pid=os.getpid(),
        kind=kind,
        spindle=version,
        cwd=clean(backend.cwd),
        started_at=round(backend.started_at, 3),
        clients=backend.audience.size,
        children=[child for child in children.get(None, ()) if child.pid not in served],
    )
    yield encode(runtime).removesuffix(b"}") + b',"threads":['
    rest = iter(entries)
    comma = b""
    while batch := list(islice(rest, BATCH)):
        threads = [thread for id, entry in batch if (thread := _thread(backend, id, entry, children))]
        if threads:
            yield comma + encode(threads)[1:-1]
            comma = b","
    yield b"]}\n"


def _thread(
    backend: Backend, id: str, entry: Entry, children: Mapping[str | None, Sequence[Child]]
) -> InspectedThread | None:
    if not backend.registry.directory.is_known(id):
        return None
    if entry.actor is None:
        return InspectedThread(id=id, status="occupied")
    return inspect_thread(entry.actor.parts, away=entry.away, children=children.get(id, ()))


def _children(backend: Backend) -> Mapping[str | None, Sequence[Child]]:
    """The child processes by thread; under None those that belong to none."""
    found: dict[str | None, list[Child]] = {}
    now = time.monotonic()
    for process in [] if backend.warden is None else backend.warden.running():
        words = one_line(shlex.join(word[:SHOWN] for word in process.command.argv[:SHOWN]), SHOWN)
        child = Child(pid=process.pid, command=words, seconds=round(now - process.began, 3))
        found.setdefault(process.command.thread_id, []).append(child)
    return found
