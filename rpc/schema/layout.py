"""Which files there are, and what is in each: as the reference lays them out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Final, cast

from spindle.rpc.protocol.catalog import METHODS, Method
from spindle.rpc.schema.json_schema import DRAFT, document, schema
from spindle.rpc.schema.reading import Protocol
from spindle.rpc.schema.shapes import ANY, NULL, Either, Member, Named, Plain, Record, Shape, Words, names, optional
from spindle.rpc.schema.typescript import index, module

BUNDLE: Final = "codex_app_server_protocol.schemas.json"
BUNDLE_V2: Final = "codex_app_server_protocol.v2.schemas.json"

HIDDEN: Final = frozenset({"getAuthStatus", "getConversationSummary", "gitDiffToRemote"})
"""Methods that the JSON schema leaves out, as the reference's does. TypeScript has them."""

OLD: Final = frozenset(("initialize", *HIDDEN, *(name for name in METHODS if name.startswith("fuzzyFileSearch"))))
"""Methods whose types are not in the folder `v2`."""

_ID: Final = Either((Plain("string"), Plain("integer", "int64")))


def _message(doc: str, **members: Shape) -> Record:
    return Record([Member(name, shape, shape is not ANY, shape is not ANY) for name, shape in members.items()], doc)


ENVELOPE: Final[Mapping[str, Shape]] = {
    "RequestId": _ID,
    "JSONRPCErrorError": _message(
        "What went wrong.", code=Plain("integer", "int64"), data=ANY, message=Plain("string")
    ),
    "JSONRPCError": _message("A request failed.", error=Named("JSONRPCErrorError"), id=Named("RequestId")),
    "JSONRPCResponse": Record(
        [Member("id", Named("RequestId"), True, True), Member("result", ANY, True, True)], "A request succeeded."
    ),
    "JSONRPCNotification": _message("A message without an answer.", method=Plain("string"), params=ANY),
    "JSONRPCRequest": _message("A message with an answer.", id=Named("RequestId"), method=Plain("string"), params=ANY),
    "JSONRPCMessage": Either([Named(f"JSONRPC{kind}") for kind in ("Request", "Notification", "Response", "Error")]),
}
"""The messages themselves; there is no `"jsonrpc"` member."""


class Layout:
    """The types of a protocol, and where they are."""

    def __init__(self, protocol: Protocol) -> None:
        self._protocol = protocol

    @cached_property
    def methods(self) -> Sequence[Method]:
        """The methods that are shown."""
        return [method for method in METHODS.values() if self._protocol.experimental or not method.experimental]

    @cached_property
    def client_request(self) -> Either:
        """Each request of a client."""
        return _messages({method.name: self._params(method) for method in self.methods}, with_id=True)

    @cached_property
    def server_request(self) -> Either:
        """Each request of the server."""
        return _messages(
            {name: Named(_request_name(found)) for name, found in self._protocol.server_requests.items()}, True
        )

    @cached_property
    def server_notification(self) -> Either:
        """Each notification of the server."""
        return _messages({name: Named(found) for name, found in self._protocol.notifications.items()}, False)

    client_notification: Final = Either([_message("", method=Words(["initialized"]))])

    @cached_property
    def messages(self) -> Mapping[str, Shape]:
        """The unions of all messages, by name."""
        return {
            "ClientRequest": self.client_request,
            "ClientNotification": self.client_notification,
            "ServerRequest": self.server_request,
            "ServerNotification": self.server_notification,
        }

    def shape(self, name: str) -> Shape:
        """The shape of a named type."""
        if name in ENVELOPE:
            return ENVELOPE[name]
        parts = next((found for found in self._protocol.server_requests.values() if _request_name(found) == name), ())
        if len(parts) > 1:
            return Either([self._protocol.shape(part) for part in parts])
        if name.startswith("Nullable"):
            return optional(Named(name.removeprefix("Nullable")))
        return self._protocol.shape(name)

    def _params(self, method: Method) -> Shape:
        if method.params is None:
            return NULL
        name = method.params.rstrip("?")
        return optional(Named(name)) if method.params.endswith("?") else Named(name)

    # -- roots: the types that have a file of their own

    def roots(self, hidden: bool) -> Iterator[tuple[str, str]]:
        """(folder, name) of each; `hidden`: with those of the methods that the JSON schema leaves out."""
        for method in self.methods:
            if method.name in HIDDEN and not hidden:
                continue
            folder = ("v1" if method.name == "initialize" else "") if method.name in OLD else "v2"
            if method.params is not None:
                yield folder, method.params if not method.params.endswith("?") else f"Nullable{method.params[:-1]}"
            yield folder, method.response
        for name, cls in self._protocol.notifications.items():
            yield "" if name.startswith("fuzzyFileSearch/") else "v2", cls
        for found in self._protocol.server_requests.values():
            name = _request_name(found)
            yield "", name
            yield "", name.removesuffix("Params") + "Response"

    def reachable(self, shape: Shape) -> dict[str, Shape]:
        """The named types that a shape refers to, by name."""
        found: dict[str, Shape] = {}
        waiting = list(names(shape))
        while waiting:
            name = waiting.pop()
            if name not in found:
                found[name] = self.shape(name)
                waiting += names(found[name])
        return dict(sorted(found.items()))

    # -- files

    def json_files(self) -> dict[str, str]:
        """The JSON schemas: path -> content."""
        found = {f"{name}.json": document(shape, name, self.reachable(shape)) for name, shape in ENVELOPE.items()}
        found |= {f"{name}.json": document(shape, name, self.reachable(shape)) for name, shape in self.messages.items()}
        roots = list(dict.fromkeys(self.roots(hidden=False)))
        for folder, name in roots:
            shape = self.shape(name)
            found[f"{folder}/{name}.json".lstrip("/")] = document(shape, name, self.reachable(shape))
        old = {**ENVELOPE, **self.messages, **{name: self.shape(name) for folder, name in roots if folder != "v2"}}
        new = {name: self.shape(name) for folder, name in roots if folder == "v2"}
        every = {name: shape for root in (*old.values(), *new.values()) for name, shape in self.reachable(root).items()}
        new |= {name: shape for name, shape in every.items() if name not in old}
        found[BUNDLE] = _bundle(old, new)
        flat = dict(sorted({**new, **self.messages, **{name: every[name] for name in every}}.items()))
        found[BUNDLE_V2] = document(ANY, "CodexAppServerProtocolV2", flat)
        return {path: json.dumps(content, indent=2, ensure_ascii=False) for path, content in sorted(found.items())}

    def typescript_files(self) -> dict[str, str]:
        """The TypeScript files: path -> content."""
        roots = {name: folder for folder, name in self.roots(hidden=True) if not name.startswith("Nullable")}
        top = {"RequestId": ENVELOPE["RequestId"], **self.messages}
        shapes: dict[str, Shape] = dict(top)
        for root in (*top.values(), *(Named(name) for name in roots)):
            shapes |= self.reachable(root)
        old = {
            *top,
            *(name for name, folder in roots.items() if folder != "v2" and not name.endswith(_IN_V2)),
            *OUTSIDE_V2,
        }
        files: dict[str, str] = {}
        for name, shape in shapes.items():
            here = name in old
            imports = [(one, _path(one in old, here, one)) for one in sorted(set(names(shape)) - {name})]
            files[f"{'' if here else 'v2/'}{name}.ts"] = module(name, shape, imports)
        files["index.ts"] = index(sorted(set(shapes) & old), 'export * as v2 from "./v2";\n')
        files["v2/index.ts"] = index(sorted(set(shapes) - old))
        return dict(sorted(files.items()))


_IN_V2: Final = tuple(
    f"{what}{half}"
    for what in ("RequestApproval", "ElicitationRequest", "Call", "UserInput", "TokensRefresh")
    for half in ("Params", "Response")
)
"""Endings of types of server requests that TypeScript has in `v2`, and the JSON schema has not."""

_TYPES: Final = (
    "AbsolutePathBuf AgentPath AuthMode ClientInfo CodexResponseHandoffMode CollaborationMode ContentItem "
    "ConversationGitInfo ConversationSummary ConversationTextRole ExecPolicyAmendment FileChange ForcedLoginMethod "
    "FunctionCallOutputBody FunctionCallOutputContentItem FuzzyFileSearchMatchType FuzzyFileSearchResult GitSha "
    "ImageDetail InitializeCapabilities InputModality InternalSessionSource LegacyAppPathString LocalShellAction "
    "LocalShellExecAction LocalShellStatus McpServerInfo MessagePhase ModeKind MultiAgentMode NetworkPolicyAmendment "
    "NetworkPolicyRuleAction ParsedCommand PathUri Personality PlanType RealtimeConversationVersion "
    "RealtimeOutputModality RealtimeVoice RealtimeVoicesList ReasoningEffort ReasoningItemContent "
    "ReasoningItemReasoningSummary ReasoningSummary Resource ResourceContent ResourceTemplate ResponseItem "
    "ResponseItemId ReviewDecision SessionSource Settings SleepItem SubAgentSource ThreadId ThreadMemoryMode Tool "
    "Verbosity WebSearchAction WebSearchContextSize WebSearchItem WebSearchLocation WebSearchMode WebSearchToolConfig"
)
OUTSIDE_V2: Final = frozenset(_TYPES.split())
"""Types that other types use and that TypeScript has outside `v2`."""


def _request_name(found: Sequence[str]) -> str:
    return found[0] if len(found) == 1 else "McpServerElicitationRequestParams"


def _messages(params: Mapping[str, Shape], with_id: bool) -> Either:
    arms: list[Shape] = []
    for method, shape in params.items():
        given = shape == NULL or isinstance(shape, Either)
        id = [Member("id", Named("RequestId"), True, True)] if with_id else []
        arms.append(
            Record([*id, Member("method", Words([method]), True, True), Member("params", shape, not given, not given)])
        )
    return Either(arms)


def _bundle(old: Mapping[str, Shape], new: Mapping[str, Shape]) -> dict[str, Any]:
    """One document: what is old at the top, the rest below `v2`."""

    def written(shapes: Mapping[str, Shape]) -> dict[str, Any]:
        return {name: _placed(schema(shape), old) for name, shape in sorted(shapes.items())}

    definitions: dict[str, Any] = written(old)
    definitions["v2"] = written(new)
    return {"$schema": DRAFT, "title": "CodexAppServerProtocol", "type": "object", "definitions": definitions}


def _placed(value: Any, old: Mapping[str, Shape]) -> Any:
    match value:
        case {"$ref": str() as ref}:
            name = ref.rpartition("/")[2]
            return {"$ref": f"#/definitions/{'' if name in old else 'v2/'}{name}"}
        case dict():
            members = cast("Mapping[str, Any]", value)
            return {key: _placed(inner, old) for key, inner in members.items()}
        case list():
            return [_placed(inner, old) for inner in cast("Sequence[Any]", value)]
        case _:
            return value


def _path(old: bool, here_old: bool, name: str) -> str:
    if old == here_old:
        return f"./{name}"
    return f"../{name}" if old else f"./v2/{name}"
