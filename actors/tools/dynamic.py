"""Dynamic tools: a client describes them in thread/start and runs them on item/tool/call."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal

import orjson
from attrs import evolve

from spindle.actors.tools.interface import Call, Output, ToolHost, ToolRefused
from spindle.actors.tools.notifications import emit_completed, emit_started
from spindle.rpc.lazy_class import frozen
from spindle.rpc.lenient import mapping, sequence, text
from spindle.rpc.protocol.approvals import DynamicToolCallParams, DynamicToolCallResponse
from spindle.rpc.protocol.converter import InvalidValue, structure, unstructure
from spindle.rpc.protocol.errors import RpcError, invalid_request
from spindle.rpc.protocol.items import DynamicToolCallItem, TextOutput
from spindle.rpc.protocol.settings import DynamicToolNamespace, DynamicTools, DynamicToolSpec
from spindle.rpc.protocol.values import loads
from spindle.storage.rollout import records

_TOOLS: Any = DynamicTools
_NAME = re.compile(r"[a-zA-Z0-9_-]+")
_LONGEST_DESCRIPTION = 1024


def each(tools: Sequence[DynamicTools]) -> Sequence[DynamicTool]:
    """All tools in one list; those of a namespace have its name and description."""
    found: list[DynamicTool] = []
    for entry in tools:
        if isinstance(entry, DynamicToolNamespace):
            found += [DynamicTool(evolve(tool, namespace=entry.name), entry.description) for tool in entry.tools]
        else:
            found.append(DynamicTool(entry))
    return found


_OF_NAMESPACE = "namespaceDescription"


def to_record(tools: Sequence[DynamicTool]) -> list[dict[str, Any]]:
    """The tools for the `session_meta` of a rollout, in the form of Codex 0.124, which later versions read too.

    The description of a namespace is a member of our own.
    """
    return [
        {name: value for name, value in unstructure(tool.spec).items() if name != "type"}
        | ({_OF_NAMESPACE: tool.namespace_description} if tool.namespace_description else {})
        for tool in tools
    ]


def recorded_tools(meta: Mapping[str, Any]) -> Sequence[DynamicTool]:
    """The tools in the `session_meta` of a rollout. Those of a form that this version does not know are left out."""
    specs: list[DynamicTools] = []
    tools: list[DynamicTool] = []
    for one in sequence(meta.get("dynamic_tools")):
        try:
            spec: Any = structure(one, _TOOLS)
            check_dynamic_tools([*specs, spec])
        except (InvalidValue, RpcError):
            continue
        specs.append(spec)
        described = text(mapping(one).get(_OF_NAMESPACE))
        tools += [evolve(tool, namespace_description=tool.namespace_description or described) for tool in each([spec])]
    return tools


def check_dynamic_tools(tools: Sequence[DynamicTools]) -> None:
    """Raises RpcError for a name that is blank, reserved, duplicate, or invalid for the Responses API, for an empty namespace,
    and for one with too long a description."""
    spaces: set[str] = set()
    for entry in tools:
        if isinstance(entry, DynamicToolNamespace):
            _check_namespace(entry, spaces)
    seen: set[tuple[str | None, str]] = set()
    for tool in (each_tool.spec for each_tool in each(tools)):
        name = tool.name.strip()
        if not name:
            raise invalid_request("dynamic tool name must not be empty")
        if not _NAME.fullmatch(tool.name):
            raise invalid_request(f"dynamic tool name must match ^[a-zA-Z0-9_-]+$ to match Responses API: {tool.name}")
        if name == "mcp" or name.startswith("mcp__"):
            raise invalid_request(f"dynamic tool name is reserved: {name}")
        if (tool.namespace, name) in seen:
            raise invalid_request(f"duplicate dynamic tool name: {name}")
        seen.add((tool.namespace, name))


def _check_namespace(space: DynamicToolNamespace, seen: set[str]) -> None:
    if not _NAME.fullmatch(space.name):
        raise invalid_request(f"dynamic tool namespace must match ^[a-zA-Z0-9_-]+$ to match Responses API: {space.name}")
    if space.name in seen:
        raise invalid_request(f"duplicate dynamic tool namespace: {space.name}")
    seen.add(space.name)
    if not space.tools:
        raise invalid_request(f"dynamic tool namespace must contain at least one tool: {space.name}")
    if len(space.description) > _LONGEST_DESCRIPTION:
        raise invalid_request(f"dynamic tool namespace description must be at most {_LONGEST_DESCRIPTION} characters")


@frozen
class DynamicTool:
    """One tool of the client. `namespace_description` is that of its namespace."""

    spec: DynamicToolSpec
    namespace_description: str = ""

    @property
    def kind(self) -> Literal["dynamic"]:
        """See Tool."""
        return "dynamic"

    @property
    def name(self) -> str:
        """The name in calls."""
        return self.spec.name

    @property
    def namespace(self) -> str | None:
        """The namespace in calls, if any."""
        return self.spec.namespace

    @property
    def offer(self) -> dict[str, Any]:
        """A function tool with the client's description and schema."""
        return {
            "type": "function",
            "name": self.spec.name,
            "description": self.spec.description,
            "strict": False,
            "parameters": self.spec.input_schema,
        }

    def exclusive(self, call: Call) -> bool:
        """The client gets one call at a time."""
        return True

    async def run(self, call: Call, host: ToolHost) -> Output:
        """Ask the client. An error or an invalid answer fails the call, not the turn."""
        return await shown(self.spec, call, host, partial(self._ask, call, host))

    async def _ask(self, call: Call, host: ToolHost, arguments: object) -> DynamicToolCallResponse:
        params = DynamicToolCallParams(
            thread_id=host.thread_id,
            turn_id=host.turn_id,
            call_id=call.id,
            namespace=self.spec.namespace,
            tool=self.spec.name,
            arguments=arguments,
        )
        try:
            return structure(await host.ask(params, None, repeats=call.id), DynamicToolCallResponse)
        except InvalidValue as error:
            return failed(f"dynamic tool response was invalid: {error}")
        except RpcError as error:
            return failed(f"dynamic tool request failed: {error.message}")


async def shown(
    spec: DynamicToolSpec,
    call: Call,
    host: ToolHost,
    answering: Callable[[object], Awaitable[DynamicToolCallResponse]],
) -> Output:
    """Carry out the call with `answering`, as an item that clients see. Raises ToolRefused for arguments that are not JSON."""
    try:
        arguments: object = loads(call.payload)
    except orjson.JSONDecodeError as error:
        raise ToolRefused(f"failed to parse function arguments: {error}") from error
    began = time.monotonic()
    item = DynamicToolCallItem(
        id=call.id, namespace=spec.namespace, tool=spec.name, arguments=arguments, status="inProgress"
    )
    emit_started(host, item)
    answer = failed("dynamic tool call was aborted")
    try:
        answer = await answering(arguments)
    finally:  # an interrupt completes the item too
        done = evolve(
            item,
            status="completed" if answer.success else "failed",
            content_items=answer.content_items,
            success=answer.success,
            duration_ms=int((time.monotonic() - began) * 1000),
        )
        _complete(done, host)
    if not answer.success:
        call.failures.append("tool_error")
    return _output(answer)


def _complete(item: DynamicToolCallItem, host: ToolHost) -> None:
    host.record(
        records.dynamic_tool_call_response(
            call_id=item.id,
            turn_id=host.turn_id,
            tool=item.tool,
            namespace=item.namespace,
            arguments=item.arguments,
            content_items=unstructure(item)["contentItems"],
            success=bool(item.success),
            nanoseconds=(item.duration_ms or 0) * 1_000_000,
        )
    )
    emit_completed(host, item)


def failed(why: str) -> DynamicToolCallResponse:
    """A failed answer with the reason."""
    return DynamicToolCallResponse([TextOutput(why)], success=False)


def _output(answer: DynamicToolCallResponse) -> Output:
    content: Sequence[Any] = answer.content_items
    match content:
        case [TextOutput(text=text)]:
            return text
        case []:
            return ""
        case _:
            return [
                {"type": "input_text", "text": part.text}
                if isinstance(part, TextOutput)
                else {"type": "input_image", "image_url": part.image_url, "detail": "high"}
                for part in content
            ]
