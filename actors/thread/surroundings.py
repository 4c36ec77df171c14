"""The records with a thread's surroundings for the model: settings, AGENTS.md files and skills that it may read."""

from __future__ import annotations

import trio

from spindle.actors.services.skills import announcement
from spindle.actors.settings.readable import bounds_of, readable_files
from spindle.actors.settings.recorded import turn_context
from spindle.actors.settings.settings import Settings
from spindle.actors.thread.core import ThreadCore
from spindle.actors.thread.state import OpenedThread
from spindle.actors.tools.sandbox.confinement import Grants
from spindle.actors.turn.context import Included, Surroundings, changes, opening, today
from spindle.storage.outside import Readable
from spindle.storage.rollout import records
from spindle.storage.rollout.records import Entry


def context_entries(
    state: OpenedThread, settings: Settings, turn_id: str, readable: Readable | None
) -> list[Entry]:
    """The records with what the model does not know yet; files only if they are `readable`.

    Once they are recorded, the model is taken to know it.
    """
    conversation = state.conversation
    date, zone = today()
    now, included = Surroundings.of(settings, date, zone), Included.of(state.config)
    if conversation.last_context is None:
        unsent = opening(settings, now, *surroundings(state, readable), included)
    else:
        before = Surroundings.recorded(conversation.last_context)
        unsent = changes(settings, before, now, state.new_developer_instructions, included)
    context = turn_context(settings, turn_id, date, zone)
    return [*map(records.response_item, unsent), records.turn_context(context)]


def surroundings(state: OpenedThread, readable: Readable | None) -> tuple[str | None, str | None]:
    """(the text of the AGENTS.md files, the list of the skills), of files only those that are `readable`"""
    return state.guidance.within(readable).text, announcement(state.skills, readable)


async def find_readable(thread: ThreadCore, settings: Settings, granted: Grants) -> Readable | None:
    """Which of the files that were read when the thread was loaded the model may read; None if all of them."""
    state = thread.state
    if bounds_of(settings) == state.read_within or not state.shows_project_files:
        return None
    readable = readable_files(thread.services.home, settings, granted)
    if readable is not None:
        await trio.to_thread.run_sync(readable, settings.cwd, abandon_on_cancel=True)  # it does not block again
    return readable
