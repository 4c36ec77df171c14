"""getConversationSummary: an older client's view of a stored thread."""

from __future__ import annotations

import os
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trio

from spindle.actors.kernel.mailbox import Reply
from spindle.rpc.protocol.conversations import (
    ConversationGitInfo,
    ConversationSummary,
    GetConversationSummaryParams,
    GetConversationSummaryResponse,
)
from spindle.rpc.protocol.errors import internal_error, invalid_request
from spindle.storage.rollout.lines import stamp
from spindle.storage.threads.locate import locate, locate_archived
from spindle.storage.threads.metadata import latest_meta
from spindle.storage.threads.summary import read_summary
from spindle.storage.threads.thread_errors import StoredThreadError

if TYPE_CHECKING:
    from spindle.actors.clients.caller import Caller
    from spindle.actors.registry.backend import Backend


def summary(caller: Caller, params: GetConversationSummaryParams, reply: Reply[Any]) -> None:
    """getConversationSummary: by rollout path (taken from the home where it is relative) or by id, archived or not."""
    backend = caller.backend
    if isinstance(params.rollout_path, str):
        path = params.rollout_path
        if "\0" in path:
            raise invalid_request("Invalid request: rolloutPath: invalid value: a path with a NUL character")
        caller.later(reply, lambda: _answer(backend, path, None))
        return
    try:
        id = str(uuid.UUID(str(params.conversation_id)))
    except ValueError:
        text = "Invalid request: data did not match any variant of untagged enum GetConversationSummaryParams"
        raise invalid_request(text) from None
    caller.later(reply, lambda: _answer(backend, None, id))


async def _answer(backend: Backend, path: str | None, id: str | None) -> GetConversationSummaryResponse:
    home = backend.services.home

    def work() -> ConversationSummary:
        if path is not None:
            found: Path | None = home.path / path
        else:
            found = locate(home, id or "") or locate_archived(home, id or "")
        if found is None:
            raise invalid_request(f"no rollout found for conversation id {id}")
        try:
            mtime = os.stat(found).st_mtime
        except OSError as error:
            text = f"failed to resolve rollout path `{found}`: {error.strerror} (os error {error.errno})"
            raise invalid_request(text) from error
        return _summary(backend, found, mtime)

    try:
        return GetConversationSummaryResponse(await trio.to_thread.run_sync(work))
    except StoredThreadError as error:
        raise invalid_request(f"failed to load conversation summary: {error}") from error
    except OSError as error:
        raise internal_error(f"failed to load conversation summary: {error}") from error


def _summary(backend: Backend, path: Path, mtime: float) -> ConversationSummary:
    found = read_summary(path)
    meta, git = latest_meta(path, found.id) or {}, found.git
    return ConversationSummary(
        conversation_id=found.id,
        path=str(path),
        preview=found.preview,
        timestamp=meta.get("timestamp"),
        updated_at=stamp(datetime.fromtimestamp(mtime, UTC)),
        model_provider=found.model_provider,
        cwd=found.cwd,
        cli_version=found.cli_version,
        source=found.source,
        git_info=None if git is None else ConversationGitInfo(git.sha, git.branch, git.origin_url),
    )
