"""thread/settings/update: what a loaded thread runs with from its next turn on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spindle.actors.clients.methods.identity import thread_id
from spindle.actors.clients.methods.threads import mapped
from spindle.actors.kernel.mailbox import Reply
from spindle.actors.registry.messages import ToThread
from spindle.actors.thread.messages import UpdateSettings
from spindle.rpc.protocol.thread_settings import ThreadSettingsUpdateParams, ThreadSettingsUpdateResponse

if TYPE_CHECKING:
    from spindle.actors.clients.connection import Connection


def update(connection: Connection, params: ThreadSettingsUpdateParams, reply: Reply[Any]) -> None:
    """thread/settings/update"""
    message = UpdateSettings(reply=mapped(reply, _updated), params=params)
    connection.runtime.registry.route(ToThread(thread_id(params.thread_id), message))


def _updated(_: None) -> ThreadSettingsUpdateResponse:
    return ThreadSettingsUpdateResponse()
