"""Loading a thread: new, from its rollout, or from a history that the client sends."""

from __future__ import annotations

import datetime
import errno
import stat
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import trio
from attrs import evolve

from spindle.actors.delivery.description import git_info
from spindle.actors.delivery.snapshot import Snapshot
from spindle.actors.services.services import Services
from spindle.actors.settings.allowed import required_mode
from spindle.actors.settings.recorded import as_context, follow_on, readable, warning
from spindle.actors.settings.requests import settings_for
from spindle.actors.settings.restrictions import environment
from spindle.actors.thread.conversation import Conversation
from spindle.actors.thread.loading.agent import open_agent
from spindle.actors.thread.loading.fork import open_fork
from spindle.actors.thread.loading.openings import (
    AgentThread,
    FromFork,
    FromHistory,
    FromRollout,
    NewThread,
    Opening,
)
from spindle.actors.thread.state import (
    OpenedThread,
    configure,
    open_state,
    save_history,
    session_meta,
)
from spindle.actors.tools.dynamic import each
from spindle.rpc.protocol.errors import ThreadNotFound, internal_error, invalid_request
from spindle.rpc.protocol.threads import ThreadResumeParams
from spindle.storage.config import ConfigError
from spindle.storage.rollout.compressed import existing, inflate
from spindle.storage.rollout.fold import SessionMeta
from spindle.storage.rollout.journal import JournalError
from spindle.storage.rollout.reading import OpenRollout
from spindle.storage.rollout.writer_lock import WriterBusy, WriterLock
from spindle.storage.threads.summary import ThreadSummary, git_of, read_summary
from spindle.storage.threads.thread_errors import NoRollout, StoredThreadError


async def open_thread(services: Services, thread_id: str, opening: Opening) -> OpenedThread:
    """Load a thread, in a worker thread. Raises RpcError, with Codex's words where it has them."""
    load = partial(trio.to_thread.run_sync, limiter=services.workers.loading)
    # it only reads, so a mount that hangs blocks nothing else
    read = partial(trio.to_thread.run_sync, limiter=services.workers.loading, abandon_on_cancel=True)
    try:
        match opening:
            case NewThread():
                opened = await read(_new, services, thread_id, opening)
                if not (opening.trusts and _is_undecided(opened)):
                    return opened
                unsaved = await load(_trust, services, Path(opened.settings.cwd))
                opened = await read(_new, services, thread_id, opening)
                opened.warnings = [*opened.warnings, *unsaved]
                return opened
            case FromRollout():
                return await load(_from_rollout, services, thread_id, opening)
            case FromFork():
                return await open_fork(services, thread_id, opening)
            case AgentThread():
                return await open_agent(services, thread_id, opening)
            case FromHistory():
                opened = await read(_from_history, services, thread_id, opening)
                await save_history(services, opened.conversation, opening.params.history or ())
                return opened
    except WriterBusy as error:
        raise invalid_request(f"thread {thread_id} already has an active writer: {error.holder}") from error
    except ConfigError as error:
        raise invalid_request(f"failed to load configuration: {error}") from error
    except StoredThreadError as error:
        if isinstance(error, NoRollout):
            raise ThreadNotFound(str(error)) from error
        raise invalid_request(f"failed to load rollout: {error}") from error
    except JournalError as error:
        raise internal_error(f"the history of thread {thread_id} could not be saved: {error}") from error
    except OSError as error:
        raise invalid_request(f"failed to load thread {thread_id}: {error}") from error


def _new(services: Services, thread_id: str, opening: NewThread) -> OpenedThread:
    params, now = opening.params, datetime.datetime.now().astimezone()
    config = configure(services, environment(params.environments).get("cwd", params.cwd), params.config)
    settings = settings_for(config, params, server_cwd=services.cwd)
    config.check_provider(settings.model_provider)
    path = None if params.ephemeral else services.home.new_rollout_path(thread_id, now)
    meta = session_meta(services, thread_id, settings, opening.client, now)
    if params.thread_source is not None:
        meta["thread_source"] = params.thread_source
    if params.history_mode == "paginated":
        meta |= {"session_id": thread_id, "history_mode": "paginated"}
    conversation = Conversation(services.home, thread_id, path, meta, services.outliner, services.workers.rollouts)
    state = open_state(services, config, settings, conversation, opening.client, int(now.timestamp()))
    state.ephemeral = bool(params.ephemeral)
    state.raw_events = params.experimental_raw_events
    state.dynamic_tools = each(params.dynamic_tools or ())
    state.functions = opening.functions
    return state


def _is_undecided(opened: OpenedThread) -> bool:
    """Whether a thread may write to a project about which the user has not decided."""
    return opened.config.trust is None and opened.settings.has_environment and required_mode(opened.settings) != "read-only"


def _trust(services: Services, cwd: Path) -> Sequence[str]:
    """Trust the project around a directory; returns a warning if that cannot be stored."""
    from spindle.storage.config.trusting import trust

    try:
        trust(services.config, cwd)
    except (ConfigError, OSError) as error:
        return [f"The project of {cwd} is not trusted: {error}"]
    return []


def _from_rollout(services: Services, thread_id: str, opening: FromRollout) -> OpenedThread:
    path = opening.path or services.indexing.locate(thread_id)
    if path is None:
        raise NoRollout(thread_id)
    path = inflate(existing(path))
    status = path.stat()
    if status.st_size == 0 and stat.S_ISREG(status.st_mode):
        raise invalid_request(f"failed to load rollout `{path}` for thread {thread_id}: empty session file")
    _check_unlocked(services, thread_id)
    summary = read_summary(path)
    whole = not opening.params.exclude_turns
    rollout = OpenRollout(path, services.outliner, with_turns=whole)
    try:
        opened = _continue(services, thread_id, opening, path, summary, rollout)
    except BaseException:
        rollout.close()
        raise
    if whole:
        opened.turns = Snapshot.stored(rollout)
    else:
        rollout.close()
    return opened


def _check_unlocked(services: Services, thread_id: str) -> None:
    """Refuse a thread that another process is writing to: memory would be out of date. Raises WriterBusy, OSError."""
    lock = WriterLock(services.home.lock_file(thread_id))
    try:
        lock.acquire()
    except OSError as error:
        # threads of a read-only home can still be read; their first turn fails
        if error.errno not in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise
    lock.release()


def _continue(
    services: Services,
    thread_id: str,
    opening: FromRollout,
    path: Path,
    summary: ThreadSummary,
    rollout: OpenRollout,
) -> OpenedThread:
    params, outline = opening.params, rollout.outline
    last = rollout.payload(outline.context) or {}
    changed = as_context((rollout.payload(outline.settings) or {}).get("thread_settings"))
    recorded, unread = readable(follow_on(changed, last) if outline.context_newer else follow_on(last, changed))
    raw_meta = rollout.payload(outline.meta) or {}
    meta = SessionMeta.of(raw_meta)
    cwd = params.cwd or recorded.get("cwd") or summary.cwd
    config = configure(services, cwd, params.config)
    context = {"cwd": summary.cwd, **recorded}
    settings = settings_for(
        config,
        params
        if params.model_provider or summary.model_provider not in config.providers()
        else _with_provider(params, summary),
        server_cwd=services.cwd,
        recorded=context,
        base_instructions=meta.base_instructions if meta else None,
    )
    config.check_provider(settings.model_provider)
    if not params.model_provider and summary.model_provider not in (settings.model_provider, ""):
        unread["model_provider"] = summary.model_provider
    conversation = Conversation(services.home, thread_id, path, raw_meta, services.outliner, services.workers.rollouts)
    conversation.follow(rollout)
    instructed = recorded.get("developer_instructions")
    new = params.developer_instructions
    state = open_state(services, config, settings, conversation, opening.client, summary.created_at)
    state.updated_at = summary.updated_at
    state.source, state.cli_version = summary.source, summary.cli_version
    state.preview, state.name = summary.preview, summary.name or outline.name
    state.forked_from_id = summary.forked_from_id
    state.agent_nickname, state.agent_role = summary.agent_nickname, summary.agent_role
    state.git = git_info(evolve(summary, git=git_of(raw_meta)) if raw_meta else summary)
    state.new_developer_instructions = new if new and new != instructed else None
    state.functions = opening.functions
    state.warnings = [*state.warnings, *([warning(unread)] if unread else [])]
    return state


def _with_provider(params: ThreadResumeParams, summary: ThreadSummary) -> ThreadResumeParams:
    return evolve(params, model_provider=summary.model_provider)


def _from_history(services: Services, thread_id: str, opening: FromHistory) -> OpenedThread:
    params, now = opening.params, datetime.datetime.now().astimezone()
    if not params.history:
        raise invalid_request("history must not be empty")
    config = configure(services, params.cwd, params.config)
    settings = settings_for(config, params, server_cwd=services.cwd)
    config.check_provider(settings.model_provider)
    path = services.home.new_rollout_path(thread_id, now)
    meta = session_meta(services, thread_id, settings, opening.client, now)
    conversation = Conversation(services.home, thread_id, path, meta, services.outliner, services.workers.rollouts)
    state = open_state(services, config, settings, conversation, opening.client, int(now.timestamp()))
    state.preview = _preview(params.history)
    return state


def _preview(history: Sequence[Mapping[str, Any]]) -> str:
    for item in history:
        if item.get("type") == "message" and item.get("role") == "user":
            parts: Any = item.get("content")
            return "".join(str(part.get("text", "")) for part in cast("list[dict[str, Any]]", parts or [])).strip()
    return ""
