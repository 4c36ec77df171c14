"""feedback/*: what the user says of a thread. It is saved where the user wants it, and sent nowhere."""

from __future__ import annotations

import os
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trio

from spindle.actors.clients.identity import thread_id
from spindle.actors.kernel.mailbox import Reply
from spindle.rpc.lenient import mapping
from spindle.rpc.protocol.errors import internal_error, invalid_request
from spindle.rpc.protocol.feedback import FeedbackSaveParams, FeedbackSaveResponse, FeedbackUploadParams
from spindle.storage.feedback import Attachment, FeedbackError, save
from spindle.storage.threads.locate import locate

if TYPE_CHECKING:
    from spindle.actors.clients.caller import Caller


def save_(caller: Caller, params: FeedbackSaveParams, reply: Reply[Any]) -> None:
    """feedback/save: a report, with the rollout of the thread and the chosen files if `includeLogs` asks for them."""
    target = params.save_path
    if not os.path.isabs(target):
        raise invalid_request("feedback savePath must be an absolute host path")
    id = None if params.thread_id is None else thread_id(params.thread_id)
    about = id or f"no-active-thread-{uuid.uuid4()}"
    report = {
        "timestamp": time.time(),
        "classification": params.classification,
        "reason": params.reason,
        "threadId": about,
        "version": caller.backend.version,
        "tags": params.tags or {},
    }

    def work() -> FeedbackSaveResponse:
        attachments: list[Attachment] = []
        if params.include_logs:
            rollout = None if id is None else locate(caller.backend.home, id)
            attachments += [] if rollout is None else [Attachment(rollout, "application/jsonl")]
            attachments += [Attachment(Path(path), "text/plain") for path in params.extra_log_files or ()]
        try:
            save(Path(target), report, attachments)
        except FeedbackError as error:
            raise internal_error(f"failed to save feedback: {error}") from error
        return FeedbackSaveResponse(target, about)

    caller.later(reply, lambda: trio.to_thread.run_sync(work))


def upload(caller: Caller, params: FeedbackUploadParams, reply: Reply[Any]) -> None:
    """feedback/upload: refused, because Spindle sends nothing to the vendor."""

    async def work() -> object:
        config = await trio.to_thread.run_sync(caller.backend.config, abandon_on_cancel=True)
        if mapping(config.raw.get("feedback")).get("enabled") is False:
            raise invalid_request("sending feedback is disabled by configuration")
        raise internal_error("failed to upload feedback: this server sends none; feedback/save writes it to a file")

    caller.later(reply, work)
