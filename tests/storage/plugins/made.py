"""Marketplaces and plugins for tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SKILL = "---\nname: doit\ndescription: does it\n---\nbody\n"


def plugin(folder: Path, name: str, **members: Any) -> Path:
    """A plugin in `folder/name`, with a skill, a hook and a server."""
    root = folder / name
    write(root / ".codex-plugin/plugin.json", {"name": name, "version": "1.2.3", **members})
    (root / "skills/doit").mkdir(parents=True)
    (root / "skills/doit/SKILL.md").write_text(SKILL)
    write(root / "hooks/hooks.json", {"hooks": {"Stop": [{"hooks": [{"type": "command", "command": "true"}]}]}})
    write(root / ".mcp.json", {"mcpServers": {f"{name}-server": {"command": "server"}}})
    return root


def marketplace(root: Path, name: str, *plugins: object) -> Path:
    """A marketplace file that offers `plugins`: entries, or names of plugins in `plugins/`."""
    file = root / ".agents/plugins/marketplace.json"
    listed = [{"name": one, "source": f"./plugins/{one}"} if isinstance(one, str) else one for one in plugins]
    write(file, {"name": name, "plugins": listed})
    return file


def write(file: Path, value: object) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(value))
