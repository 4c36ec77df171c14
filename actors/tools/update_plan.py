"""update_plan: show the model's list of steps to the clients. Only the call is recorded."""

from collections.abc import Sequence
from typing import Literal

from spindle.actors.tools.interface import Call, Output, ToolHost, ToolRefused, function
from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.turns import TurnPlanStep, TurnPlanStepStatus, TurnPlanUpdatedNotification

_SHOWN: dict[str, TurnPlanStepStatus] = {
    "pending": "pending",
    "in_progress": "inProgress",
    "completed": "completed",
}


@frozen
class _Step:
    step: str
    status: Literal["pending", "in_progress", "completed"]


@frozen
class _Plan:
    plan: Sequence[_Step]
    explanation: str | None = None


class UpdatePlan:
    """The tool."""

    name = "update_plan"
    namespace = None
    offer = function(
        name,
        "Shows the user the steps of the task and how far each of them is. Send the whole list each time; keep at most "
        "one step in progress.",
        {
            "explanation": {"type": "string", "description": "Why the plan changed, where that is not obvious."},
            "plan": {
                "type": "array",
                "description": "The steps, in order.",
                "items": {
                    "type": "object",
                    "properties": {
                        "status": {"type": "string", "description": "pending, in_progress or completed"},
                        "step": {"type": "string"},
                    },
                    "required": ["step", "status"],
                    "additionalProperties": False,
                },
            },
        },
        ["plan"],
    )

    def exclusive(self, call: Call) -> bool:
        """The later plan must be shown last."""
        return True

    async def run(self, call: Call, host: ToolHost) -> Output:
        """Notify the clients of the plan. Raises ToolRefused in plan mode."""
        if host.mode == "plan":
            raise ToolRefused("update_plan is a checklist for work in progress and is not allowed in Plan mode")
        given = call.arguments(_Plan)
        steps = [TurnPlanStep(step.step, _SHOWN[step.status]) for step in given.plan]
        host.emit(TurnPlanUpdatedNotification(host.thread_id, host.turn_id, given.explanation, steps))
        return "Plan updated"
