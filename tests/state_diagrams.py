"""Tables of lives, drawn: docs/architecture.md shows them, and a test compares."""

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any


def state_diagram(table: Mapping[Any, tuple[Any, Sequence[Any]]], first: Enum) -> str:
    """A mermaid state diagram, as a fenced Markdown block without a newline at its end.

    `table` maps (state, event) to (state, effects), in the order in which the arrows are drawn. Events that change nothing
    are left out. A state that no event leaves is drawn as an end.
    """
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {_id(first)}"]
    for (state, event), (after, effects) in table.items():
        if after is state and not effects:
            continue
        label = event.value if not effects else f"{event.value} / {', '.join(effect.value for effect in effects)}"
        lines.append(f"    {_id(state)} --> {_id(after)}: {label}")
    states = dict.fromkeys(after for after, _ in table.values())
    ends = [last for last in states if all(to is last for (state, _), (to, _) in table.items() if state is last)]
    lines += [f"    {_id(last)} --> [*]" for last in ends]
    return "\n".join([*lines, "```"])


def _id(state: Enum) -> str:
    return str(state.value).replace(" ", "_")
