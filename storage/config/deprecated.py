"""Settings that still have their effect, but that should be written otherwise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from spindle.rpc.lazy_class import frozen
from spindle.storage.config.effective import FORMER_NAMES, Config

_WEB_SEARCH: Final = ("Use `web_search` instead.", 'Set `web_search` to "live", "cached" or "disabled".')
_OTHERS: Final[Mapping[str, tuple[str, str]]] = {
    "web_search_request": _WEB_SEARCH,
    "web_search_cached": _WEB_SEARCH,
    "use_legacy_landlock": ("It has no effect: the sandbox is chosen by what the system offers.", "Remove the setting."),
}
"""Features without another name: what there is instead, and what to do."""


@frozen
class Deprecation:
    """A deprecated setting, and what to write in its place."""

    summary: str
    details: str


def deprecations(config: Config) -> Iterator[Deprecation]:
    """The deprecated settings in force."""
    features = config.table("features")
    for name, former in FORMER_NAMES.items():
        for called in former:
            if called in features:
                yield _renamed(f"features.{called}", f"features.{name}")
            if called.startswith("experimental_") and called in config.raw:
                yield _renamed(called, f"features.{name}")
    for name, (why, advice) in _OTHERS.items():
        if name in features:
            yield Deprecation(f"`features.{name}` is deprecated. {why}", advice)


def _renamed(former: str, now: str) -> Deprecation:
    return Deprecation(f"`{former}` is deprecated. Use `{now}` instead.", f"Write the value as `{now}` in config.toml.")
