"""hooks/list: the hooks that are configured for a directory, or for that of a thread."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import trio

from spindle.actors.clients.requests import directory_of
from spindle.actors.kernel.mailbox import Reply
from spindle.rpc.protocol.errors import invalid_request
from spindle.rpc.protocol.hooks import HookMetadata, HooksListEntry, HooksListParams, HooksListResponse
from spindle.storage.config import ConfigError
from spindle.storage.config.hooks import HookHandler, hook_config

if TYPE_CHECKING:
    from spindle.actors.clients.caller import Caller
    from spindle.actors.registry.backend import Backend


def list_(caller: Caller, params: HooksListParams, reply: Reply[Any]) -> None:
    """hooks/list"""
    backend, base = caller.backend, caller.cwd
    cwds = params.cwds or (base,)
    if params.thread_id is not None:
        if params.cwds:
            raise invalid_request("specify either threadId or cwds")
        cwds = (directory_of(caller, params.thread_id),)

    def work() -> HooksListResponse:
        return HooksListResponse([_entry(backend, base, cwd) for cwd in cwds])

    caller.later(reply, lambda: trio.to_thread.run_sync(work, abandon_on_cancel=True))


def _entry(backend: Backend, base: str, cwd: str) -> HooksListEntry:
    try:
        hooks = hook_config(backend.config_loader.load(Path(base, cwd)))
    except (ConfigError, OSError) as error:
        return HooksListEntry(cwd=cwd, warnings=[str(error)])
    return HooksListEntry(cwd=cwd, hooks=[_shown(handler) for handler in hooks.listed], warnings=hooks.warnings)


def _shown(handler: HookHandler) -> HookMetadata:
    return HookMetadata(
        key=handler.key,
        event_name=handler.event,
        command=handler.command,
        matcher=handler.matcher,
        timeout_sec=handler.timeout,
        status_message=handler.status_message,
        source_path=handler.path,
        source=handler.source,
        plugin_id=handler.plugin_id,
        display_order=handler.order,
        enabled=handler.enabled,
        current_hash=handler.hash,
        trust_status=handler.trust,
    )
