"""Calls that type checkers refuse, made all the same: the error says what to write."""

from typing import Any, cast

import pytest

import spindle
from spindle.testing import call


def too_much(litres: float) -> bool:
    return litres > 5


@spindle.tool(needs_approval=cast("Any", too_much))
def water(litres: float) -> str:
    """Waters."""
    return "wet"


async def test_a_rule_for_approval_must_take_the_context_and_the_arguments(runtime):
    with pytest.raises(TypeError, match=r"the tool water: needs_approval is called as f\(context, litres=…\)"):
        runtime.start_thread(tools=[water])


@pytest.mark.spindle(config={"sandbox_mode": "danger-full-access", "approval_policy": "untrusted"})
async def test_a_callback_must_be_async(runtime, model):
    model.script(call("exec_command", cmd="touch made"))  # the turn is interrupted before the model gets the output

    def ask(question):
        pass

    with pytest.raises(TypeError, match="on_question must be an async function, not <function"):
        async with runtime.start_thread(on_question=ask) as thread:
            await thread.run("go")


@pytest.mark.spindle(model=spindle.OfflineModel("Good day."))
async def test_a_text_is_a_script_of_one_answer(runtime):
    async with runtime.start_thread() as thread:
        assert (await thread.run("Hello")).output == "Good day."
