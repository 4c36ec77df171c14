"""The commands of a thread that have outlived their calls: listing them and ending them.

Ending waits for the processes, so it is done beside the thread's messages.
"""

from __future__ import annotations

from spindle.actors.thread.core import ThreadCore
from spindle.actors.thread.messages import EndTerminal, EndTerminals, ListTerminals
from spindle.actors.thread.tools import ThreadTools


def list_terminals(tools: ThreadTools, message: ListTerminals) -> None:
    """Those that run, the longest unused first."""
    sessions = tools.sessions
    message.reply.resolve([] if sessions is None else sessions.terminals())


def end_terminal(thread: ThreadCore, tools: ThreadTools, message: EndTerminal) -> None:
    """Answers when it has ended."""
    sessions = tools.sessions

    async def end() -> bool:
        return sessions is not None and await sessions.terminate(message.process_id)

    thread.answer_later(message.reply, end)


def end_terminals(thread: ThreadCore, tools: ThreadTools, message: EndTerminals) -> None:
    """Answers when they have ended."""
    sessions = tools.sessions

    async def end() -> None:
        if sessions is not None:
            await sessions.clean()

    thread.answer_later(message.reply, end)
