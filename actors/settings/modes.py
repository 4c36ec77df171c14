"""Collaboration modes: how the user and the agent share the work, and the model's instructions for each. The texts are ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from attrs import evolve

from spindle.rpc.protocol.models import CollaborationModeMask
from spindle.rpc.protocol.settings import CollaborationMode, ModeKind

PRESETS: Final = (
    CollaborationModeMask("Plan", "plan", reasoning_effort="medium"),
    CollaborationModeMask("Default", "default"),
)

_PLAN: Final = """# Plan mode

The user wants a plan before any work is done, and stays in this mode until the mode is changed for you; being asked to carry
something out does not change it. Make the plan together, in a conversation.

Change nothing: no edits, no patches, no formatters or generators, no installing, no commits. Read, search, run tests and dry
runs, and do anything else that helps you to plan and changes no file of the project.

1. Look before you ask. What the project itself can answer, find out.
2. Then clear up what is wanted: goal, limits, what counts as done, what is out of scope. Use request_user_input for questions
   whose answers change the plan, with the answer you would choose first; ask few of them,
   and none that you could settle by looking.
3. Then settle how: the approach, what it touches, the order, what may go wrong, how it is verified.

When nothing that matters is open any more, present the plan, complete enough that another developer could carry it out without
further decisions. Put it on lines of its own between these two, each alone on its line, with Markdown in between:

<proposed_plan>
# Title
...
</proposed_plan>

One such block in a message, and only when the plan is whole. If the user wants it changed, present the whole plan again. Do
not ask whether to go ahead: the user decides that with the mode."""

_DEFAULT: Final = """# Default mode

What you were told of another mode, such as plan mode, no longer holds. Carry out what the user asks. Make reasonable
assumptions rather than stop to ask, and say which ones you made; ask in plain text, briefly, only where going on could do
harm. The tool request_user_input is not available in this mode."""

_INSTRUCTIONS: Final[Mapping[ModeKind, str]] = {"plan": _PLAN, "default": _DEFAULT}


def filled(mode: CollaborationMode) -> CollaborationMode:
    """The mode with instructions: the client's, or ours if it sent none."""
    if mode.settings.developer_instructions is not None:
        return mode
    return evolve(mode, settings=evolve(mode.settings, developer_instructions=_INSTRUCTIONS[mode.mode]))
