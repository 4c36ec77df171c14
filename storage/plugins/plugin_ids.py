"""The names of plugins and marketplaces. They become names of folders, so what they may contain is checked first."""

from __future__ import annotations

import re
from typing import Final

from spindle.rpc.lazy_class import frozen

_MARKETPLACE: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")
_PLUGIN: Final = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")
_VERSION: Final = re.compile(r"[A-Za-z0-9.+_-]{1,128}")
_LONGEST: Final = 128

LOCAL_VERSION: Final = "local"
"""The version of a plugin that names none."""


class PluginError(Exception):
    """The request cannot be done with this plugin or marketplace. `str()` is the sentence for the client."""


@frozen
class PluginId:
    """A plugin of a marketplace. `str()` is `name@marketplace`, its key in config.toml."""

    name: str
    marketplace: str

    def __str__(self) -> str:
        return f"{self.name}@{self.marketplace}"

    @classmethod
    def parse(cls, text: str) -> PluginId | None:
        """The id in a text; None if it is none."""
        name, at, marketplace = text.partition("@")
        if not at or not is_plugin(name) or not is_marketplace(marketplace):
            return None
        return cls(name, marketplace)


def is_plugin(name: str) -> bool:
    """Whether a plugin may have this name."""
    return len(name) <= _LONGEST and _PLUGIN.fullmatch(name) is not None


def is_marketplace(name: str) -> bool:
    """Whether a marketplace may have this name."""
    return _MARKETPLACE.fullmatch(name) is not None


def check_plugin(name: str) -> None:
    """Raise PluginError unless a plugin may have this name."""
    if is_plugin(name):
        return
    if not name:
        raise PluginError("invalid plugin name: must not be empty")
    if not all(name.split(".")):
        raise PluginError("invalid plugin name: dots must separate non-empty name segments")
    raise PluginError(
        "invalid plugin name: only ASCII letters, digits, `_`, `-` and single dots are allowed, at most 128 characters"
    )


def check_marketplace(name: str) -> None:
    """Raise PluginError unless a marketplace may have this name."""
    if not name:
        raise PluginError("invalid marketplace name: must not be empty")
    if not is_marketplace(name):
        raise PluginError("invalid marketplace name: only ASCII letters, digits, `_`, and `-` are allowed")


def check_version(version: str) -> None:
    """Raise PluginError unless a version can be the name of a folder."""
    if _VERSION.fullmatch(version) is None:
        raise PluginError("invalid plugin version: only ASCII letters, digits, `.`, `+`, `_`, and `-` are allowed")
    if version in (".", ".."):
        raise PluginError("invalid plugin version: path traversal is not allowed")
