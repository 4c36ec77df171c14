"""The settings that a rollout has recorded, read with care: another version may have written what this one does not know.

What cannot be read is left out, so that the configured value holds. Of sandbox and permission profile, which say together what
commands may do, neither is used unless all of it is understood: half of a restriction allows more than the whole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, cast

import orjson

from spindle.actors.settings.permissions import ROLLOUT_KEYS, from_rollout
from spindle.actors.settings.settings import approval_from_rollout, sandbox_from_rollout
from spindle.actors.tools.sandbox.profile import ProfileError, check
from spindle.rpc.protocol.converter import InvalidValue, structure
from spindle.rpc.protocol.settings import ApprovalsReviewer, CollaborationMode, Personality

LONGEST: Final = 100
"""Characters of a value that a warning shows."""


def readable(context: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What of a `turn_context` can be read, and what cannot."""
    bad = {name: context[name] for name, known in _KNOWN.items() if name in context and not known(context[name])}
    if not _profile_known(context):
        bad |= {name: context[name] for name in ROLLOUT_KEYS if name in context}
    left_out = {*bad, *(("sandbox_policy", *ROLLOUT_KEYS) if {"sandbox_policy", *ROLLOUT_KEYS} & {*bad} else ())}
    return {name: value for name, value in context.items() if name not in left_out}, bad


def warning(bad: Mapping[str, Any]) -> str:
    """What a client is told of settings that cannot be read."""
    shown = ", ".join(f"`{name}`: {_shown(value)}" for name, value in bad.items())
    return f"Recorded settings that this version cannot read are replaced by the configured ones: {shown}"


def _shown(value: object) -> str:
    text = orjson.dumps(value).decode()
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def _text(value: object) -> bool:
    return value is None or (isinstance(value, str) and "\0" not in value)


def _fits(kind: Any) -> Callable[[object], bool]:
    def known(value: object) -> bool:
        try:
            return value is None or structure(value, kind) is not None
        except InvalidValue:
            return False

    return known


def _profile_known(context: Mapping[str, Any]) -> bool:
    files = context.get("file_system_sandbox_policy")
    if files is None:
        return True
    if not isinstance(files, Mapping) or cast("Mapping[str, Any]", files).get("kind") not in _FILE_POLICIES:
        return False
    try:
        profile = from_rollout(context)
        if profile is not None:
            check(profile)
    except ProfileError:
        return False
    entries: Any = cast("Mapping[str, Any]", files).get("entries") or ()
    return not any(
        entry["access"] == "none" and entry["path"].get("type") == "special" and not _special_known(entry["path"])
        for entry in entries
    )


def _special_known(path: Mapping[str, Any]) -> bool:
    return cast("Mapping[str, Any]", path["value"]).get("kind") in _SPECIAL


_FILE_POLICIES: Final = ("restricted", "unrestricted", "external", "external-sandbox", "external_sandbox")
_SPECIAL: Final = ("root", "minimal", "current_working_directory", "project_roots", "tmpdir", "slash_tmp")

_KNOWN: Final[Mapping[str, Callable[[Any], bool]]] = {
    "cwd": _text,
    "model": _text,
    "effort": _text,
    "service_tier": _text,
    "developer_instructions": _text,
    "personality": _fits(Personality),
    "approvals_reviewer": _fits(ApprovalsReviewer),
    "collaboration_mode": _fits(CollaborationMode),
    "approval_policy": lambda value: value is None or approval_from_rollout(value) is not None,
    "sandbox_policy": lambda value: value is None or sandbox_from_rollout(value) is not None,
}
"""Whether the value of a member is known."""
