"""Use the configuration as it is now, from a loaded thread's next turn."""

from __future__ import annotations

import trio

from spindle.actors.thread.core import ThreadCore
from spindle.actors.thread.servers import ThreadServers
from spindle.actors.thread.state import configure
from spindle.rpc.protocol.turns import WarningNotification
from spindle.storage.config import Config, ConfigError
from spindle.storage.config.hooks import HookConfig, hook_config


class Reloading:
    """Reloads what a thread has read of config.toml. Its settings (model, effort, permissions) stay: they are the thread's."""

    def __init__(self, thread: ThreadCore, servers: ThreadServers) -> None:
        self._thread = thread
        self._servers = servers
        self._stale = False

    def mark(self) -> None:
        """The configuration has changed: reload it before the next turn."""
        self._stale = True
        self._servers.reload()

    async def settled(self) -> None:
        """Before a turn begins: reload the configuration if need be. One that cannot be used is a warning."""
        if not self._stale:
            return
        self._stale = False
        thread, state = self._thread, self._thread.state

        def load() -> tuple[Config, HookConfig]:
            config = configure(thread.services, state.settings.cwd, state.config.flags)
            config.check_provider(state.settings.model_provider)
            return config, hook_config(config)

        try:
            state.config, state.hooks = await trio.to_thread.run_sync(load)
        except (ConfigError, OSError) as error:
            thread.emit(WarningNotification(thread.thread_id, f"The configuration was not reloaded: {error}"))
