"""plugin.json: what a plugin says of itself. Everything here blocks.

The forms are those of Codex 0.124 to 0.171, and of Claude's plugins as far as Codex reads them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import orjson

from spindle.rpc.lazy_class import frozen
from spindle.rpc.lenient import is_mapping, mapping, sequence, text_or_none
from spindle.rpc.protocol.values import is_clean, loads
from spindle.storage.outside import TEXT, read_file
from spindle.storage.plugins.plugin_ids import PluginError

FILES: Final = (".codex-plugin/plugin.json", ".claude-plugin/plugin.json")
PROMPTS: Final = 3
"""The most starter prompts of a plugin."""
_PROMPT_CHARACTERS: Final = 512
_NAMED: Final = 32
"""The most paths that a member of plugin.json may list."""


@frozen(kw_only=True)
class Manifest:
    """A plugin.json. `members` is its whole content, `file` its path."""

    root: Path
    file: Path
    name: str
    version: str | None
    description: str | None
    keywords: Sequence[str]
    members: Mapping[str, Any]

    @property
    def interface(self) -> Mapping[str, Any] | None:
        """How clients display the plugin."""
        found: object = self.members.get("interface")
        return found if is_mapping(found) else None

    @property
    def title(self) -> str:
        """The name for people and the model."""
        return text_or_none(mapping(self.interface).get("displayName")) or self.name

    def asset(self, key: str) -> str | None:
        """The path of a file that the interface names."""
        return self._asset(mapping(self.interface).get(key))

    def assets(self, key: str) -> Sequence[str]:
        """The paths of the files that the interface lists."""
        listed = sequence(mapping(self.interface).get(key))[:_NAMED]
        return [path for one in listed if (path := self._asset(one)) is not None]

    def _asset(self, named: object) -> str | None:
        path = within(self.root, named)
        return None if path is None else str(path)

    @property
    def prompts(self) -> Sequence[str] | None:
        """The starter prompts."""
        given: object = mapping(self.interface).get("defaultPrompt")
        listed = [given] if isinstance(given, str) else sequence(given)
        texts = [" ".join(one.split()) for one in listed if isinstance(one, str)]
        return [one for one in texts if one and len(one) <= _PROMPT_CHARACTERS][:PROMPTS] or None

    def paths(self, key: str, default: str) -> Iterator[Path]:
        """The files or folders that a member names, or the default one; those that leave the plugin are left out."""
        given: object = self.members.get(key)
        listed = [default] if given is None else [given] if isinstance(given, str) else sequence(given)
        for one in listed[:_NAMED]:
            path = (self.root / default) if given is None else within(self.root, one)
            if path is not None:
                yield path


def within(root: Path, named: object) -> Path | None:
    """The path in a plugin or marketplace that a manifest names as `./...`; None for any other form, also with `..`."""
    if not isinstance(named, str) or not named.startswith("./") or "\0" in named or not is_clean(named):
        return None
    parts = [part for part in named.split("/") if part not in ("", ".")]
    return None if ".." in parts else root.joinpath(*parts)


def inside(root: Path, path: Path) -> bool:
    """Whether a path is in a folder, also by its real path."""
    real = os.path.realpath(root)
    return os.path.realpath(path).startswith(real.rstrip("/") + "/")


def read_manifest(root: Path) -> Manifest:
    """The plugin.json of a plugin's folder. Raises PluginError if it is missing or invalid, OSError."""
    for name in FILES:
        file = root / name
        try:
            data = read_file(file, TEXT)
        except (FileNotFoundError, NotADirectoryError):
            continue
        if not inside(root, file):
            raise PluginError("plugin.json is a link that leads out of the plugin")
        try:
            members = loads(data)
        except orjson.JSONDecodeError as error:
            raise PluginError(f"failed to parse plugin.json: {error}") from error
        if not is_mapping(members):
            raise PluginError("failed to parse plugin.json: expected an object")
        return Manifest(
            root=root,
            file=file,
            name=text_or_none(members.get("name")) or root.name,
            version=(text_or_none(members.get("version")) or "").strip() or None,
            description=text_or_none(members.get("description")),
            keywords=[one for one in sequence(members.get("keywords")) if isinstance(one, str)],
            members=members,
        )
    raise PluginError("missing plugin.json")
