"""A thread's state in memory, and what all ways of loading a thread share."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import Factory, define, field

from spindle.actors.delivery.snapshot import Snapshot
from spindle.actors.services.services import Services
from spindle.actors.settings.allowed import limited
from spindle.actors.settings.client import ClientName
from spindle.actors.settings.readable import Bounds, bounds_of, readable_files
from spindle.actors.settings.requests import absolute
from spindle.actors.settings.settings import Settings
from spindle.actors.thread.conversation import Conversation
from spindle.actors.tools.interface import Tool
from spindle.rpc.protocol.threads import GitInfo
from spindle.storage.agents_md import Instructions, read_instructions
from spindle.storage.config import Config
from spindle.storage.config.deprecated import Deprecation, deprecations
from spindle.storage.config.hooks import HookConfig, hook_config
from spindle.storage.config.notes import Note, summary, untrusted
from spindle.storage.outside import Readable
from spindle.storage.rollout import records
from spindle.storage.rollout.journal import JournalError
from spindle.storage.skills import Skill, may_use

if TYPE_CHECKING:
    from spindle.actors.tools.dynamic import DynamicTool
    from spindle.actors.turn.host import ContextItems


@define(eq=False)
class OpenedThread:
    """A thread's state in memory. Times are Unix seconds."""

    settings: Settings
    config: Config
    conversation: Conversation
    guidance: Instructions
    client: ClientName
    created_at: int
    updated_at: int
    source: object
    cli_version: str
    preview: str = ""
    name: str | None = None
    forked_from_id: str | None = None
    agent_nickname: str | None = None
    agent_role: str | None = None
    git: GitInfo | None = None
    ephemeral: bool = False
    project_id: str | None = None
    """As it was when the thread began. What is true later is stored outside of the rollout."""
    raw_events: bool = False
    skills: Sequence[Skill] = ()
    """Those that the model is offered."""
    read_within: Bounds | None = None
    """The sandbox settings under which `guidance` and `skills` were read."""
    dynamic_tools: Sequence[DynamicTool] = ()
    functions: Sequence[Tool] = ()
    """Tools of the application that embeds the runtime."""
    turns: Snapshot | None = None
    """The turns as the rollout had them when it was opened, for the first caller, who closes them."""
    git_set: dict[str, str | None] = field(factory=lambda: dict[str, str | None]())
    """The members of `git` that a client has set before there is a rollout."""
    elicitations: int = 0
    """The out-of-band elicitation count."""
    hooks: HookConfig = field(default=Factory(lambda self: hook_config(self.config), takes_self=True))
    """Read when the thread is loaded, in a worker thread, and kept until it ends."""
    warnings: Sequence[str] = ()
    """Warnings about the settings, for the first subscriber."""
    notes: Sequence[Note] = ()
    """Settings without effect that clients were not notified of when they connected."""
    deprecations: Sequence[Deprecation] = ()
    """Deprecated settings, for the first subscriber."""
    begun: bool = False
    """Whether the SessionStart hooks have run."""
    last_additional: ContextItems = field(factory=lambda: dict[str, dict[str, Any]]())
    """The additional context of the last input, as far as the model still has it."""
    new_developer_instructions: str | None = None
    """Developer instructions that came with a resume and that are not in the history yet."""

    @property
    def shows_project_files(self) -> bool:
        """Whether the model is shown AGENTS.md files or skills of a project."""
        return bool(self.guidance.project) or any(skill.scope == "repo" for skill in self.skills)


def open_state(
    services: Services, config: Config, settings: Settings, conversation: Conversation, client: ClientName, at: int
) -> OpenedThread:
    """The state of a thread that began at the second `at`, with what applies in its directory. Blocks on the disk.

    All ways of loading come through here, so here the settings are limited to what the requirements allow.
    """
    settings, fallen = limited(settings, config.requirements)
    readable = readable_files(services.home, settings)
    guidance = guidance_of(services, config, settings.cwd, readable)
    unread = [f"{path} is not shown to the model: the sandbox does not allow reading it" for path in guidance.hidden]
    hooks = hook_config(config)
    notes = [*config.notes, *hooks.notes]
    elsewhere = None if settings.cwd == services.cwd else untrusted(config.layers)
    return OpenedThread(
        settings=settings,
        config=config,
        conversation=conversation,
        guidance=guidance,
        skills=skills_of(services, config, settings.cwd, readable),
        read_within=bounds_of(settings),
        client=client,
        created_at=at,
        updated_at=at,
        source=services.source,
        cli_version=services.version,
        hooks=hooks,
        warnings=[*fallen, *unread, *([summary(notes)] if notes else [])],
        notes=[
            *(note for note in notes if note.path not in (services.home.config_file, services.config.system_file)),
            *([elsewhere] if elsewhere is not None else []),
        ],
        deprecations=list(deprecations(config)),
    )


def configure(services: Services, cwd: str | None, overrides: Mapping[str, Any] | None) -> Config:
    """The configuration for a directory, with a request's overrides. A relative directory is taken from the server's.

    Raises RpcError for an invalid directory, ConfigError for an invalid or unsupported setting.
    """
    config = services.config.load(Path(absolute(services.cwd, cwd or "")), list((overrides or {}).items()))
    config.check()
    return config


def guidance_of(services: Services, config: Config, cwd: str, readable: Readable | None = None) -> Instructions:
    """The AGENTS.md files that apply in a directory and are `readable`."""
    return read_instructions(
        services.home,
        Path(cwd),
        max_bytes=config.project_doc_max_bytes,
        fallback_names=config.project_doc_fallback_filenames,
        root_markers=config.project_root_markers,
        readable=readable,
    )


def skills_of(services: Services, config: Config, cwd: str, readable: Readable | None = None) -> Sequence[Skill]:
    """The skills for a directory that the model is offered; none if `skills.include_instructions` is off."""
    if config.table("skills").get("include_instructions") is False:
        return ()
    return [skill for skill in services.skills.enabled(cwd, config.raw, config.plugins) if may_use(skill, readable)]


def session_meta(
    services: Services, thread_id: str, settings: Settings, client: ClientName, now: datetime.datetime
) -> dict[str, Any]:
    """The session_meta payload of a thread that begins at `now` (format of Codex 0.124)."""
    return {
        "id": thread_id,
        "timestamp": now.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z",
        "cwd": settings.cwd,
        "originator": client.originator,
        "cli_version": services.version,
        "source": services.source,
        "model_provider": settings.model_provider,
        "base_instructions": {"text": settings.base_instructions or services.instructions},
    }


async def save_history(services: Services, conversation: Conversation, history: Sequence[Mapping[str, Any]]) -> None:
    """Create the rollout with response items in it. Raises WriterBusy, JournalError, OSError; no file is left then."""
    await conversation.begin()
    try:
        conversation.record([records.response_item(dict(item)) for item in history])
        if conversation.journal is not None:
            await services.flusher.sync(conversation.journal)
    except JournalError:
        if conversation.path is not None:
            conversation.path.unlink(missing_ok=True)  # no client knows of it
        raise
    finally:
        conversation.end()
