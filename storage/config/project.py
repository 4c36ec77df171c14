"""Which settings in a project's `.codex/config.toml` count.

Other people may change a project's files: each pull brings another version. So trusting a project says little about its
content. Settings that only steer the model count. Settings that run programs, widen the sandbox, reduce approvals, or
locate the model and its tools count only if their content is approved; Codex 0.124 and 0.171 do not check it. A few
keys never count.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias, cast

from attrs import evolve, field

from spindle.rpc.lazy_class import frozen
from spindle.rpc.lenient import mapping
from spindle.storage.config.approvals import NOTHING, Approval, FirstSight, pinned
from spindle.storage.config.config_error import ConfigError
from spindle.storage.config.keys import KEYS, Standing
from spindle.storage.config.programs import Pinned, ProjectProgram, hash_of

Keys: TypeAlias = tuple[str, ...]

_NEVER: Final = """
model_provider model_providers openai_base_url chatgpt_base_url apps_mcp_product_sku notify profile profiles otel
experimental_realtime_ws_base_url experimental_realtime_webrtc_call_base_url responses_api_metadata
"""

_STEERING: Final = """
model review_model model_reasoning_effort model_reasoning_summary model_verbosity model_supports_reasoning_summaries
model_context_window model_auto_compact_token_limit tool_output_token_limit personality service_tier
instructions developer_instructions compact_prompt
include_permissions_instructions include_environment_context include_collaboration_mode_instructions project_doc_max_bytes
"""

NEVER: Final = frozenset(_NEVER.split())
"""Keys that count only in the user's files, as in Codex 0.171: providers, notifications, profiles."""
STEERING: Final = frozenset(_STEERING.split())
"""Keys that always count in a trusted project: its texts, such as AGENTS.md, have the same power."""
BELOW: Final = "lies below the project's root"
_BY_HOOK: Final = "hooks"
"""Keys whose members are approved separately (`hooks.py`)."""
_NAMED: Final = ("mcp_servers", "agents", "permissions")
"""Tables whose members are approved one by one."""
_NOT_OF_ROLES: Final = NEVER | {"mcp_servers", "agents"}
_EFFECTIVE: Final = frozenset(
    dotted.partition(".")[0] for dotted, standing in KEYS.items() if standing in (Standing.SERVED, Standing.REFUSED)
)
_OF_COMMANDS: Final = ("command", "args", "cwd", "env", "config_file")
"""Members that name files, of a server and of an agent's role."""


@frozen
class Setting:
    """A project's setting that needs approval: its place and its value."""

    keys: Keys
    value: object
    program: ProjectProgram

    @property
    def hash(self) -> str:
        return hash_of([*self.keys, self.value])

    def key(self, file: Path) -> str:
        """The hash for its approval."""
        return f"{file}:{'.'.join(self.keys)}"


@frozen
class LeftOut:
    """A setting that does not count, and the reason."""

    keys: Keys
    text: str


@frozen
class Project:
    """The project of a layer. `root` is its folder, `folder` the parent folder of `.codex`."""

    root: Path
    folder: Path
    approved: Mapping[str, Approval] = NOTHING
    below: bool = False
    """Whether the folder is below the root and not trusted itself: then only settings that steer the model count."""
    left_out: Sequence[LeftOut] = ()
    pins: Mapping[Keys, Pinned] = {}
    """The approved settings, with the files that they name."""
    first_sight: FirstSight = field(factory=FirstSight, eq=False, repr=False)
    data: bytes = field(default=b"", repr=False)
    """The text of its config.toml."""

    @property
    def advice(self) -> str:
        """The advice how to approve."""
        if self.below:
            return f'it counts in {self.root}, or where `[projects."{self.folder}"]` trusts the folder itself'
        return f"`spindle trust {shlex.quote(str(self.folder))}` shows what the project wants to run, and approves it"


def settings(content: Mapping[str, Any], file: Path, root: Path) -> Iterator[Setting]:
    """The settings of a project's config.toml that need approval."""
    for key, value in content.items():
        if key in NEVER or key in STEERING or key == _BY_HOOK or key not in _EFFECTIVE:
            continue
        if key in _NAMED and isinstance(value, dict):
            for name, member in cast("dict[str, object]", value).items():
                yield Setting((key, name), member, _program(member, file, root))
        else:
            yield Setting((key,), value, _program(value, file, root))


def gated(
    content: Mapping[str, Any], file: Path, root: Path, approved: Mapping[str, Approval], *, below: bool = False
) -> tuple[Mapping[str, Any], Project]:
    """(the settings that count in a trusted project's config.toml, the project). Blocking.

    `below`: the file is not the root's, and its folder is not trusted itself.
    """
    project = Project(root, file.parent.parent, approved, below)
    counts = {key: value for key, value in content.items() if key not in NEVER}
    left_out = [
        LeftOut((key,), f"`{key}` has no effect in a project; it counts in the user's config.toml alone.")
        for key in content
        if key in NEVER
    ]
    pins: dict[Keys, Pinned] = {}
    for setting in settings(content, file, root):
        found = BELOW if below else pinned(setting.program, setting.hash, approved.get(setting.key(file)))
        if isinstance(found, Pinned):
            pins[setting.keys] = found
        else:
            _take_out(counts, setting.keys)
            why = f"`{'.'.join(setting.keys)}` of a project {found} and has no effect: {project.advice}."
            left_out.append(LeftOut(setting.keys, why))
    return counts, evolve(project, left_out=left_out, pins=pins)


def of_role(content: Mapping[str, Any], path: Path, digest: str, project: Project) -> Mapping[str, Any]:
    """The settings that count in a project's file at `path` for an agent's role.

    Raises ConfigError if the file is not in the project, is not approved in this form, or has keys that it cannot have:
    providers, and keys that would add files without approval.
    """
    approved = [pin.files for keys, pin in project.pins.items() if keys[0] == "agents"]
    if not any(files.get(os.path.normpath(path)) == digest for files in approved):
        raise ConfigError(f"this file of a project is not as it was approved: {project.advice}", path)
    if (key := next((key for key in content if key in _NOT_OF_ROLES), None)) is not None:
        raise ConfigError(f"`{key}` has no place in the file of a project's role", path)
    return content


def _take_out(content: dict[str, Any], keys: Keys) -> None:
    key, *names = keys
    if names:
        content[key] = {name: member for name, member in content[key].items() if name not in names}
    if not names or not content[key]:
        del content[key]


def _program(value: object, file: Path, root: Path) -> ProjectProgram:
    """The texts in a server's or role's table that may name files; none for other settings."""
    table = mapping(value)
    texts = [text for key in _OF_COMMANDS for text in _texts(table.get(key))]
    cwd = table.get("cwd")
    return ProjectProgram(texts, root, (file.parent, *((root / cwd,) if isinstance(cwd, str) else ())))


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        members = cast("dict[str, object]", value).values() if isinstance(value, dict) else cast("list[object]", value)
        for member in members:
            yield from _texts(member)
