"""request_user_input: the request, and the result of each answer."""

import json

import pytest

from spindle.actors.tools.interface import ToolRefused
from spindle.actors.tools.request_user_input import RequestUserInput
from spindle.rpc.protocol.converter import unstructure
from spindle.rpc.protocol.errors import RpcError

OPTIONS = [{"label": "Yes", "description": "Do it"}, {"label": "No", "description": "Leave it"}]
QUESTIONS = {"questions": [{"id": "q", "header": "Sure", "question": "Sure?", "options": OPTIONS}]}


@pytest.fixture
def asking(a_turn, a_call):
    """asking(answer, mode, anywhere, **arguments) -> (the answer to the model, the request to the clients)"""

    async def asking_(answer, mode="plan", anywhere=False, **given):
        turn, asked = a_turn(), []

        async def ask(params, waiting_on, about=None, *, repeats=None):
            assert repeats == "call-1"
            asked.append((unstructure(params), waiting_on))
            if isinstance(answer, RpcError):
                raise answer
            return answer

        turn.ask, turn.mode = ask, mode
        tool = RequestUserInput(in_default_mode=anywhere)
        return await tool.run(a_call("request_user_input", json.dumps(given)), turn), asked

    return asking_


async def test_the_user_is_asked_and_answers(asking):
    output, [(params, waiting_on)] = await asking({"answers": {"q": {"answers": ["Yes"]}}}, **QUESTIONS)
    assert json.loads(output) == {"answers": {"q": {"answers": ["Yes"]}}}
    assert waiting_on == "waitingOnUserInput"
    assert params == {
        "threadId": "thread",
        "turnId": "turn",
        "itemId": "call-1",
        "questions": [{**QUESTIONS["questions"][0], "isOther": True, "isSecret": False}],
        "isBlocking": True,
        "autoResolutionMs": None,
    }


async def test_a_feature_allows_questions_that_do_not_block_in_default_mode(asking):
    output, [(params, _)] = await asking({"answers": {}}, mode="default", anywhere=True, **QUESTIONS)
    assert json.loads(output) == {"answers": {}}
    assert params["isBlocking"] is False
    assert "Only in default or plan mode." in RequestUserInput(in_default_mode=True).offer["description"]
    assert "Only in plan mode." in RequestUserInput().offer["description"]


@pytest.mark.parametrize("answer", [RpcError(-1, "no"), {"answers": 3}, None])
async def test_an_invalid_answer_counts_as_no_answers(asking, answer):
    output, _ = await asking(answer, **QUESTIONS)
    assert json.loads(output) == {"answers": {}}


@pytest.mark.parametrize(
    ("mode", "given", "words"),
    [
        ("default", QUESTIONS, "unavailable in Default mode"),
        ("plan", {"questions": [{**QUESTIONS["questions"][0], "options": []}]}, "non-empty options"),
        ("plan", {}, "missing field `questions`"),
    ],
)
async def test_invalid_questions_are_refused(asking, mode, given, words):
    with pytest.raises(ToolRefused, match=words):
        await asking({}, mode, **given)
