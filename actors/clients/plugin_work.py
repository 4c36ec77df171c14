"""How the handlers of plugins and marketplaces do their work."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import trio

from spindle.actors.registry.messages import ReloadServers
from spindle.actors.tools.git_clone import GitFailed
from spindle.rpc.protocol.errors import internal_error, invalid_request
from spindle.storage.config import ConfigError
from spindle.storage.plugins.plugin_ids import PluginError

if TYPE_CHECKING:
    from spindle.actors.clients.caller import Caller


def plugin_work(what: str, work: Callable[[], Awaitable[object]]) -> Callable[[], Awaitable[object]]:
    """The work, whose errors become those of a request to do `what`."""

    async def run() -> object:
        try:
            return await work()
        except PluginError as error:
            raise invalid_request(str(error)) from error
        except GitFailed as error:
            raise internal_error(str(error)) from error
        except (ConfigError, OSError) as error:
            raise internal_error(f"failed to {what}: {error}") from error

    return run


def blocking(work: Callable[[], object]) -> Callable[[], Awaitable[object]]:
    """The work, in a worker thread. It changes nothing, so it is abandoned when the request is cancelled."""

    async def run() -> object:
        return await trio.to_thread.run_sync(work, abandon_on_cancel=True)

    return run


def changed(caller: Caller) -> None:
    """Loaded threads use the changed plugins from their next turn."""
    caller.backend.services.skills.forget()
    caller.backend.registry.route(ReloadServers())
