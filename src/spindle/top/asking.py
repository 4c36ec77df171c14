"""Asks the runtimes of a home what they do, all at once, each with a deadline."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import orjson
import trio

from spindle.rpc.inspection import FORM, LONGEST, InspectedRuntime, InspectedThread
from spindle.rpc.lazy_class import frozen
from spindle.rpc.lenient import mapping, objects
from spindle.rpc.protocol.converter import InvalidValue, structure
from spindle.rpc.protocol.values import loads
from spindle.rpc.transports.peers import of_same_user, peer_of
from spindle.storage.running_folder import open_folder, sockets, sweep

SECONDS: Final = 2.0
"""Deadline of an answer."""
_CHUNK: Final = 256 * 1024


@frozen(kw_only=True)
class Answer:
    """The answer of a runtime, or the problem with it. `pid` is 0 for a process that is not visible here, in a container."""

    pid: int
    runtime: InspectedRuntime | None = None
    threads: tuple[InspectedThread, ...] = ()
    problem: str | None = None


async def ask_all(folder: Path) -> list[Answer]:
    """The answers of the runtimes whose sockets are in `folder` (`Home.running`), by process id. Raises OSError.

    Sockets that processes have left which have ended are removed.
    """
    answers: list[Answer] = []

    async def ask(name: str, pid: int) -> None:
        if (answer := await _ask(inside, name, pid)) is not None:
            answers.append(answer)

    try:
        with open_folder(folder) as inside:
            found = await trio.to_thread.run_sync(sockets, inside)
            async with trio.open_nursery() as nursery:
                for name, pid in found.items():
                    nursery.start_soon(ask, name, pid)
    except FileNotFoundError:
        pass
    return sorted(answers, key=lambda answer: answer.pid)


async def _ask(folder: Path, name: str, pid: int) -> Answer | None:
    """The answer at a socket; None if no process listens there."""
    data = bytearray()
    with trio.socket.socket(trio.socket.AF_UNIX, trio.socket.SOCK_STREAM) as connection:
        try:
            with trio.move_on_after(SECONDS) as deadline:
                await connection.connect(str(folder / name))
                peer = peer_of(connection)
                if not of_same_user(peer):
                    return None
                pid = pid if peer.pid is None else peer.pid
                while (chunk := await connection.recv(_CHUNK)) and len(data) <= LONGEST:
                    data += chunk
        except FileNotFoundError:
            return None
        except ConnectionRefusedError:
            sweep(folder, name, pid)
            return None
        except OSError as error:
            return Answer(pid=pid, problem=f"cannot be asked: {error.strerror or error}")
    if deadline.cancelled_caught:
        return Answer(pid=pid, problem=f"has not answered within {SECONDS:g} s")
    return await trio.to_thread.run_sync(_read, pid, data)


def _read(pid: int, data: bytearray) -> Answer:
    try:
        document = mapping(loads(data))
        runtime = structure(document, InspectedRuntime)
        threads = tuple(structure(thread, InspectedThread) for thread in objects(document.get("threads")))
    except (orjson.JSONDecodeError, InvalidValue) as error:
        return Answer(pid=pid, problem=f"has answered what this version (form {FORM}) cannot read: {error}")
    return Answer(pid=pid, runtime=runtime, threads=threads)
