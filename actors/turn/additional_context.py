"""What a client tells the model beside the user's input: context by key, and outputs that answer no call.

In the form of Codex 0.171. Context of the application is a developer message with the key as a tag. Untrusted context is the
output of a tool, as which models take it for data and not for instructions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from uuid_utils import uuid7

from spindle.actors.tools.truncation import DEFAULT_LIMIT, Limit, truncate_middle
from spindle.actors.turn.context import message
from spindle.actors.turn.host import ContextItems
from spindle.rpc.protocol.converter import unstructure
from spindle.rpc.protocol.errors import invalid_request
from spindle.rpc.protocol.items import FunctionCallOutputItem
from spindle.rpc.protocol.turns import AdditionalContextEntry, TurnToolOutput

LIMIT: Final = Limit(1000)
"""How much of one entry the model gets."""
MOST: Final = 256
"""Entries of one request."""
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
_NO_NAME: Final = re.compile(r"[^a-zA-Z0-9_-]")


def context_items(given: Mapping[str, AdditionalContextEntry] | None) -> ContextItems:
    """The items of a request's context. Raises RpcError for too many entries and for an invalid name."""
    if given is None:
        return {}
    if len(given) > MOST:
        raise invalid_request(f"additionalContext must have at most {MOST} entries")
    return {key: _item(key, given[key]) for key in sorted(given)}


def _item(key: str, entry: AdditionalContextEntry) -> dict[str, Any]:
    if entry.name is not None and not _NAME.fullmatch(entry.name):
        raise invalid_request(f"additional context name must match {_NAME.pattern}")
    text = truncate_middle(entry.value, LIMIT)
    if entry.kind == "application":
        return message("developer", f"<{key}>{text}</{key}>")
    name = entry.name or _NO_NAME.sub("_", key)
    return {"type": "function_call_output", "name": name, "namespace": "agent", "output": text}


def check_output(given: TurnToolOutput | None, *, with_input: bool) -> None:
    """Raises RpcError for an output without a name, and for one beside input."""
    if given is None:
        return
    if with_input:
        raise invalid_request("`toolOutput` cannot be combined with nonempty `input`")
    if not given.name:
        raise invalid_request("`toolOutput.name` must not be empty")


def shown_output(given: TurnToolOutput) -> FunctionCallOutputItem:
    """The output as an item for clients."""
    return FunctionCallOutputItem(id=f"fco_{uuid7()}", name=given.name, namespace=given.namespace, output=given.output)


def output_item(given: TurnToolOutput) -> dict[str, Any]:
    """The output as the model gets it."""
    output: Any = unstructure(given)["output"]
    if isinstance(output, str):
        output = truncate_middle(output, DEFAULT_LIMIT)
    named = {"name": given.name} if given.namespace is None else {"name": given.name, "namespace": given.namespace}
    return {"type": "function_call_output", **named, "output": output}
