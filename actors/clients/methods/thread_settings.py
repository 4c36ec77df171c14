"""thread/settings/update: what a loaded thread runs with from its next turn on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spindle.actors.clients.identity import thread_id
from spindle.actors.clients.requests import based, mapped
from spindle.actors.kernel.mailbox import Reply
from spindle.actors.registry.messages import ToThread
from spindle.actors.thread.messages import UpdateSettings
from spindle.rpc.protocol.thread_settings import ThreadSettingsUpdateParams, ThreadSettingsUpdateResponse

if TYPE_CHECKING:
    from spindle.actors.clients.caller import Caller


def update(caller: Caller, params: ThreadSettingsUpdateParams, reply: Reply[Any]) -> None:
    """thread/settings/update"""
    message = UpdateSettings(reply=mapped(reply, _updated), params=based(caller, params, "cwd"))
    caller.backend.registry.route(ToThread(thread_id(params.thread_id), message))


def _updated(_: None) -> ThreadSettingsUpdateResponse:
    return ThreadSettingsUpdateResponse()
