"""The shared parts of a runtime, put together in one object that every thread gets. So nothing is global."""

from __future__ import annotations

import os
from functools import cached_property
from typing import TYPE_CHECKING

import trio
from attrs import Factory, define, field

from spindle.actors.delivery.questions import Questions
from spindle.actors.delivery.subscribers import Audience
from spindle.actors.services.indexing import Indexing
from spindle.actors.services.instruments import Instruments
from spindle.actors.services.model_lists import ModelLists
from spindle.actors.services.models import Models
from spindle.actors.services.skills import SkillCatalog
from spindle.actors.tasks.boundary import Contained
from spindle.actors.tasks.workers import Workers
from spindle.actors.tools.commands.process import Warden
from spindle.actors.tools.commands.rule_book import RuleBook
from spindle.actors.tools.hooks.notify import Notices
from spindle.actors.tools.sandbox.sandbox import Sandbox
from spindle.storage.config import Config, ConfigLoader
from spindle.storage.home import Home
from spindle.storage.rollout.flusher import Flusher
from spindle.storage.rollout.outliner import Outliner
from spindle.storage.state import StateStore

if TYPE_CHECKING:
    from spindle.actors.services.plugins import Plugins
    from spindle.actors.services.telemetry import MakeExporting, Telemetry
    from spindle.actors.services.watches import Watches
    from spindle.actors.tools.mcp.opening import ServerOpener as ServerOpening
    from spindle.actors.tools.mcp.servers import SharedServers
    from spindle.storage.mcp_tokens import McpTokenStore


@define(eq=False)
class Services:
    """The shared parts. `version` is ours, as written into rollouts and user agents."""

    home: Home
    config: ConfigLoader
    models: Models
    flusher: Flusher
    audience: Audience
    cwd: str
    version: str
    source: str = "vscode"
    instructions: str = ""
    workers: Workers = field(factory=Workers)
    warden: Warden = field(factory=Warden)
    background: trio.Nursery | None = None
    """Runs what outlives a thread."""
    instruments: Instruments = field(factory=Instruments)
    exporting: MakeExporting | None = None
    """Serves `[otel]` of the user's files; None in a program, which decides for itself."""
    telemetry: Telemetry | None = field(default=None, init=False)
    """That of `[otel]`, once a thread has it."""
    notices: Notices = field(factory=Notices)
    questions: Questions = field(factory=Questions)
    switched_features: dict[str, bool] = field(factory=dict[str, bool])
    """What clients have switched for the life of this process; weaker than the configuration."""
    skills: SkillCatalog = field(default=Factory(lambda self: SkillCatalog(self.home), takes_self=True))
    indexing: Indexing = field(default=Factory(lambda self: Indexing(self.home), takes_self=True))
    state: StateStore = field(default=Factory(lambda self: StateStore(self.home), takes_self=True))
    outliner: Outliner = field(default=Factory(lambda self: self.indexing.outliner(), takes_self=True))
    model_lists: ModelLists = field(
        default=Factory(
            lambda self: ModelLists(self.home, self.models, self.version, self.background), takes_self=True
        )
    )
    sandbox: Sandbox = field(factory=Sandbox)
    rules: RuleBook = field(
        default=Factory(lambda self: RuleBook(self.home.path / "rules", self.audience.announce), takes_self=True)
    )

    @cached_property
    def shared_servers(self) -> SharedServers | None:
        """The MCP servers that threads share; None without `background`."""
        from spindle.actors.tools.mcp.opening import client_info
        from spindle.actors.tools.mcp.servers import SharedServers

        if self.background is None:
            return None
        return SharedServers(Contained(self.background, outlives=True), self.server_opening, client_info(self.version))

    @cached_property
    def watches(self) -> Watches:
        """Watched files; for clients, so there is a `background`."""
        from spindle.actors.services.watches import Watches

        assert self.background is not None
        return Watches(self.background)

    @cached_property
    def server_opening(self) -> ServerOpening:
        """What every MCP server is started with, whether it belongs to a thread, to all threads or to a client's request."""
        from spindle.actors.tools.mcp.opening import ServerOpener

        return ServerOpener(str(self.home.path), os.environ, self.warden, self.mcp_tokens)

    @cached_property
    def mcp_tokens(self) -> McpTokenStore:
        """The tokens of logins to MCP servers."""
        from spindle.storage.mcp_tokens import McpTokenStore

        return McpTokenStore(self.home)

    @cached_property
    def plugins(self) -> Plugins:
        """The plugins and marketplaces of the home."""
        from spindle.actors.services.plugins import Plugins

        return Plugins(self.home, self.config)

    async def begin_telemetry(self, config: Config) -> None:
        """Before a thread with this configuration is used: serve `[otel]`, if there is one."""
        if self.exporting is None or not config.raw.get("otel"):
            return
        if self.telemetry is None:
            from spindle.actors.services.telemetry import Telemetry

            self.telemetry = Telemetry(self.instruments, self.config, self.exporting)
        await self.telemetry.begin()

    async def aclose(self) -> None:
        """Close them. No thread may be loaded any more."""
        if self.telemetry is not None:
            await self.telemetry.aclose()
        await self.models.aclose()
        await self.notices.aclose()
        await self.warden.aclose()
        self.sandbox.close()
