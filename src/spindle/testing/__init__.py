"""The kit with which an application tests its agents, and a pytest plugin with fixtures: `spindle[testing]`.

    async def test_the_agent_looks_outside(runtime, model):
        model.script(call("weather", city="Oslo"), say("It rains."))
        async with runtime.start_thread(tools=[weather]) as thread:
            await thread.run("Do I need a coat?")
        assert model.requests[0].prompt == "Do I need a coat?"

Models: `ScriptedModel FunctionModel RecordedModel`. Answers: `say call think fail hang disconnect pause usage`. Ends:
`nothing_left assert_nothing_left`. Time: `AgentClock`. Faults: the module `faults`. Fixtures: `home model runtime agent_clock`
(`testing.plugin`). A name is imported at its first use.
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from spindle.testing import faults as faults
    from spindle.testing.answers import Answer as Answer
    from spindle.testing.answers import Answers as Answers
    from spindle.testing.answers import call as call
    from spindle.testing.answers import disconnect as disconnect
    from spindle.testing.answers import fail as fail
    from spindle.testing.answers import hang as hang
    from spindle.testing.answers import pause as pause
    from spindle.testing.answers import say as say
    from spindle.testing.answers import think as think
    from spindle.testing.answers import usage as usage
    from spindle.testing.clock import AgentClock as AgentClock
    from spindle.testing.function_model import FunctionModel as FunctionModel
    from spindle.testing.leftovers import assert_nothing_left as assert_nothing_left
    from spindle.testing.leftovers import nothing_left as nothing_left
    from spindle.testing.recorded import RecordedModel as RecordedModel
    from spindle.testing.requests import Message as Message
    from spindle.testing.requests import Request as Request
    from spindle.testing.scripted import ScriptedModel as ScriptedModel

_MODULES = {
    "answers": ("Answer", "Answers", "call", "disconnect", "fail", "hang", "pause", "say", "think", "usage"),
    "clock": ("AgentClock",),
    "function_model": ("FunctionModel",),
    "leftovers": ("assert_nothing_left", "nothing_left"),
    "recorded": ("RecordedModel",),
    "requests": ("Message", "Request"),
    "scripted": ("ScriptedModel",),
}
_NAMES = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "AgentClock",
    "Answer",
    "Answers",
    "FunctionModel",
    "Message",
    "RecordedModel",
    "Request",
    "ScriptedModel",
    "assert_nothing_left",
    "call",
    "disconnect",
    "fail",
    "faults",
    "hang",
    "nothing_left",
    "pause",
    "say",
    "think",
    "usage",
]


def __getattr__(name: str) -> object:
    if name == "faults":
        return import_module("spindle.testing.faults")
    try:
        module = _NAMES[name]
    except KeyError:
        raise AttributeError(f"module 'spindle.testing' has no attribute {name!r}") from None
    return getattr(import_module(f"spindle.testing.{module}"), name)
