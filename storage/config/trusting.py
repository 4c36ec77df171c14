"""Approve the settings and hooks in a project's `.codex`: find them, and record their approval."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.hooks import CONFIGURED_AS
from spindle.storage.config.approvals import Approval
from spindle.storage.config.editing import set_values
from spindle.storage.config.effective import Config
from spindle.storage.config.hooks import HookHandler, hook_config
from spindle.storage.config.layers import Layer, trust_of
from spindle.storage.config.loader import ConfigLoader
from spindle.storage.config.programs import ProjectProgram
from spindle.storage.config.project import Project, settings
from spindle.storage.config.writing import Edit, change

Standing: TypeAlias = Literal["approved", "new", "changed"]


@frozen(kw_only=True)
class Proposal:
    """A setting or a hook of a project that needs approval.

    `name` is the dotted setting or the hook's event, `value` the setting's value or the hook's command. `approval` is
    recorded; a string is the reason why it cannot be approved. `hook` is set for a hook.
    """

    file: Path
    line: int | None
    name: str
    value: object
    key: str
    standing: Standing
    approval: Approval | str
    hook: HookHandler | None = None


@frozen
class Proposals:
    """The proposals of a project, and the `.codex` folders that count once its `root` is trusted.

    `warnings` are about hooks that cannot run, or whose files cannot be read.
    """

    root: Path
    folders: Sequence[Path]
    proposals: Sequence[Proposal]
    warnings: Sequence[str]


def proposals(loader: ConfigLoader, path: Path) -> Proposals:
    """The proposals of the project that contains `path`, once it is trusted. Blocking. Raises ConfigError, OSError."""
    path = Path(os.path.abspath(path))
    root = loader.root(path)
    config = _load_trusted(loader, path, root)
    found: list[Proposal] = []
    folders: list[Path] = []
    for layer in reversed(config.layers):
        if layer.project is not None and not layer.project.below:
            folders.append(layer.project.folder / ".codex")
            found += _settings(loader, layer, layer.project, path)
    hooks = hook_config(config)
    found += [_hook(hook, root, path) for hook in hooks.listed if Path(hook.path).parent in folders]
    return Proposals(root, folders, found, hooks.warnings)


def approve(loader: ConfigLoader, wanted: Proposals) -> None:
    """Trust the project, and approve all of its proposals that can be approved; fsynced.

    Raises ConfigError, OSError.
    """
    approvals = {proposal.key: proposal.approval for proposal in wanted.proposals if isinstance(proposal.approval, Approval)}
    values: dict[Sequence[str], str] = {("projects", str(wanted.root), "trust_level"): "trusted"}
    for proposal in wanted.proposals:
        if proposal.hook is not None and proposal.key in approvals:
            values["hooks", "state", proposal.key, "trusted_hash"] = proposal.hook.hash
    loader.approvals.record(wanted.folders, approvals)
    set_values(loader.home.config_file, values)


def _load_trusted(loader: ConfigLoader, cwd: Path, root: Path) -> Config:
    """The configuration as it will be when the project is trusted."""
    return loader.load(cwd, [("projects", {str(root): {"trust_level": "trusted"}})])


def trust(loader: ConfigLoader, cwd: Path) -> Path:
    """Trust the project that contains `cwd`, unless the user has decided about it; returns its root. Fsynced.

    No setting or hook is approved. Raises ConfigError, OSError, also if the project's settings could not be loaded then.
    """
    root = loader.root(cwd)
    _load_trusted(loader, cwd, root)

    def decide(content: Mapping[str, Any]) -> Sequence[Edit]:
        decided = trust_of(content.get("projects"), cwd, root) is not None
        return [] if decided else [Edit(("projects", str(root), "trust_level"), "trusted")]

    change(loader, decide)
    return root


def _settings(loader: ConfigLoader, layer: Layer, project: Project, cwd: Path) -> list[Proposal]:
    file = Path(layer.source["dotCodexFolder"]) / "config.toml"
    found: list[Proposal] = []
    for setting in settings(loader.read(file), file, project.root):
        key = setting.key(file)
        known: Standing = "approved" if setting.keys in project.pins else "changed" if key in project.approved else "new"
        place = loader.place(file, setting.keys)
        found.append(
            Proposal(
                file=file,
                line=place and place[0],
                name=".".join(setting.keys),
                value=setting.value,
                key=key,
                standing=known,
                approval=_approval(setting.hash, setting.program, cwd),
            )
        )
    return found


def _hook(hook: HookHandler, root: Path, cwd: Path) -> Proposal:
    known: Standing = "approved" if hook.trust == "trusted" else "changed" if hook.trust == "modified" else "new"
    return Proposal(
        file=Path(hook.path),
        line=hook.place and hook.place[0],
        name=CONFIGURED_AS[hook.event] + (f" {hook.matcher}" if hook.matcher else ""),
        value=hook.command,
        key=hook.key,
        standing=known,
        approval=_approval(hook.hash, ProjectProgram([hook.command], root), cwd),
        hook=hook,
    )


def _approval(hash: str, program: ProjectProgram, cwd: Path) -> Approval | str:
    try:
        return Approval(hash, program.files(cwd))
    except OSError as error:
        return f"{error.filename or 'a file that it names'}: {error.strerror or error}"
