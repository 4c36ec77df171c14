"""The methods a client may call: their parameters, and which of them need the experimentalApi capability.

The names are those of Codex 0.124, in its order, followed by those of later versions. The error for an unknown method
lists them. A parameter class is imported when its method is first called.
"""

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from types import MappingProxyType
from typing import Any, Final

import attrs

from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.converter import structure
from spindle.rpc.protocol.errors import RpcError, invalid_request
from spindle.rpc.protocol.invalid import InvalidValue, Unsupported, invalid_type, one_of
from spindle.rpc.protocol.shapes import wire_name


@frozen
class Method:
    """A method. `params` names a class in `module` of this package; None for a method without parameters."""

    name: str
    module: str
    params: str | None
    experimental: bool


# name, module, params class
_TABLE: Final[tuple[tuple[str, str, str | None], ...]] = (
    ("initialize", "initialize", "InitializeParams"),
    ("thread/start", "threads", "ThreadStartParams"),
    ("thread/resume", "threads", "ThreadResumeParams"),
    ("thread/fork", "threads", "ThreadForkParams"),
    ("thread/archive", "threads", "ThreadArchiveParams"),
    ("thread/unsubscribe", "threads", "ThreadUnsubscribeParams"),
    ("thread/increment_elicitation", "thread_changes", "ThreadElicitationParams"),
    ("thread/decrement_elicitation", "thread_changes", "ThreadElicitationParams"),
    ("thread/name/set", "thread_changes", "ThreadSetNameParams"),
    ("thread/metadata/update", "thread_changes", "ThreadMetadataUpdateParams"),
    ("thread/memoryMode/set", "thread_changes", "ThreadMemoryModeSetParams"),
    ("thread/unarchive", "threads", "ThreadUnarchiveParams"),
    ("thread/compact/start", "thread_changes", "ThreadCompactStartParams"),
    ("thread/shellCommand", "thread_changes", "ThreadShellCommandParams"),
    ("thread/backgroundTerminals/clean", "thread_changes", "ThreadBackgroundTerminalsCleanParams"),
    ("thread/backgroundTerminals/list", "thread_changes", "ThreadBackgroundTerminalsListParams"),
    ("thread/backgroundTerminals/terminate", "thread_changes", "ThreadBackgroundTerminalsTerminateParams"),
    ("thread/rollback", "thread_changes", "ThreadRollbackParams"),
    ("thread/list", "threads", "ThreadListParams"),
    ("thread/loaded/list", "threads", "ThreadLoadedListParams"),
    ("thread/read", "threads", "ThreadReadParams"),
    ("thread/turns/list", "turn_pages", "ThreadTurnsListParams"),
    ("thread/inject_items", "thread_changes", "ThreadInjectItemsParams"),
    ("skills/list", "skills", "SkillsListParams"),
    ("skills/config/write", "skills", "SkillsConfigWriteParams"),
    ("turn/start", "turns", "TurnStartParams"),
    ("turn/steer", "turns", "TurnSteerParams"),
    ("turn/interrupt", "turns", "TurnInterruptParams"),
    ("review/start", "reviews", "ReviewStartParams"),
    ("model/list", "models", "ModelListParams"),
    ("collaborationMode/list", "models", "CollaborationModeListParams"),
    ("mock/experimentalMethod", "models", "MockExperimentalMethodParams"),
    ("mcpServer/oauth/login", "mcp", "McpServerOauthLoginParams"),
    ("config/mcpServer/reload", "", None),
    ("mcpServerStatus/list", "mcp", "ListMcpServerStatusParams"),
    ("mcpServer/resource/read", "mcp", "McpResourceReadParams"),
    ("mcpServer/tool/call", "mcp", "McpServerToolCallParams"),
    ("account/login/start", "accounts", "LoginAccountParams"),
    ("account/logout", "", None),
    ("config/read", "config", "ConfigReadParams"),
    ("configRequirements/read", "", None),
    ("account/read", "accounts", "GetAccountParams"),
    ("getConversationSummary", "conversations", "GetConversationSummaryParams"),
    ("getAuthStatus", "accounts", "GetAuthStatusParams"),
    ("thread/items/list", "turn_pages", "ThreadItemsListParams"),
    ("thread/delete", "removal", "ThreadDeleteParams"),
    ("thread/revert", "removal", "ThreadRevertParams"),
    ("thread/goal/set", "goals", "ThreadGoalSetParams"),
    ("thread/goal/get", "goals", "ThreadGoalGetParams"),
    ("thread/goal/clear", "goals", "ThreadGoalClearParams"),
    ("thread/section/move", "sections", "ThreadSectionMoveParams"),
    ("threadSection/list", "sections", "ThreadSectionListParams"),
    ("threadSection/create", "sections", "ThreadSectionCreateParams"),
    ("threadSection/update", "sections", "ThreadSectionUpdateParams"),
    ("threadSection/delete", "sections", "ThreadSectionDeleteParams"),
    ("thread/readState/update", "read_states", "ThreadReadStateUpdateParams"),
    ("thread/settings/update", "thread_settings", "ThreadSettingsUpdateParams"),
    ("thread/search", "search", "ThreadSearchParams"),
    ("thread/searchOccurrences", "search", "ThreadSearchOccurrencesParams"),
    ("hooks/list", "hooks", "HooksListParams"),
)

_EXPERIMENTAL: Final = frozenset(
    (
        "thread/increment_elicitation",
        "thread/decrement_elicitation",
        "thread/memoryMode/set",
        "thread/backgroundTerminals/clean",
        "thread/backgroundTerminals/list",
        "thread/backgroundTerminals/terminate",
        "collaborationMode/list",
        "mock/experimentalMethod",
        "thread/readState/update",
        "thread/settings/update",
        "thread/search",
        "thread/searchOccurrences",
    )
)


EXPERIMENTAL_NOTIFICATIONS: Final = frozenset(("thread/readState/changed", "thread/settings/updated"))
"""Notifications that are sent only to connections with the experimentalApi capability."""


METHODS: Final[Mapping[str, Method]] = MappingProxyType(
    {name: Method(name, module, params, name in _EXPERIMENTAL) for name, module, params in _TABLE}
)
"""All served methods, by name."""


@cache
def params_class(method: str) -> Any | None:
    """The class (or tagged union) of a method's parameters; None where it has none."""
    entry = METHODS[method]
    if entry.params is None:
        return None
    return getattr(import_module(f"spindle.rpc.protocol.{entry.module}"), entry.params)


def structure_params(method: str, params: object, has_params: bool = True) -> Any:
    """Structure a request's decoded parameters as the class of its method.

    Returns None for methods without parameters. Raises `RpcError` (-32600) for an unknown method, missing parameters,
    parameters of the wrong shape, and unsupported members.
    """
    entry = METHODS.get(method)
    if entry is None:
        raise _invalid(f"unknown variant `{method}`, expected {one_of(tuple(METHODS))}")
    if entry.params is None:
        if params is None or params == {}:
            return None
        raise _invalid(invalid_type(params, "unit").message)
    if not has_params or params is None:
        raise _invalid("missing field `params`")
    cls: Any = params_class(method)
    try:
        return structure(params, cls)
    except Unsupported as error:
        raise invalid_request(f"{method}.{error.path} is not supported") from error
    except InvalidValue as error:
        raise _invalid(str(error)) from error


def check_experimental(method: str, params: object) -> None:
    """Refuse methods and members that need the experimentalApi capability.

    `params` is the result of `structure_params`. Raises `RpcError` (-32600) with the name of the method or member.
    """
    reason = _experimental_use(method, params)
    if reason is not None:
        raise invalid_request(f"{reason} requires experimentalApi capability")


def parse_params(method: str, params: object, has_params: bool, experimental: bool) -> Any:
    """Structure the parameters, then check them unless the connection is `experimental`. Raises `RpcError`."""
    structured = structure_params(method, params, has_params)
    if not experimental:
        check_experimental(method, structured)
    return structured


def _invalid(message: str) -> RpcError:
    return invalid_request(f"Invalid request: {message}")


def _experimental_use(method: str, params: object) -> str | None:
    if METHODS[method].experimental:
        return method
    cls: Any = type(params)
    if not attrs.has(cls):
        return None
    variant: str | None = getattr(params, "EXPERIMENTAL", None)
    if variant is not None:
        return variant
    for attribute, field in _gated(cls):
        value = getattr(params, attribute)
        if field is not None and value is not None and value is not False:
            return f"{method}.{field}"
        if field is None:
            inner: str | None = getattr(value, "EXPERIMENTAL", None)
            if inner is not None:
                return inner
    return None


@cache
def _gated(cls: Any) -> tuple[tuple[str, str | None], ...]:
    """The attributes to check, in order, each with its name in errors, or None if only some values are experimental."""
    gated: list[tuple[str, str | None]] = []
    for attribute in attrs.fields(cls):
        mark = attribute.metadata.get("experimental")
        if mark is not None:
            gated.append((attribute.name, mark if isinstance(mark, str) else wire_name(attribute)))
        elif attribute.name == "approval_policy":
            gated.append((attribute.name, None))
    return tuple(gated)
