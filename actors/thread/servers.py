"""The MCP servers of a thread: what they see of it and of its turns, and what turns and clients see of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

import orjson
import trio

from spindle.actors.thread.agents.child import Membership
from spindle.actors.thread.core import ThreadCore
from spindle.actors.thread.life import ThreadState
from spindle.actors.thread.loading.openings import AgentThread, FromRollout
from spindle.actors.thread.messages import AskServers
from spindle.actors.thread.state import configure
from spindle.actors.tools.interface import Call, Output, Permission, Refusal, Reviewed, Subject, Tool, ToolHost, Use
from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.errors import internal_error
from spindle.rpc.protocol.mcp import McpFormElicitationParams, McpServerElicitationRequestResponse
from spindle.rpc.protocol.settings import AskForApproval, SandboxPolicy
from spindle.rpc.protocol.turns import WarningNotification
from spindle.rpc.protocol.values import loads
from spindle.storage.config import ConfigError, McpServerConfig
from spindle.storage.config.mcp_servers import approve_tool
from spindle.storage.rollout.records import Entry

if TYPE_CHECKING:
    from spindle.actors.tools.mcp.host import Elicitation
    from spindle.actors.tools.mcp.servers import McpServers
    from spindle.actors.tools.mcp.tools import RunCall
    from spindle.rpc.mcp.payload import Json
    from spindle.rpc.protocol.guardian import McpToolCallGuardianApprovalReviewAction
    from spindle.rpc.protocol.notifications import ThreadNotification
    from spindle.storage.home import Home


class ThreadServers:
    """The servers that one thread uses. Most threads have none, and then nothing of MCP is imported."""

    def __init__(self, thread: ThreadCore, membership: Membership) -> None:
        self._thread = thread
        self._membership = membership
        self._servers: McpServers | None = None
        self._stale = False
        self._held: list[ThreadNotification] | None = []

    async def open(self) -> None:
        """Start the configured servers. Raises RpcError if a required one does not start."""
        configs = self._thread.state.config.mcp_servers()
        if not configs:
            return
        servers = await self._loaded()
        servers.configure(configs)
        if any(config.required and config.enabled for config in configs.values()):
            await servers.settled()
            if (failed := servers.failed_required()) is not None:
                raise internal_error(f"error creating thread: Fatal error: Failed to initialize session: {failed}")

    @property
    def running(self) -> McpServers | None:
        """The servers themselves; None if none has been needed."""
        return self._servers

    def shown(self) -> Sequence[tuple[str, str, int | None]]:
        """Name, state and process of each server, the process if it is a child that runs."""
        return [] if self._servers is None else [(one.config.name, one.state, one.pid) for one in self._servers.all()]

    def _parents(self) -> McpServers | None:
        """The servers of the parent, which stays loaded while this thread works."""
        membership, opening = self._membership, self._thread.opening
        if membership.kept_loaded:
            parent = membership.parent_id
        elif self._thread.life.state is ThreadState.COLD and isinstance(opening, AgentThread | FromRollout):
            parent = opening.parent_id  # it is about to hold this thread
        else:
            parent = None
        return None if parent is None else self._thread.supervisor.servers(parent)

    def announce(self) -> None:
        """The thread's first subscriber has its answer: emit the notifications that were held, and later ones at once."""
        held, self._held = self._held, None
        for notification in held or ():
            self._thread.emit(notification)

    def reload(self) -> None:
        """Have the next turn use the servers that are configured then."""
        self._stale = True

    async def ready(self) -> None:
        """Before a turn asks the model: reload the configuration if need be, and wait for the servers that are starting."""
        if self._stale:
            self._stale = False
            await self._reload()
        if self._servers is not None:
            self._servers.replace_lent()
            await self._servers.settled(self._thread.state.config.mcp_optional_startup_grace)

    async def _reload(self) -> None:
        thread, services = self._thread, self._thread.services
        try:
            config = await trio.to_thread.run_sync(
                lambda: configure(services, thread.state.settings.cwd, thread.state.config.flags),
                abandon_on_cancel=True,
            )
        except (ConfigError, OSError) as error:
            thread.emit(WarningNotification(thread.thread_id, f"The MCP servers were not reloaded: {error}"))
            return
        configs = config.mcp_servers()
        if configs or self._servers is not None:
            (await self._loaded()).configure(configs)

    # -- for turns

    def functions(self) -> list[Tool]:
        """The functions for resources, if there are servers."""
        if self._servers is None:
            return []
        from spindle.actors.tools.mcp.tools import functions

        return [self._tool(None, offer) for offer in functions(self._servers)]

    def offers(self) -> Sequence[dict[str, Any]]:
        """See ToolSource: one namespace for each server."""
        if self._servers is None:
            return ()
        from spindle.actors.tools.mcp.tools import namespaces

        return [dict(namespace) for namespace in namespaces(self._servers)]

    def find(self, call: Call) -> Tool | None:
        """See ToolSource."""
        if call.namespace is None or call.custom:
            return None
        return next(
            (
                self._tool(call.namespace, offer)
                for space in self.offers()
                if space["name"] == call.namespace
                for offer in space["tools"]
                if offer["name"] == call.name
            ),
            None,
        )

    def _tool(self, namespace: str | None, offer: dict[str, Any]) -> Tool:
        from spindle.actors.tools.mcp.tools import find, side_by_side

        assert self._servers is not None
        name = str(offer["name"])
        run = find(self._servers, namespace, name)
        assert run is not None
        parallel = side_by_side(self._servers, namespace, name)
        features, switched = self._thread.state.config.features, self._thread.services.switched_features
        elicits = features("tool_call_mcp_elicitation", True)
        if not switched.get("tool_call_mcp_elicitation", True):
            elicits = features("tool_call_mcp_elicitation", False)
        return _Function(name, namespace, offer, run, self._thread.services.home, parallel, elicits)

    # -- for clients

    def answer(self, message: AskServers) -> None:
        """Answer a client's question, concurrently with the thread's messages."""

        async def work() -> object:
            return await message.work(await self._loaded())

        self._thread.answer_later(message.reply, work)

    # -- for the servers (McpHost)

    @property
    def thread_id(self) -> str:
        """See McpHost."""
        return self._thread.thread_id

    @property
    def turn_id(self) -> str | None:
        """See McpHost."""
        return None if self._thread.turn is None else self._thread.turn.id

    @property
    def approval_policy(self) -> AskForApproval:
        """See McpHost."""
        return self._thread.state.settings.approval_policy

    def emit(self, notification: ThreadNotification) -> None:
        """See McpHost."""
        if self._held is not None:
            self._held.append(notification)
        else:
            self._thread.emit(notification)

    async def ask(self, request: Elicitation) -> McpServerElicitationRequestResponse | None:
        """See McpHost."""
        from spindle.actors.tools.approvals.calls import elicited

        try:
            return await elicited(self._thread.ask(request, "waitingOnApproval"))
        except Refusal as refusal:
            if not refusal.cancels:
                return None
            if (turn := self._thread.turn) is not None and turn.id == request.turn_id:
                turn.interrupt()
            return McpServerElicitationRequestResponse("cancel")

    async def _loaded(self) -> McpServers:
        if self._servers is None:
            await trio.to_thread.run_sync(_load)
        if self._servers is None:  # no other task was quicker
            from spindle.actors.tools.mcp.opening import client_info
            from spindle.actors.tools.mcp.servers import McpServers

            thread, services = self._thread, self._thread.services
            info = client_info(services.version)
            self._servers = McpServers(
                thread.tasks, self, services.server_opening, info, services.shared_servers, self._parents
            )
        return self._servers


def _load() -> None:
    for name in ("server_process", "opening", "servers", "tools"):
        import_module(f"spindle.actors.tools.mcp.{name}")


@frozen
class _Function:
    """A function of a server, or one of those for resources, as a turn's tool."""

    name: str
    namespace: str | None
    offer: dict[str, Any]
    _run: RunCall
    _home: Home
    _parallel: bool
    _elicits: bool

    @property
    def kind(self) -> Literal["mcp"]:
        """See Tool."""
        return "mcp"

    def exclusive(self, call: Call) -> bool:
        """A server may have state, so that the order of calls matters."""
        return not self._parallel

    def aborted(self, seconds: float) -> str:
        """See Abortable."""
        from spindle.actors.tools.mcp.results import aborted, aborted_output

        return aborted(seconds) if self.namespace is None else aborted_output(seconds)

    def use(self, call: Call) -> Use | None:
        """See Hooked. Hooks do not see the functions for resources."""
        if self.namespace is None:
            return None
        try:
            arguments: object = loads(call.payload) if call.payload.strip() else {}
        except orjson.JSONDecodeError:
            return None
        return Use(id=call.id, tool=f"{self.namespace}{self.name}", input=arguments)

    async def run(self, call: Call, host: ToolHost) -> Output:
        """Make the call. A failure is the output, not an exception."""
        return await self._run(call, _Turn(host, self._home, call, self.use(call), self._elicits))


@frozen
class _Turn:
    """The turn as a call sees it (`CallHost`)."""

    _host: ToolHost
    _home: Home
    _call: Call
    _use: Use | None
    _elicits: bool

    @property
    def thread_id(self) -> str:
        return self._host.thread_id

    @property
    def turn_id(self) -> str:
        return self._host.turn_id

    @property
    def approval_policy(self) -> AskForApproval:
        return self._host.approval

    @property
    def sandbox_policy(self) -> SandboxPolicy:
        return self._host.sandbox

    def emit(self, params: ThreadNotification) -> None:
        self._host.emit(params)

    async def keep(self, *entries: Entry) -> None:
        await self._host.keep(*entries)

    async def ask(self, request: Elicitation, about: Subject) -> McpServerElicitationRequestResponse | None:
        from spindle.actors.tools.approvals.calls import as_user_input, chosen, elicited

        id = self._call.id
        if self._elicits or not isinstance(request, McpFormElicitationParams):
            return await elicited(self._host.ask(request, "waitingOnApproval", about, repeats=id))

        async def asked() -> object:
            question = as_user_input(request, self._host.turn_id, id)
            return chosen(await self._host.ask(question, "waitingOnUserInput", about, repeats=id), id)

        return await elicited(asked())

    async def permission(self) -> Permission | None:
        return None if self._use is None else await self._host.permission(self._use)

    async def review(
        self, action: Callable[[], tuple[McpToolCallGuardianApprovalReviewAction, Mapping[str, object]]]
    ) -> Permission | None:
        def reviewed() -> Reviewed:
            shown, planned = action()
            return Reviewed(action=shown, item_id=self._call.id, planned=planned)

        return await self._host.review(reviewed)

    def carrier(self) -> dict[str, str]:
        return self._host.carrier()

    def report(self, result: Json) -> None:
        if self._use is not None:
            self._call.report(self._use, result)

    async def allow_always(self, server: McpServerConfig, tool: str) -> None:
        name, plugin = server.name, server.plugin_id
        try:
            await trio.to_thread.run_sync(approve_tool, self._home.config_file, name, tool, plugin)
        except (ConfigError, OSError) as error:
            text = f"`{tool}` of MCP server `{name}` is allowed only until this thread ends: {error}"
            self._host.emit(WarningNotification(self._host.thread_id, text))
