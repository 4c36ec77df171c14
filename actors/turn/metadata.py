"""What a request tells the provider of its turn: in `client_metadata`, and in one header. The forms are those of Codex."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import orjson

from spindle.rpc.protocol.errors import invalid_request

HEADER: Final = "x-codex-turn-metadata"
MOST: Final = 8192
"""Characters of the entries that clients give, names included. They go into a header."""
LONGEST: Final = 256
"""Characters of a turn's id or trigger that a client gives."""
_OURS: Final = frozenset(
    (
        "agent_name",
        "installation_id",
        "model",
        "parent_thread_id",
        "parent_turn_id",
        "request_kind",
        "root_turn_id",
        "sandbox",
        "sandbox_mode",
        "session_id",
        "subagent_kind",
        "thread_id",
        "thread_source",
        "turn_id",
        "turn_started_at_unix_ms",
        "turn_trigger",
        "window_id",
        "window_number",
    )
)
"""The names that a client cannot give."""
_TOP: Final = frozenset(("session_id", "thread_id", "turn_id", "root_turn_id", "parent_turn_id"))
_PLAIN: Final = re.compile(r"[ -~]*")


def given(
    before: Mapping[str, str], replacement: Mapping[str, str] | None, patch: Mapping[str, str] | None
) -> dict[str, str]:
    """The entries of clients after a request. Names of ours are left out. Raises RpcError if they are too long together."""
    entries = dict(before if replacement is None else replacement) | dict(patch or {})
    entries = {name: value for name, value in entries.items() if name not in _OURS}
    if sum(len(name) + len(value) for name, value in entries.items()) > MOST:
        raise invalid_request(f"responsesapiClientMetadata must have at most {MOST} characters")
    return entries


def check_origin(**names: str | None) -> None:
    """Raise RpcError for too long a name of what a turn comes from."""
    for name, value in names.items():
        if value is not None and len(value) > LONGEST:
            raise invalid_request(f"{name} must have at most {LONGEST} characters")


def described(ids: Mapping[str, str | None], entries: Mapping[str, str], window: str) -> dict[str, str]:
    """The `client_metadata` of a request: `ids` that are known, and all that is known as one JSON object, in ASCII.

    `entries` are those of clients.
    """
    known = {name: value for name, value in ids.items() if value is not None}
    whole = {**entries, **known, "window_id": window, "request_kind": "turn"}
    return {
        **{name: value for name, value in known.items() if name in _TOP},
        "x-codex-window-id": window,
        HEADER: _ascii(orjson.dumps(whole)),
    }


def _ascii(data: bytes) -> str:
    """The same JSON with `\\u` escapes: a header may have no other characters."""
    text = data.decode()
    return text if _PLAIN.fullmatch(text) else "".join(c if " " <= c <= "~" else _escaped(c) for c in text)


def _escaped(letter: str) -> str:
    units = letter.encode("utf-16-be")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
