"""Approval requests, and the result of each answer."""

import pytest

from spindle.actors.tools.approvals.requests import Declined, ask_command, ask_patch
from spindle.actors.tools.interface import TurnCancelled
from spindle.rpc.protocol.errors import RpcError
from spindle.rpc.protocol.items import CommandExecutionItem, UnknownAction

ITEM = CommandExecutionItem(id="i", command="touch x", cwd="/w", command_actions=[UnknownAction("touch x")])
LONG_AGO = 1_700_000_000_000
"""Milliseconds; a smaller number was in seconds."""
AMENDMENT = {"acceptWithExecpolicyAmendment": {"execpolicy_amendment": ["touch"]}}


async def test_a_command_is_asked_about_with_the_decisions_there_are(a_turn):
    turn = a_turn()
    turn.answers.append("accept")
    assert await ask_command(turn, ITEM, reason="why", amendment=["touch"]) == "accept"
    assert turn.asked[0].pop("startedAtMs") > LONG_AGO
    assert turn.asked == [
        {
            "threadId": "thread",
            "turnId": "turn",
            "itemId": "i",
            "reason": "why",
            "command": "touch x",
            "cwd": "/w",
            "commandActions": [{"type": "unknown", "command": "touch x"}],
            "proposedExecpolicyAmendment": ["touch"],
            "availableDecisions": ["accept", AMENDMENT, "cancel"],
        }
    ]


async def test_without_a_rule_to_add_there_are_two_decisions(a_turn):
    turn = a_turn()
    turn.answers.append("acceptForSession")
    assert await ask_command(turn, ITEM, reason=None, amendment=None) == "acceptForSession"
    assert turn.asked[0]["availableDecisions"] == ["accept", "cancel"]
    assert not {"reason", "proposedExecpolicyAmendment"} & set(turn.asked[0])


@pytest.mark.parametrize(
    "answer",
    [
        "decline",
        "whatever",
        {},
        {"decision": {"applyNetworkPolicyAmendment": {"network_policy_amendment": {"host": "h", "action": "allow"}}}},
        RpcError(-1, "no"),
    ],
)
async def test_a_refusal_an_error_and_an_invalid_answer_decline(a_turn, answer):
    turn = a_turn()
    turn.answers.append(answer)
    with pytest.raises(Declined):
        await ask_command(turn, ITEM, reason=None, amendment=None)


async def test_cancel_ends_the_turn(a_turn):
    turn = a_turn()
    turn.answers += ["cancel", "cancel"]
    with pytest.raises(TurnCancelled):
        await ask_command(turn, ITEM, reason=None, amendment=None)
    with pytest.raises(TurnCancelled):
        await ask_patch(turn, "i", reason=None, changes=())


async def test_a_patch_is_asked_about_by_its_item(a_turn):
    turn = a_turn()
    turn.answers += ["acceptForSession", AMENDMENT]
    assert await ask_patch(turn, "i", reason="why", changes=()) == "acceptForSession"
    assert turn.asked[0].pop("startedAtMs") > LONG_AGO
    assert turn.asked == [{"threadId": "thread", "turnId": "turn", "itemId": "i", "reason": "why", "grantRoot": None}]
    with pytest.raises(Declined):
        await ask_patch(turn, "i", reason=None, changes=())
