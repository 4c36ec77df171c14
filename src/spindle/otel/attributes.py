"""The attributes of spans and metrics, from what an instrument is called with.

Names and values are those of the semantic conventions for generative AI, as of version 0.1 of their own repository
(open-telemetry/semantic-conventions-genai). What they have no name for begins with `spindle.`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeAlias
from urllib.parse import urlsplit

from spindle.actors.services.instruments import RequestInfo, RequestOutcome, ToolInfo, TurnInfo
from spindle.rpc.lenient import is_mapping, mapping
from spindle.rpc.model.interface import ModelError, Usage

Attributes: TypeAlias = dict[str, str | bool | int | float | list[str]]

_PROVIDERS: Final[Mapping[str, str]] = {
    "azure": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "gemini": "gcp.gemini",
    "mistral": "mistral_ai",
    "moonshot": "moonshot_ai",
    "vertex": "gcp.vertex_ai",
    "xai": "x_ai",
}
"""Usual ids of `[model_providers]` that the conventions spell otherwise. Every other id is used as it is."""

_PORTS: Final = {"https": 443, "http": 80}

_CALLS: Final = frozenset({"function_call", "custom_tool_call", "local_shell_call"})


def of_turn(turn: TurnInfo, agent_name: str) -> Attributes:
    """Those of a turn that begins, for spans and metrics alike."""
    return {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.provider.name": provider_name(turn.model_provider),
        "gen_ai.request.model": turn.model,
        "gen_ai.agent.name": agent_name,
    }


def of_turns_span(turn: TurnInfo) -> Attributes:
    """What its span has besides."""
    thread = turn.thread
    attributes: Attributes = {
        "gen_ai.agent.id": thread.thread_id,
        "gen_ai.conversation.id": thread.thread_id,
        "spindle.turn.id": turn.turn_id,
    }
    if turn.kind != "regular":
        attributes["spindle.turn.kind"] = turn.kind
    if thread.agent_role is not None:
        attributes["spindle.agent.role"] = thread.agent_role
    if thread.parent_thread_id is not None:
        attributes["spindle.parent_thread.id"] = thread.parent_thread_id
    return attributes


def of_request(request: RequestInfo) -> Attributes:
    """Those of a request to the model that begins, for spans and metrics alike."""
    attributes: Attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": provider_name(request.model_provider),
        "gen_ai.request.model": request.model,
    }
    return attributes | _server(request.server)


def of_requests_span(request: RequestInfo) -> Attributes:
    """What its span has besides."""
    attributes: Attributes = {"gen_ai.request.stream": True, "gen_ai.conversation.id": request.thread_id}
    if request.purpose != "answer":
        attributes["spindle.request.purpose"] = request.purpose
    if request.attempt > 1:
        attributes["spindle.request.attempt"] = request.attempt
    if "format" in mapping(request.request.text):
        attributes["gen_ai.output.type"] = "json"
    return attributes


def of_answer(outcome: RequestOutcome) -> Attributes:
    """Those of the answer to a request."""
    attributes: Attributes = {}
    if outcome.response_id is not None:
        attributes["gen_ai.response.id"] = outcome.response_id
        attributes["gen_ai.response.finish_reasons"] = [finish_reason(outcome)]
    if outcome.model is not None:
        attributes["gen_ai.response.model"] = outcome.model
    if outcome.seconds_to_first is not None:
        attributes["gen_ai.response.time_to_first_chunk"] = outcome.seconds_to_first
    return attributes | of_usage(outcome.usage)


def of_usage(usage: Usage | None) -> Attributes:
    """The tokens that were used."""
    if usage is None:
        return {}
    attributes: Attributes = {
        "gen_ai.usage.input_tokens": usage.input_tokens,
        "gen_ai.usage.output_tokens": usage.output_tokens,
    }
    if usage.cached_input_tokens:
        attributes["gen_ai.usage.cache_read.input_tokens"] = usage.cached_input_tokens
    if usage.reasoning_output_tokens:
        attributes["gen_ai.usage.reasoning.output_tokens"] = usage.reasoning_output_tokens
    return attributes


def of_tool(tool: ToolInfo) -> Attributes:
    """Those of a call of a tool that begins, for spans and metrics alike."""
    return {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": tool.name,
        "gen_ai.tool.type": "extension" if tool.kind == "mcp" else "function",
    }


def of_tools_span(tool: ToolInfo) -> Attributes:
    """What its span has besides."""
    attributes: Attributes = {"gen_ai.tool.call.id": tool.call_id, "gen_ai.conversation.id": tool.thread_id}
    if tool.kind != "function":
        attributes["spindle.tool.kind"] = tool.kind
    if tool.description:
        attributes["gen_ai.tool.description"] = tool.description[:_DESCRIPTION]
    if tool.namespace is not None:
        attributes["spindle.tool.namespace"] = tool.namespace
    if tool.kind == "mcp":
        attributes["mcp.method.name"] = "tools/call"
    return attributes


_DESCRIPTION: Final = 1024
"""The most characters of a description."""


def finish_reason(outcome: RequestOutcome) -> str:
    """Why the model stopped. An answer that the provider cut off is an error, and has none."""
    return "tool_call" if any(item.get("type") in _CALLS for item in outcome.items) else "stop"


def provider_name(provider: str) -> str:
    """The conventions' name of a provider of config.toml."""
    return _PROVIDERS.get(provider, provider)


def error_type(error: object) -> str:
    """A name for a failure that few failures share: an HTTP status, a `CodexErrorInfo`, or the class of an exception."""
    if isinstance(error, ModelError):
        return str(error.status) if error.status is not None else name_of(error.info) or "_OTHER"
    return type(error).__qualname__


def name_of(value: object) -> str | None:
    """The name of one of the protocol's variants: a text, or the key of an object. None for `other`, and for no variant."""
    name = next(iter(value), None) if is_mapping(value) else value
    return name if isinstance(name, str) and name != "other" else None


def _server(url: str | None) -> Attributes:
    try:
        parts = urlsplit(url or "")
        port = parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return {}
    if not parts.hostname:
        return {}
    attributes: Attributes = {"server.address": parts.hostname}
    return attributes if port is None else attributes | {"server.port": port}
