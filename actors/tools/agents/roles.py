"""The roles and nicknames of agents: built-in roles, and those of `[agents.<name>]` in config.toml.

Keys as in Codex: `description`, `config_file` (a TOML file with the keys of config.toml; its path is relative to the file that
names it), `nickname_candidates`. A configured role replaces a built-in role of the same name.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence
from typing import Any, cast

from spindle.rpc.lazy_class import frozen
from spindle.storage.config import Config

DEFAULT_ROLE = "default"


@frozen(kw_only=True)
class Role:
    """A kind of agent. The settings in `config_file` override its parent's."""

    name: str
    description: str
    config_file: str | None = None
    nicknames: tuple[str, ...] = ()


OURS = (
    Role(name=DEFAULT_ROLE, description="An agent like yourself."),
    Role(
        name="explorer",
        description=(
            "Answers a specific question about the code, quickly and on good grounds. Ask narrow questions, several "
            "explorers at once if they do not depend on each other, and do not repeat the search for what one has found."
        ),
    ),
    Role(
        name="worker",
        description=(
            "Carries out a part of the work: a piece of a feature, a fix, a step of a refactoring. Tell it which files are "
            "its own, and that others are changing the code at the same time, whose changes it must not undo."
        ),
    ),
)


def roles(config: Config) -> dict[str, Role]:
    """The roles by name, configured ones first."""
    own = {
        name: _role(name, cast("dict[str, Any]", table))
        for name, table in config.table("agents").items()
        if isinstance(table, dict)  # other keys are limits
    }
    return own | {role.name: role for role in OURS if role.name not in own}


def _role(name: str, table: Mapping[str, Any]) -> Role:
    return Role(
        name=name,
        description=table.get("description") or "",
        config_file=table.get("config_file"),
        nicknames=tuple(table.get("nickname_candidates") or ()),
    )


# fmt: off
NICKNAMES = (
    "Alder", "Aspen", "Bamboo", "Baobab", "Beech", "Birch", "Bracken", "Bramble", "Briar", "Cedar", "Chestnut", "Clover",
    "Cypress", "Dogwood", "Elder", "Elm", "Fennel", "Fern", "Fir", "Foxglove", "Gorse", "Hawthorn", "Hazel", "Heather",
    "Hemlock", "Hickory", "Holly", "Hornbeam", "Iris", "Ivy", "Juniper", "Larch", "Laurel", "Lichen", "Lilac", "Linden",
    "Lotus", "Magnolia", "Mallow", "Maple", "Marigold", "Mulberry", "Myrtle", "Nettle", "Oak", "Olive", "Pine", "Plane",
    "Poplar", "Poppy", "Quince", "Reed", "Rowan", "Rush", "Sage", "Sedge", "Sequoia", "Sorrel", "Spruce", "Sumac",
    "Sycamore", "Tamarind", "Teak", "Thistle", "Thyme", "Tupelo", "Willow", "Yarrow", "Yew",
)
# fmt: on


def nickname(taken: Collection[str], candidates: Sequence[str] = ()) -> str:
    """One of `candidates` (default: `NICKNAMES`) that is not in `taken`; if all are, one of them with a number."""
    names = list(candidates) or list(NICKNAMES)
    times = 1
    while True:
        free = [name for name in (_numbered(name, times) for name in names) if name not in taken]
        if free:
            return random.choice(free)
        times += 1


def _numbered(name: str, times: int) -> str:
    if times == 1:
        return name
    teens = times % 100 in (11, 12, 13)
    return f"{name} the {times}{'th' if teens else {1: 'st', 2: 'nd', 3: 'rd'}.get(times % 10, 'th')}"
