"""The commands of a thread that have outlived their calls: listing them and ending them.

Ending waits for the processes, so it is done beside the thread's messages.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from spindle.actors.thread.messages import EndTerminal, EndTerminals, ListTerminals

if TYPE_CHECKING:
    from spindle.actors.thread.actor import ThreadActor
    from spindle.actors.tools.commands.sessions import Sessions


def _sessions(thread: ThreadActor) -> Sessions | None:
    runner = thread.tools.running
    return None if runner is None else runner.sessions


async def list_terminals(thread: ThreadActor, message: ListTerminals) -> None:
    """Those that run, the longest unused first."""
    sessions = _sessions(thread)
    message.reply.resolve([] if sessions is None else sessions.terminals())


async def end_terminal(thread: ThreadActor, message: EndTerminal) -> None:
    """Answers when it has ended."""
    sessions = _sessions(thread)

    async def end() -> bool:
        return sessions is not None and await sessions.terminate(message.process_id)

    thread.answer_later(message.reply, end)


async def end_terminals(thread: ThreadActor, message: EndTerminals) -> None:
    """Answers when they have ended."""
    sessions = _sessions(thread)

    async def end() -> None:
        if sessions is not None:
            await sessions.clean()

    thread.answer_later(message.reply, end)


HANDLERS: Mapping[type, Callable[[ThreadActor, Any], Awaitable[None]]] = {
    ListTerminals: list_terminals,
    EndTerminal: end_terminal,
    EndTerminals: end_terminals,
}
"""By the type of message."""
