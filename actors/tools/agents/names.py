"""What agents are called: a nickname for people to tell them apart by, and the number of times it has come round."""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence

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
    """One of `candidates` (else of our own) that is not taken; when all are, one of them again, numbered."""
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
