"""Loading a thread as a fork of another. Its rollout is written at once, or held in memory if it is ephemeral."""

from __future__ import annotations

import contextlib
import datetime
import os
from pathlib import Path
from typing import Any, Protocol

import trio
from attrs import evolve

from spindle.actors.services.services import Services
from spindle.actors.settings.recorded import readable, warning
from spindle.actors.settings.requests import settings_for
from spindle.actors.thread.conversation import Conversation
from spindle.actors.thread.loading.openings import FromFork
from spindle.actors.thread.repository import git_meta
from spindle.actors.thread.state import OpenedThread, configure, open_state, session_meta
from spindle.actors.tools.dynamic import recorded_tools
from spindle.actors.tools.git import read_git
from spindle.actors.turn.context import TURN_ABORTED, message
from spindle.rpc.protocol.errors import invalid_request
from spindle.rpc.protocol.threads import ThreadForkParams
from spindle.storage.rollout import records
from spindle.storage.rollout.compressed import existing
from spindle.storage.rollout.fork import Segment, UnknownTurn, cut, fork_lines, segments, write_fork
from spindle.storage.rollout.journal import JournalError
from spindle.storage.rollout.lines import decode_line, encode_line
from spindle.storage.rollout.load import load
from spindle.storage.rollout.replay import RolloutReplay
from spindle.storage.threads.locate import locate, locate_file
from spindle.storage.threads.summary import read_summary
from spindle.storage.threads.thread_errors import NoRollout, StoredThreadError


class Running(Protocol):
    """What knows the running turns: the registry."""

    def turn_id(self, thread_id: str) -> str | None:
        """The id of a thread's running turn; None without one."""


def check_fork(running: Running, source: str | None, params: ThreadForkParams) -> None:
    """Raise RpcError if the parameters contradict each other, or the history would end in a running turn."""
    if params.last_turn_id is not None and params.before_turn_id is not None:
        raise invalid_request("`beforeTurnId` cannot be combined with `lastTurnId`")
    if source is not None and params.last_turn_id is not None and running.turn_id(source) == params.last_turn_id:
        raise invalid_request(f"turn {params.last_turn_id} is still in progress")


async def open_fork(services: Services, thread_id: str, opening: FromFork) -> OpenedThread:
    """Write the fork's rollout and load it, in a worker thread that stops when this is cancelled.

    Raises RpcError, StoredThreadError, ConfigError, JournalError, OSError. No file is left then, nor after a cancellation.
    """
    now = datetime.datetime.now().astimezone()
    path = None if opening.params.ephemeral else services.home.new_rollout_path(thread_id, now)
    try:
        limiter = services.workers.loading
        return await trio.to_thread.run_sync(_fork, services, thread_id, opening, path, now, limiter=limiter)
    except BaseException:
        if path is not None:
            with trio.CancelScope(shield=True), contextlib.suppress(OSError):
                await trio.to_thread.run_sync(os.unlink, path)
        raise


def _fork(
    services: Services, thread_id: str, opening: FromFork, path: Path | None, now: datetime.datetime
) -> OpenedThread:
    params = opening.params
    source = _source(services, opening)

    def find(rollout_id: str) -> Path | None:
        return locate_file(services.home, rollout_id)

    try:
        summary = read_summary(source)
        source = existing(source)
        parts = segments(source, find)
        if params.last_turn_id is not None or params.before_turn_id is not None:
            check = trio.from_thread.check_cancelled
            parts = cut(parts, check, last=params.last_turn_id, before=params.before_turn_id)
        replay = load(source, find).replay
    except UnknownTurn as error:
        raise invalid_request(str(error)) from error
    except (StoredThreadError, OSError) as error:
        if not params.path:
            raise
        reason = getattr(error, "strerror", None) or error
        raise invalid_request(f"failed to load rollout `{source}`: {reason}") from error
    known, unread = readable(replay.last_turn_context or {})
    recorded: dict[str, Any] = {"cwd": summary.cwd, **known}
    config = configure(services, params.cwd or recorded["cwd"], params.config)
    if params.model_provider is None and summary.model_provider in config.providers():
        params = evolve(params, model_provider=summary.model_provider)
    settings = settings_for(
        config,
        params,
        server_cwd=services.cwd,
        recorded=recorded,
        base_instructions=replay.meta.base_instructions if replay.meta else None,
    )
    config.check_provider(settings.model_provider)
    meta = session_meta(services, thread_id, settings, opening.client, now)
    meta["forked_from_id"] = summary.id
    if replay.meta is not None and (tools := replay.meta.raw.get("dynamic_tools")):
        meta["dynamic_tools"] = tools
    if replay.meta is not None and replay.meta.raw.get("history_mode") == "paginated":
        meta |= {"session_id": thread_id, "history_mode": "paginated"}
    if params.thread_source is not None:
        meta["thread_source"] = params.thread_source
    git = trio.from_thread.run(read_git, settings.cwd)
    if git is not None:
        meta["git"] = git_meta(git)
    conversation = Conversation(services.home, thread_id, path, meta, services.outliner, services.workers.rollouts)
    forked = _write(conversation, meta, parts)
    earlier = recorded.get("developer_instructions")
    new = params.developer_instructions
    state = open_state(services, config, settings, conversation, opening.client, int(now.timestamp()))
    state.git, state.preview = git, forked.preview
    state.forked_from_id = summary.id
    state.ephemeral = path is None
    state.dynamic_tools = recorded_tools(meta)
    state.new_developer_instructions = new if new and new != earlier else None
    state.functions = opening.functions
    state.warnings = [*state.warnings, *([warning(unread)] if unread else [])]
    return state


def _source(services: Services, opening: FromFork) -> Path:
    if opening.params.path:
        return Path(services.cwd, opening.params.path)
    found = locate(services.home, opening.source or "")
    if found is None:
        raise NoRollout(opening.source or "")
    return found


def _write(conversation: Conversation, meta: dict[str, Any], parts: list[Segment]) -> RolloutReplay:
    """Write the fork to its conversation's rollout, and let the conversation continue from it."""
    check = trio.from_thread.check_cancelled
    if conversation.path is None:
        replay = RolloutReplay()
        lines = fork_lines(meta, parts, check)
        _feed(replay, lines)
        closing = _closing(replay)
        _feed(replay, closing)
        conversation.adopt([*lines, *closing], replay)
        return replay
    try:
        write_fork(conversation.path, meta, parts, lambda path: _closing(load(path).replay), check)
    except OSError as error:
        raise JournalError(f"cannot write {conversation.path}: {error}") from error
    loaded = load(conversation.path)
    conversation.take(loaded)
    return loaded.replay


def _feed(replay: RolloutReplay, lines: list[bytes]) -> None:
    for raw in lines:
        if (line := decode_line(raw)) is not None:
            replay.feed(line)


def _closing(replay: RolloutReplay) -> list[bytes]:
    """The lines that interrupt a last turn without an end: in the source it is running, or was cut off by a crash."""
    turns = replay.turns()
    if not turns:
        return []
    last = turns[-1]
    unmarked = last.id.startswith("rollout-") and last.status == "completed"
    if not replay.ended_interrupted and not unmarked:
        return []
    notice = records.response_item(message("user", TURN_ABORTED))
    return [encode_line(*notice), encode_line(*records.turn_aborted(None if unmarked else last.id))]
