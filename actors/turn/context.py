"""The messages that describe the surroundings to the model, before the user's input: permissions, guidance, environment.

The first turn sends all of it. Later turns append only what has changed, once, so that the history before stays the same and
the provider's prompt cache still fits. The envelopes (`<permissions instructions>`, `<environment_context>`,
`# AGENTS.md instructions`, `<model_switch>`, `<personality_spec>`, `<turn_aborted>`) are those of Codex, because both programs
read each other's histories; the texts are ours.
"""

from __future__ import annotations

import datetime
import os
import time
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, cast

from attrs import fields

from spindle.actors.settings.permissions import from_rollout, unreadable
from spindle.actors.settings.policies import approval_name, mode_name, sandbox_to_rollout
from spindle.actors.settings.recorded import readable
from spindle.actors.settings.settings import Settings, mode_of
from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.converter import unstructure
from spindle.rpc.protocol.values import clean
from spindle.storage.config import Config

_LOCALTIME = "/etc/localtime"

TURN_ABORTED = (
    "<turn_aborted>\nThe user interrupted the previous turn on purpose. Commands that were running may have done part of their "
    "work; check the current state before you rely on it.\n</turn_aborted>"
)

_SANDBOX = {
    "read-only": "Commands may read files but not change any.",
    "workspace-write": "Commands may read files, and may change those in the working directory and in the writable roots.",
    "danger-full-access": "Commands are not sandboxed: they may read and change any file the user may.",
    "external-sandbox": "Commands run in a sandbox that the host provides.",
}
_APPROVAL = {
    "never": "The user is never asked: a command that would need approval fails, so do not request escalation.",
    "on-request": "You may request escalation for a command that needs more than the sandbox allows; the user is then asked.",
    "on-failure": "A command that the sandbox stops is offered to the user to be run without it.",
    "untrusted": "Every command that is not known to be harmless is shown to the user first.",
    "granular": "Which kinds of requests the user is asked about is set one by one; the others are refused.",
}

_PERSONALITY = {
    "friendly": "Speak warmly and with encouragement, take the user along in what you do, and be patient with questions.",
    "pragmatic": "Speak plainly and to the point: facts, decisions and what is open, without praise or small talk.",
}


def message(role: str, *texts: str) -> dict[str, Any]:
    """A response item: a message of text parts."""
    return {"type": "message", "role": role, "content": [{"type": "input_text", "text": text} for text in texts]}


def today() -> tuple[str, str]:
    """(the local date, the time zone's name)"""
    now = datetime.datetime.now().astimezone()
    return now.date().isoformat(), clean(os.environ.get("TZ") or _zone(_link_of_zone()) or time.tzname[0])


def _link_of_zone() -> tuple[int, int] | None:
    try:
        found = os.lstat(_LOCALTIME)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


@lru_cache(maxsize=1)
def _zone(link: tuple[int, int] | None) -> str:
    """The name of the machine's time zone. `link` is the cache key: it changes with the zone."""
    return os.path.realpath(_LOCALTIME).partition("/zoneinfo/")[2] if link else ""


@frozen(kw_only=True)
class Surroundings:
    """The surroundings that the model got last. The difference between two is what it gets next."""

    model: str
    cwd: str
    approval: object
    sandbox: object
    mode: str | None = None
    """The instructions of the collaboration mode."""
    personality: str | None = None
    date: str | None = None
    timezone: str | None = None

    @classmethod
    def of(cls, settings: Settings, date: str, timezone: str) -> Surroundings:
        """The surroundings under `settings`."""
        return cls(
            model=settings.model,
            cwd=settings.cwd,
            approval=unstructure(settings.approval_policy),
            sandbox=(sandbox_to_rollout(settings.sandbox), settings.profile),
            mode=mode_of(settings).settings.developer_instructions,
            personality=settings.personality,
            date=date,
            timezone=timezone,
        )

    @classmethod
    def recorded(cls, context: Mapping[str, Any]) -> Surroundings:
        """The surroundings that a `turn_context` line of a rollout has, as far as it can be read."""
        context, _ = readable(context)
        return cls(
            model=str(context.get("model", "")),
            cwd=str(context.get("cwd", "")),
            approval=context.get("approval_policy"),
            sandbox=(context.get("sandbox_policy"), from_rollout(context)),
            mode=_instructions(context.get("collaboration_mode")),
            personality=context.get("personality"),
            date=context.get("current_date"),
            timezone=context.get("timezone"),
        )


@frozen
class Included:
    """Which messages config.toml includes. The attributes are its keys."""

    include_permissions_instructions: bool = True
    include_collaboration_mode_instructions: bool = True
    include_environment_context: bool = True

    @classmethod
    def of(cls, config: Config) -> Included:
        """Read the keys. Only `false` leaves a message out."""
        return cls(*(config.raw.get(attribute.name) is not False for attribute in fields(cls)))


_EVERYTHING: Final = Included()


def opening(
    settings: Settings,
    now: Surroundings,
    guidance: str | None,
    skills: str | None = None,
    included: Included = _EVERYTHING,
) -> list[dict[str, Any]]:
    """The messages before the first user input of a thread: developer, then user. `skills` lists the available skills."""
    developer = [permissions(settings)] if included.include_permissions_instructions else []
    developer += [skills] if skills else []
    if settings.developer_instructions:
        developer.append(settings.developer_instructions)
    if now.mode and included.include_collaboration_mode_instructions:
        developer.append(collaboration(now.mode))
    if now.personality in _PERSONALITY:
        developer.append(personality(now.personality))
    user = [instructions(now.cwd, guidance)] if guidance else []
    user += [environment(now)] if included.include_environment_context else []
    return [message(role, *texts) for role, texts in (("developer", developer), ("user", user)) if texts]


def changes(
    settings: Settings,
    before: Surroundings,
    now: Surroundings,
    developer_instructions: str | None = None,
    included: Included = _EVERYTHING,
) -> list[dict[str, Any]]:
    """The messages about what has changed since `before`. `developer_instructions` are passed only if they are new."""
    developer: list[str] = []
    if before.model and before.model != now.model:
        developer.append(
            f"<model_switch>\nThe user has switched the model: this conversation was held with {before.model} so far and "
            f"goes on with {now.model}. Continue from where it stands.\n</model_switch>"
        )
    if included.include_permissions_instructions and (before.approval, before.sandbox) != (now.approval, now.sandbox):
        developer.append(permissions(settings))
    if developer_instructions:
        developer.append(developer_instructions)
    if included.include_collaboration_mode_instructions and now.mode and now.mode != before.mode:
        developer.append(collaboration(now.mode))
    if now.personality != before.personality and now.personality in _PERSONALITY:
        developer.append(personality(now.personality))
    out = [message("developer", *developer)] if developer else []
    date_known = before.date is not None and before.timezone is not None
    moved = before.cwd != now.cwd or (date_known and (before.date, before.timezone) != (now.date, now.timezone))
    if moved and included.include_environment_context:
        out.append(message("user", environment(now)))
    return out


def instructions(cwd: str, text: str) -> str:
    """The AGENTS.md files of `cwd`, in an envelope that separates them from the user's own words."""
    return f"# AGENTS.md instructions for {cwd}\n\n<INSTRUCTIONS>\n{text}\n</INSTRUCTIONS>"


def collaboration(instructions: str) -> str:
    """The instructions of the collaboration mode, in their envelope."""
    return f"<collaboration_mode>{instructions}</collaboration_mode>"


def personality(name: str) -> str:
    """The text about the manner in which the model speaks."""
    return (
        f"<personality_spec>\nThe user has chosen how you speak with them. {_PERSONALITY[name]} "
        "This is about manner alone, not about what you do.\n</personality_spec>"
    )


def _instructions(mode: Any) -> str | None:
    """The instructions in a recorded collaboration mode."""
    settings = cast("dict[str, Any]", cast("dict[str, Any]", mode or {}).get("settings") or {})
    text: object = settings.get("developer_instructions")
    return text if isinstance(text, str) else None


def permissions(settings: Settings) -> str:
    """The text about sandbox, network and approvals."""
    mode, approval = mode_name(settings.sandbox), approval_name(settings.approval_policy)
    network = "enabled" if getattr(settings.sandbox, "network_access", True) in (True, "enabled") else "restricted"
    roots = getattr(settings.sandbox, "writable_roots", ())
    hidden = unreadable(settings.profile)
    extra = f" Writable roots: {', '.join(f'`{root}`' for root in roots)}." if roots else ""
    extra += f" Not to be read: {', '.join(f'`{path}`' for path in hidden)}." if hidden else ""
    return (
        f"<permissions instructions>\n`sandbox_mode` is `{mode}`: {_SANDBOX[mode]}{extra} Network access is {network}.\n"
        f"The approval policy is `{approval}`: {_APPROVAL[approval]}\n</permissions instructions>"
    )


def environment(now: Surroundings) -> str:
    """The text about directory, shell, date and time zone."""
    shell = clean(os.path.basename(os.environ.get("SHELL") or "bash"))
    return (
        f"<environment_context>\n  <cwd>{now.cwd}</cwd>\n  <shell>{shell}</shell>\n  <current_date>{now.date}</current_date>\n"
        f"  <timezone>{now.timezone}</timezone>\n</environment_context>"
    )
