"""The configuration: config.toml of home, system and trusted projects, with profiles, overrides and providers."""

from spindle.storage.config.config_error import ConfigError
from spindle.storage.config.effective import Config, WorkspaceWrite
from spindle.storage.config.layers import Layer, Trust
from spindle.storage.config.loader import ConfigLoader, load
from spindle.storage.config.mcp_servers import McpServerConfig
from spindle.storage.overrides import parse_override

__all__ = [
    "Config",
    "ConfigError",
    "ConfigLoader",
    "Layer",
    "McpServerConfig",
    "Trust",
    "WorkspaceWrite",
    "load",
    "parse_override",
]
