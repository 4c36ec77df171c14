"""The settings in the lines of a rollout: written for us and for Codex, and read with care.

A `turn_context` line (format of Codex 0.124) opens each turn. An `event_msg` of type `thread_settings_applied` (0.169) keeps
settings that are changed between turns; its permission profile lists paths, so our lines also have the policy itself in them.

Another version may have written what this one does not know. What cannot be read is left out, and the configured value holds.
Sandbox and permission profile say together what commands may do: both are used only if all of both is understood, because
half of a restriction allows more than the whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

import orjson

from spindle.actors.settings.permissions import ROLLOUT_KEYS, from_rollout, to_rollout
from spindle.actors.settings.policies import managed_profile, sandbox_of_managed
from spindle.actors.settings.settings import FIELDS, Settings
from spindle.actors.tools.sandbox.profile import ProfileError, check
from spindle.storage.rollout import records
from spindle.storage.rollout.records import Entry

LONGEST: Final = 100
"""Characters of a value that a warning shows."""

_IN_CONTEXT: Final = {
    name: (one.context, one.write) for name, one in FIELDS.items() if one.context is not None and not one.foreign
}
_IN_APPLIED: Final = {name: (one.applied, one.write) for name, one in FIELDS.items() if one.applied is not None}
_TO_CONTEXT: Final = {
    one.applied: one.context for one in FIELDS.values() if one.applied is not None and one.context is not None
}
_READ: Final = {
    one.context: one.read for one in FIELDS.values() if one.context is not None and one.read is not None
}

# -- written


def turn_context(settings: Settings, turn_id: str, date: str, timezone: str) -> dict[str, Any]:
    """The payload of the line that opens a turn."""
    out = {"turn_id": turn_id, "current_date": date, "timezone": timezone, **_members(settings, _IN_CONTEXT)}
    if settings.profile is not None:
        out |= to_rollout(settings.profile)
    return out | {"summary": settings.summary or "auto", "realtime_active": False}


def applied(settings: Settings, thread_id: str) -> Entry:
    """The record that keeps changed settings."""
    out = _members(settings, _IN_APPLIED)
    out["permission_profile"] = managed_profile(settings.sandbox, settings.cwd)
    if settings.profile is not None:
        out["profile"] = to_rollout(settings.profile)
    return records.thread_settings_applied(thread_id, out)


def _members(settings: Settings, places: Mapping[str, tuple[str, Any]]) -> dict[str, Any]:
    kept = ((member, write, settings.kept(name)) for name, (member, write) in places.items())
    return {member: write(value) for member, write, value in kept if value is not None}


# -- read


def as_context(kept: object) -> dict[str, Any]:
    """The `thread_settings` of a line that keeps changed settings, with the members of a `turn_context`. Reads Codex's too.

    If it says in an unknown way what commands may do, the `sandbox_policy` is that value, which no policy can be read from.
    """
    if not isinstance(kept, Mapping):
        return {}
    kept = cast("Mapping[str, Any]", kept)
    context = {name: kept[own] for own, name in _TO_CONTEXT.items() if kept.get(own) is not None}
    profile: object = kept.get("profile") or {}
    context |= cast("Mapping[str, Any]", profile) if isinstance(profile, Mapping) else {ROLLOUT_KEYS[1]: profile}
    permissions: object = kept.get("permission_profile")
    policy = kept.get("sandbox_policy") or sandbox_of_managed(permissions, str(kept.get("cwd"))) or permissions
    context.pop("sandbox_policy", None)
    return context if policy is None else context | {"sandbox_policy": policy}


def follow_on(older: Mapping[str, Any], newer: Mapping[str, Any]) -> dict[str, Any]:
    """Two contexts as one. A newer one with a policy also ends the older one's profile, workspace roots and environments."""
    if "sandbox_policy" in newer:
        ended = (*ROLLOUT_KEYS, FIELDS["roots"].context, "environments")
        older = {key: value for key, value in older.items() if key not in ended}
    return {**older, **newer}


def readable(context: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(the members of a `turn_context` that can be read, those that cannot)"""
    bad = {
        name: value
        for name, read in _READ.items()
        if (value := context.get(name)) is not None and read(value) is None
    }
    if not _profile_known(context):
        bad |= {name: context[name] for name in ROLLOUT_KEYS if name in context}
    left_out = {*bad, *(("sandbox_policy", *ROLLOUT_KEYS) if {"sandbox_policy", *ROLLOUT_KEYS} & {*bad} else ())}
    return {name: value for name, value in context.items() if name not in left_out}, bad


def warning(bad: Mapping[str, Any]) -> str:
    """The warning to a client about settings that cannot be read."""
    shown = ", ".join(f"`{name}`: {_shown(value)}" for name, value in bad.items())
    return f"Recorded settings that this version cannot read are replaced by the configured ones: {shown}"


def _shown(value: object) -> str:
    text = orjson.dumps(value).decode()
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


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
