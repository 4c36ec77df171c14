"""The messages for the model about plugins that user input mentions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from spindle.rpc.protocol.user_input import MentionInput, TextInput, UserInput
from spindle.rpc.protocol.values import one_line
from spindle.storage.config import Config
from spindle.storage.plugins.active import ActivePlugin

SCHEME = "plugin://"
"""The beginning of a plugin's path in a mention. The rest is its id."""
_LINK = re.compile(r"\]\(plugin://([^)\s]{1,300})\)")
_TITLE_CHARACTERS = 128


def mentioned(content: Sequence[UserInput], config: Config) -> list[dict[str, Any]]:
    """A message for each plugin in effect that the input mentions: as a part, or as `[name](plugin://<id>)` in a text."""
    ids = {part.path.removeprefix(SCHEME) for part in content if isinstance(part, MentionInput)}
    ids |= {name for part in content if isinstance(part, TextInput) for name in _LINK.findall(part.text)}
    return [_message(plugin, config) for plugin in config.plugins if str(plugin.id) in ids]


def _message(plugin: ActivePlugin, config: Config) -> dict[str, Any]:
    lines = [f"The user has mentioned the plugin `{one_line(plugin.title, _TITLE_CHARACTERS)}`. It provides:"]
    if plugin.skill_roots:
        lines.append(f"- skills, whose names begin with `{plugin.id.name}:`")
    own = (one for one in config.mcp_servers().values() if one.plugin_id == str(plugin.id))
    servers = [one.name for one in own if one.enabled]
    if servers:
        lines.append(f"- tools of the MCP servers {', '.join(f'`{name}`' for name in servers)}")
    if len(lines) == 1:
        lines[0] = f"{lines[0].removesuffix(' It provides:')} It provides nothing in this session."
    else:
        lines.append("Use them for this task where they fit.")
    text = "\n".join(lines)
    return {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": text}]}
