"""Answers `spindle top`: each connection to the runtime's socket gets one document, and is closed.

The socket is in a private folder of the home. The kernel says who connects: only the same user, and no command of the runtime.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from functools import partial
from typing import Final

import trio

from spindle.actors.registry.backend import Backend
from spindle.rpc.inspection import RuntimeKind
from spindle.rpc.relay.hello import version
from spindle.rpc.transports.accepting import Refusal, accept_clients
from spindle.rpc.transports.peers import Peer, Refuse, of_same_user
from spindle.rpc.transports.unix_socket import BoundSocket, bind_unix, unlink_unix
from spindle.storage.running_folder import new_name, open_folder

log = logging.getLogger("spindle")

MOST: Final = 4
"""Connections at a time."""
SECONDS: Final = 5.0
"""Deadline of an answer."""


async def serve_inspection(
    backend: Backend,
    kind: RuntimeKind,
    refuse_commands: Refuse,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Answer until cancelled. The socket's file is removed at the end. Without a socket, it returns and says so in the log.

    `task_status` is set when it can be asked, or when it cannot.
    """
    with ExitStack() as files:
        try:
            bound = await trio.to_thread.run_sync(_bind, backend, files)
        except OSError as error:
            log.info("`spindle top` cannot ask this runtime: %s", error)
            task_status.started()
            return
        try:
            answer = partial(_answer, backend, kind, await trio.to_thread.run_sync(version))
            async with trio.SocketListener(trio.socket.from_stdlib_socket(bound.socket)) as listener:
                log.info("ready for `spindle top`")
                task_status.started()
                await accept_clients(
                    [listener], _open, answer, refuse=_refuse(refuse_commands), connections=MOST, handshakes=MOST
                )
        finally:
            with trio.CancelScope(shield=True):  # a lock of the folder is waited for with a deadline
                await trio.to_thread.run_sync(unlink_unix, bound)


def _bind(backend: Backend, files: ExitStack) -> BoundSocket:
    folder = files.enter_context(open_folder(backend.home.running, make=True))
    return bind_unix(folder / new_name(), MOST)


def _refuse(refuse_commands: Refuse) -> Callable[[Peer], Awaitable[str | None]]:
    async def refuse(peer: Peer) -> str | None:
        return None if of_same_user(peer) and await refuse_commands(peer) is None else "not for this process"

    return refuse


async def _open(stream: trio.SocketStream, refusal: Refusal | None) -> trio.SocketStream | None:
    return stream if refusal is None else None


async def _answer(backend: Backend, kind: RuntimeKind, spindle: str, stream: trio.SocketStream) -> None:
    from spindle.actors.registry.inspection import inspection

    try:
        with trio.move_on_after(SECONDS):
            for piece in inspection(backend, kind, spindle):
                await stream.send_all(piece)
            await stream.send_eof()
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        pass
    except Exception:
        log.exception("`spindle top` could not be answered")
