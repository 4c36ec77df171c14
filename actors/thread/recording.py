"""Writing to a thread's rollout outside of what its turn writes: from nothing, between turns, and while one runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from attrs import evolve

from spindle.actors.services.skills import announcement
from spindle.actors.settings.recorded import turn_context
from spindle.actors.settings.settings import ThreadSettings
from spindle.actors.tools.git import read_git
from spindle.actors.turn.context import Included, Told, changes, opening, today
from spindle.rpc.protocol.errors import internal_error, invalid_request
from spindle.rpc.protocol.threads import GitInfo
from spindle.storage.outside import Readable
from spindle.storage.rollout import records
from spindle.storage.rollout.journal import JournalError
from spindle.storage.rollout.records import Entry
from spindle.storage.rollout.writer_lock import WriterBusy

if TYPE_CHECKING:
    from spindle.actors.thread.actor import ThreadActor
    from spindle.actors.thread.state import OpenedThread

_GIT_KEYS = {"sha": "commit_hash", "branch": "branch", "origin_url": "repository_url"}


def context_entries(
    state: OpenedThread, settings: ThreadSettings, turn_id: str, readable: Readable | None
) -> list[Entry]:
    """What tells the model of its surroundings, as far as it has not been told and of files no more than are `readable`.

    Recorded, it counts as told.
    """
    conversation = state.conversation
    date, zone = today()
    now, included = Told.of(settings, date, zone), Included.of(state.config)
    if conversation.last_context is None:
        told = opening(settings, now, *surroundings(state, readable), included)
    else:
        before = Told.recorded(conversation.last_context)
        told = changes(settings, before, now, state.new_developer_instructions, included)
    context = turn_context(settings, turn_id, date, zone)
    return [*map(records.response_item, told), records.turn_context(context)]


def surroundings(state: OpenedThread, readable: Readable | None) -> tuple[str | None, str | None]:
    """(what the AGENTS.md files say, what announces the skills), as far as these are `readable`"""
    return state.guidance.within(readable).text, announcement(state.skills, readable)


async def look_at_repository(state: OpenedThread) -> None:
    """Before the rollout is created: note the repository around the thread, under what a client has set already."""
    if state.conversation.stored:
        return
    found = await read_git(state.settings.cwd) or GitInfo()
    set_git(state, evolve(found, **state.git_set))


def set_git(state: OpenedThread, git: GitInfo) -> None:
    """Let this be what is known of the repository, in the thread and in its session_meta."""
    meta = git_meta(git)
    state.git = git if meta else None
    state.conversation.meta.pop("git", None)
    if meta:
        state.conversation.meta["git"] = meta


def git_columns(git: GitInfo) -> dict[str, str | None]:
    """The same as Codex's database has it."""
    return {"git_sha": git.sha, "git_branch": git.branch, "git_origin_url": git.origin_url}


def git_meta(git: GitInfo) -> dict[str, str]:
    """The `git` member of a session_meta line."""
    return {key: value for name, key in _GIT_KEYS.items() if (value := getattr(git, name)) is not None}


async def save(thread: ThreadActor, entries: Callable[[], Sequence[Entry]]) -> None:
    """Append lines to the rollout, creating it if need be, and return when they are on disk.

    `entries` is called when the rollout is open and known to be as others left it. Raises RpcError: another process is
    writing, or the lines could not be saved.
    """
    state, services = thread.state, thread.services
    conversation = state.conversation
    if thread.turn is not None:
        await thread.turn.opened.wait()
    ours = not conversation.is_open
    try:
        if ours:
            await look_at_repository(state)
            await conversation.begin(history=False)
        try:
            await conversation.keep(entries())
            journal = conversation.journal
            if journal is not None and state.config.durability != "os":
                await services.flusher.sync(journal)  # also if the turn ends meanwhile and closes the rollout
        finally:
            if ours:
                conversation.end()
    except WriterBusy as error:
        raise invalid_request(f"thread {thread.thread_id} already has an active writer: {error.holder}") from error
    except (JournalError, OSError) as error:
        raise internal_error(f"the thread's history could not be saved: {error}") from error
