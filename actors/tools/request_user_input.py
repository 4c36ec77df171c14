"""request_user_input: the model asks the user questions, in plan mode or, if a feature allows it, in default mode too."""

from collections.abc import Sequence
from typing import Any

import orjson

from spindle.actors.tools.interface import Call, Output, Refusal, ToolHost, ToolRefused, function
from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.approvals import (
    ToolRequestUserInputOption,
    ToolRequestUserInputParams,
    ToolRequestUserInputQuestion,
    ToolRequestUserInputResponse,
)
from spindle.rpc.protocol.converter import InvalidValue, structure, unstructure
from spindle.rpc.protocol.errors import RpcError


@frozen
class _Question:
    id: str
    header: str
    question: str
    options: Sequence[ToolRequestUserInputOption] = ()


@frozen
class _Questions:
    questions: Sequence[_Question]


class RequestUserInput:
    """The tool. `in_default_mode`: it may be used in default mode too."""

    name = "request_user_input"
    namespace = None

    def __init__(self, *, in_default_mode: bool = False) -> None:
        self._in_default_mode = in_default_mode
        self.offer = _offer("default or plan" if in_default_mode else "plan")

    def exclusive(self, call: Call) -> bool:
        """The user gets one request at a time."""
        return True

    async def run(self, call: Call, host: ToolHost) -> Output:
        """Ask and wait. An error or an invalid answer counts as no answers."""
        if host.mode != "plan" and not self._in_default_mode:
            raise ToolRefused("request_user_input is unavailable in Default mode")
        asked = call.arguments(_Questions).questions
        if any(not question.options for question in asked):
            raise ToolRefused("request_user_input requires non-empty options for every question")
        questions = [
            ToolRequestUserInputQuestion(
                id=question.id,
                header=question.header,
                question=question.question,
                is_other=True,
                options=question.options,
            )
            for question in asked
        ]
        params = ToolRequestUserInputParams(
            host.thread_id, host.turn_id, call.id, questions, is_blocking=host.mode == "plan"
        )
        try:
            given = structure(await host.ask(params, "waitingOnUserInput", repeats=call.id), ToolRequestUserInputResponse)
        except Refusal as refusal:
            return orjson.dumps({"answers": {}, **({"declined": refusal.reason} if refusal.reason else {})}).decode()
        except (RpcError, InvalidValue):
            given = ToolRequestUserInputResponse({})
        return orjson.dumps(unstructure(given)).decode()


def _offer(modes: str) -> dict[str, Any]:
    return function(
        RequestUserInput.name,
        f"Asks the user one to three short questions and waits for the answers. Only in {modes} mode.",
        {
            "questions": {
                "type": "array",
                "description": "One question, or up to three that belong together.",
                "items": {
                    "type": "object",
                    "properties": {
                        "header": {"type": "string", "description": "A title of a word or two."},
                        "id": {"type": "string", "description": "What the answer is found by, in snake_case."},
                        "options": {
                            "type": "array",
                            "description": "Two or three answers that exclude each other, the one you would take first. "
                            "The user may also write an answer, so do not offer one for that.",
                            "items": {
                                "type": "object",
                                "properties": {
                                    "description": {"type": "string", "description": "What choosing it means."},
                                    "label": {"type": "string", "description": "The answer in a few words."},
                                },
                                "required": ["label", "description"],
                                "additionalProperties": False,
                            },
                        },
                        "question": {"type": "string", "description": "The question, one sentence."},
                    },
                    "required": ["id", "header", "question", "options"],
                    "additionalProperties": False,
                },
            }
        },
        ["questions"],
    )
