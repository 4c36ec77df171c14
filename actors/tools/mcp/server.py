"""One running server: its start, its tools, requests to it, and its elicitations."""

from __future__ import annotations

import logging
import math
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any, Final, Literal, TypeAlias

import trio

from spindle.actors.tools.mcp.schemas import Schema, input_schema
from spindle.rpc.large import LARGE, apart
from spindle.rpc.lenient import mapping, objects, text
from spindle.rpc.mcp.mcp_errors import (
    BadAnswer,
    LoginRequired,
    McpError,
    ServerError,
    StartupFailed,
    TooMuch,
    TransportClosed,
)
from spindle.rpc.mcp.payload import Json, as_json, as_text
from spindle.rpc.mcp.server_log import ServerLog
from spindle.rpc.mcp.session import McpSession, Progress
from spindle.rpc.mcp.transport import McpTransport
from spindle.rpc.protocol.mcp import McpServerStartupState
from spindle.rpc.protocol.values import one_line
from spindle.rpc.weighing import weigh
from spindle.storage.config import McpServerConfig

log = logging.getLogger("spindle.mcp")

Asker: TypeAlias = Callable[[str, Json], Awaitable[Json]]
"""Asks the user on behalf of a server: (server name, params of elicitation/create) -> the result for the server."""
Opener: TypeAlias = Callable[[McpServerConfig], AbstractAsyncContextManager[McpTransport]]

DECLINED: Final[Json] = {"action": "decline"}
_NAME: Final = re.compile(r"[a-zA-Z0-9_-]+")
_PAGES: Final = 1000
_TOOLS: Final = 2000
_ENTRIES: Final = 10_000
_LIST_BYTES: Final = 16 << 20
"""Limits of a server's lists: pages, tools, entries of other lists, and bytes in total."""
_NAME_CHARACTERS: Final = 256
_INSTRUCTIONS: Final = 64 * 1024
_TITLE_CHARACTERS: Final = 128
_QUESTION_BYTES: Final = 256 * 1024
_SHOWN: Final = 1000
_AGAIN_SECONDS: Final = 1.0
"""Least seconds between two requests for changed tools."""
_LOGGED: Final = {"debug": logging.DEBUG, "info": logging.INFO, "notice": logging.INFO}


class Server:
    """A configured server; `run` starts its process, serves it and ends it.

    `state` and `error` change once, when `started` is set. `tools` are the listed tools without those that the configuration
    excludes; `revision` grows with each new list.
    """

    def __init__(self, config: McpServerConfig, open_transport: Opener, client_info: Json) -> None:
        self.config = config
        self.state: McpServerStartupState = "starting"
        self.error: str | None = None
        """The error for clients, a sentence."""
        self.reason: str | None = None
        """Its last part, without the name of the server."""
        self.login: Literal["first", "again"] | None = None
        """Which login it failed to start without."""
        self.started = trio.Event()
        self.tools: Sequence[Json] = ()
        self.schemas: Mapping[str, Schema] = {}
        """The reduced input schemas by tool name."""
        self.instructions: str | None = None
        self.info: Json = {}
        self.capabilities: object = None
        """What the server said of itself when it started."""
        self.tool_list_meta: object = None
        """`_meta` of the first page of its tools."""
        self.revision = 0
        self.pid: int | None = None
        """Its process, while it is a child that runs."""
        self.askers: list[Asker] = []
        self._calling: Counter[Asker] = Counter()
        self._log = ServerLog(config.name)
        self._open = open_transport
        self._client_info = client_info
        self._session: McpSession | None = None
        self._ended = trio.Event()
        self._tools_changed = trio.Event()

    @property
    def alive(self) -> bool:
        """Whether it is starting or serves requests."""
        return self.state == "starting" or (self.state == "ready" and not self._ended.is_set())

    async def run(self) -> None:
        """Start the server, serve until it is cancelled or the server ends, and end its process. Failures are in `error`."""
        deadline = trio.current_time() + self.config.startup_timeout
        try:
            if not _NAME.fullmatch(self.config.name):
                raise StartupFailed(
                    f"Invalid MCP server name '{self.config.name}': must match pattern ^[a-zA-Z0-9_-]+$"
                )
            async with self._open(self.config) as transport:
                self.pid = transport.pid
                try:
                    await self._serve(McpSession(transport, self), deadline)
                finally:
                    self._ended.set()  # before its process ends, which may take seconds
        except StartupFailed as error:
            self._fail(str(error))
        except Exception as error:
            log.exception("error in the client of MCP server %s", self.config.name)
            self._fail(str(error))
        finally:
            log.debug("MCP server %s has ended", self.config.name)
            self._ended.set()
            self._session = self.pid = None
            if not self.started.is_set():
                self.state = "cancelled"
                self.started.set()

    async def request(
        self, method: str, params: Json | None = None, *, timeout: float = math.inf, progress: Progress | None = None
    ) -> Json:
        """Send a request; returns its result. Raises McpError."""
        if self._session is None:
            raise TransportClosed(self.error or "Transport closed")
        return await self._session.request(method, params, timeout=timeout, progress=progress)

    async def call_tool(
        self, tool: str, arguments: object, meta: Json, asker: Asker | None = None, progress: Progress | None = None
    ) -> Json:
        """Call a tool; `asker` handles elicitations of the server during the call. Raises McpError."""
        if arguments is not None and not isinstance(arguments, dict):
            raise McpError(f"MCP tool arguments must be a JSON object, got {as_json(arguments, _SHOWN)}")
        params: dict[str, Any] = {"_meta": meta, "name": tool}
        if arguments is not None:
            params["arguments"] = arguments
        with self._asking(asker):
            result = await self.request("tools/call", params, timeout=self.config.tool_timeout, progress=progress)
        if not isinstance(result.get("content"), list):
            if result.get("structuredContent") is None:
                raise BadAnswer
            empty: list[object] = []
            return {**result, "content": empty}
        return result

    async def pages(self, method: str, key: str, most: int = _ENTRIES) -> list[Json]:
        """All entries that the server lists under `key`, page by page, within `tool_timeout`.

        Raises McpError, also for more than `most` entries, `_LIST_BYTES` bytes or `_PAGES` pages.
        """
        found: list[Json] = []
        params: dict[str, Any] = {}
        room = _LIST_BYTES
        deadline = trio.current_time() + self.config.tool_timeout
        for _ in range(_PAGES):
            result = await self.request(method, params, timeout=max(deadline - trio.current_time(), 0))
            if method == "tools/list" and not params:
                self.tool_list_meta = result.get("_meta")
            room -= await apart(weigh(result, LARGE), None, weigh, result, room)
            found += objects(result.get(key))
            if len(found) > most:
                raise BadAnswer(f"{method} lists more than {most} {key}")
            if room <= 0:
                raise BadAnswer(f"{method} lists more than {_LIST_BYTES} bytes")
            cursor = result.get("nextCursor")
            if not isinstance(cursor, str) or cursor == params.get("cursor"):
                return found
            params = {"cursor": cursor}
        raise BadAnswer(f"{method} lists more than {_PAGES} pages")

    async def answer_elicitation(self, params: Json) -> Json:
        """Forward an elicitation to the thread that is calling the server; declined if that is not exactly one."""
        asker = self._only_asker()
        if weigh(params, _QUESTION_BYTES) >= _QUESTION_BYTES:
            self._log.fault(f"an elicitation of more than {_QUESTION_BYTES} bytes was declined")
            return DECLINED
        return DECLINED if asker is None else await asker(self.config.name, params)

    def notified(self, method: str, params: Json) -> None:
        """Handle a notification: log messages are logged, a changed list of tools is fetched."""
        if method == "notifications/tools/list_changed":
            self._tools_changed.set()
        elif method == "notifications/message":
            level = _LOGGED.get(as_text(params.get("level"), _SHOWN), logging.WARNING)
            self._log.log_line(as_text(params.get("data"), _SHOWN), level)

    @contextmanager
    def _asking(self, asker: Asker | None) -> Generator[None]:
        if asker is None:
            yield
            return
        self._calling[asker] += 1
        try:
            yield
        finally:
            self._calling[asker] -= 1
            self._calling += Counter()  # removes zero counts

    def _only_asker(self) -> Asker | None:
        callers = list(self._calling)
        if len(callers) == 1:
            return callers[0]
        return self.askers[0] if not callers and len(self.askers) == 1 else None

    async def _serve(self, session: McpSession, deadline: float) -> None:
        self._session = session
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._read, session)
            await self._start(session, deadline)
            if self.state == "ready":
                nursery.start_soon(self._follow_tools)
                await self._ended.wait()
            nursery.cancel_scope.cancel()

    async def _start(self, session: McpSession, deadline: float) -> None:
        with trio.CancelScope(deadline=deadline) as scope:
            try:
                answer = await session.initialize(self._client_info)
                self.info, self.capabilities = mapping(answer.get("serverInfo")), answer.get("capabilities")
                instructions = answer.get("instructions")
                self.instructions = instructions[:_INSTRUCTIONS] if isinstance(instructions, str) else None
                if "tools" in mapping(answer.get("capabilities")):
                    await self._list_tools()
                self.state = "ready"
                self.started.set()
                log.debug("MCP server %s is ready with %d tools", self.config.name, len(self.tools))
            except TooMuch as error:
                self._fail(f"handshaking with MCP server failed: {error}")
            except TransportClosed:
                self._fail("handshaking with MCP server failed: connection closed: initialize response")
            except ServerError as error:
                message = str(error).removeprefix("Mcp error: ")
                self._fail(f"handshaking with MCP server failed: JSON-RPC error: {message}")
            except LoginRequired as error:
                self.login = "again" if error.again else "first"
                self._fail(str(error), error.sentence)
            except McpError as error:
                self._fail(f"handshaking with MCP server failed: {error}")
        if scope.cancelled_caught:
            name, seconds = self.config.name, f"{self.config.startup_timeout:g}"
            self._fail(
                f"request timed out after {seconds} seconds",
                f"MCP client for `{name}` timed out after {seconds} seconds. Add or adjust `startup_timeout_sec` in "
                f"your config.toml:\n[mcp_servers.{name}]\nstartup_timeout_sec = XX",
            )

    def _fail(self, reason: str, sentence: str | None = None) -> None:
        if self.started.is_set():
            return
        log.debug("MCP server %s has failed to start: %s", self.config.name, reason)
        self.state = "failed"
        self.reason = reason
        self.error = sentence or f"MCP client for `{self.config.name}` failed to start: MCP startup failed: {reason}"
        self.started.set()

    async def _read(self, session: McpSession) -> None:
        await session.run()
        self._ended.set()

    async def _list_tools(self) -> None:
        listed = await self.pages("tools/list", "tools", _TOOLS)
        usable = [tool for tool in listed if isinstance(tool.get("name"), str) and len(tool["name"]) <= _NAME_CHARACTERS]
        if unusable := len(listed) - len(usable):
            self._log.fault(
                f"{unusable} tools without a name, or with one of more than {_NAME_CHARACTERS} characters, are left out"
            )
        offered = {tool["name"]: self._shown(tool) for tool in usable if self.config.offers(tool["name"])}
        self.schemas = await apart(weigh(offered, LARGE), None, _schemas, offered)
        self.tools = tuple(offered.values())
        self.revision += 1

    def _shown(self, tool: Json) -> Json:
        """A tool as clients and the model see it: that of a plugin says so."""
        title = self.config.plugin_title
        if title is None:
            return tool
        own = text(tool.get("description")).rstrip()
        end = f"This tool is part of plugin `{one_line(title, _TITLE_CHARACTERS)}`."
        return {**tool, "description": f"{own.removesuffix('.')}. {end}" if own else end}

    async def _follow_tools(self) -> None:
        while True:
            await self._tools_changed.wait()
            self._tools_changed = trio.Event()
            try:
                await self._list_tools()
            except McpError as error:
                self._log.fault(f"its changed tools could not be listed: {error}")
            await trio.sleep(_AGAIN_SECONDS)


def _schemas(tools: Mapping[str, Json]) -> dict[str, Schema]:
    return {name: input_schema(tool.get("inputSchema")) for name, tool in tools.items()}
