"""The processes of one client, by the names that it has given them. They are killed when its connection ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeVar

import trio

from spindle.actors.clients.files.base64_text import InvalidBase64, decode
from spindle.actors.clients.processes.running import Held, Running
from spindle.actors.kernel.mailbox import Reply
from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.errors import INVALID_PARAMS, RpcError, invalid_request

if TYPE_CHECKING:
    from spindle.actors.clients.caller import Caller

T = TypeVar("T")

MOST: Final = 64
"""The most processes of one client, of both kinds."""


@frozen
class Words:
    """What errors call a method, and the name that the client gives a process."""

    method: str
    absent: str
    duplicate: str
    process: str


class Owned:
    """The processes of one client: those of `command/exec` and those of `process/spawn` have names of their own."""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self.commands: dict[object, Running] = {}
        self.spawned: dict[object, Running] = {}
        self.held = Held()
        self._warden = caller.backend.services.warden
        self._warden.hold()  # or the end of the last thread would end it, and wait for these processes
        caller.start("the processes of a client", self._last)

    def add(self, table: dict[object, Running], name: object, process: Running, words: Words) -> None:
        """Give a process its name. Raises RpcError if another one has it, and if there are too many."""
        if name in table:
            raise invalid_request(f'{words.duplicate}: "{name}"')
        if len(self.commands) + len(self.spawned) >= MOST:
            raise invalid_request(f"a client may run at most {MOST} processes at a time")
        table[name] = process

    async def _last(self) -> None:
        try:
            await trio.sleep_forever()
        finally:
            await self._warden.let_go()


def find(table: dict[object, Running], name: str, words: Words) -> Running:
    """The process of this name. Raises RpcError if it does not run."""
    process = table.get(name)
    if process is None:
        raise invalid_request(f'{words.absent} "{name}"')
    return process


def write(
    table: dict[object, Running],
    name: str,
    text: str | None,
    close: bool,
    reply: Reply[T],
    answer: Callable[[], T],
    words: Words,
) -> None:
    """Write base64 to a process, close its input, or both, and answer when it is done. Raises RpcError."""
    if text is None and not close:
        raise RpcError(INVALID_PARAMS, f"{words.method} requires deltaBase64 or closeStdin")
    try:
        data = decode(text or "")
    except InvalidBase64 as error:
        raise RpcError(INVALID_PARAMS, f"invalid deltaBase64: {error}") from error
    process = find(table, name, words)
    if not process.wanted.writable:
        raise invalid_request(f"stdin streaming is not enabled for this {words.process}")
    process.write(data, close, Reply(lambda _: reply.resolve(answer()), reply.reject))
