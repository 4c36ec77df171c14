"""request_permissions: the request, and that no more than that is granted."""

import json

import pytest

from spindle.actors.tools.approvals.permissions import RequestPermissions
from spindle.actors.tools.approvals.remembered import Remembered
from spindle.actors.tools.interface import ToolRefused
from spindle.actors.tools.sandbox.confinement import NOTHING, Grants, Place
from spindle.rpc.protocol.errors import RpcError

WANTED = {"file_system": {"write": ["/granted"]}, "network": {"enabled": True}}


@pytest.fixture
def remembered():
    return Remembered()


async def request(remembered, turn, a_call, permissions):
    tool = RequestPermissions(remembered, Place(turn.cwd, "/home"))
    payload = json.dumps({"reason": "need it", "permissions": permissions})
    told = await tool.run(a_call("request_permissions", payload), turn)
    assert isinstance(told, str)
    return json.loads(told)


async def test_granted_permissions_are_answered_and_hold(a_turn, a_call, remembered):
    turn = a_turn("on-request")
    turn.answers.append({"permissions": {"fileSystem": {"write": ["/granted/in"]}}, "scope": "session"})
    told = await request(remembered, turn, a_call, WANTED)
    entry = {"path": {"type": "path", "path": "/granted"}, "access": "write"}
    assert turn.asked[0]["permissions"] == {
        "network": {"enabled": True},
        "fileSystem": {"read": None, "write": ["/granted"], "entries": [entry]},
    }
    assert turn.asked[0]["reason"] == "need it"
    assert turn.asked[0]["startedAtMs"] > 1_700_000_000_000
    assert told == {
        "permissions": {"network": None, "file_system": {"write": ["/granted/in"]}},
        "scope": "session",
    }
    assert remembered.granted("another") == Grants({"/granted/in": "write"}, network=False)


async def test_no_more_than_requested_is_granted(a_turn, a_call, remembered):
    turn = a_turn("on-request")
    given = {"fileSystem": {"write": ["/", "/granted", "/granted2"]}, "network": {"enabled": True}}
    turn.answers.append({"permissions": given})
    await request(remembered, turn, a_call, {"file_system": {"write": ["/granted"]}})
    assert remembered.granted("turn") == Grants({"/granted": "write"}, network=False)
    assert remembered.granted("another") == NOTHING


async def test_a_requested_write_may_be_granted_as_read(a_turn, a_call, remembered):
    turn = a_turn("on-request")
    turn.answers.append({"permissions": {"fileSystem": {"read": ["/granted"]}}})
    await request(remembered, turn, a_call, WANTED)
    assert remembered.granted("turn").entries == {"/granted": "read"}


@pytest.mark.parametrize("answer", [{"nope": 1}, {"permissions": {"fileSystem": 3}}, RpcError(-1, "no")])
async def test_an_invalid_answer_grants_nothing(a_turn, a_call, remembered, answer):
    turn = a_turn("on-request")
    turn.answers.append(answer)
    told = await request(remembered, turn, a_call, WANTED)
    assert told == {"permissions": {"network": None, "file_system": None}, "scope": "turn"}
    assert remembered.granted("turn") == NOTHING


@pytest.mark.parametrize(
    "approval", ["never", {"granular": {"sandbox_approval": True, "rules": True, "mcp_elicitations": True}}]
)
async def test_a_policy_that_forbids_asking_grants_nothing(a_turn, a_call, remembered, approval):
    turn = a_turn(approval)
    told = await request(remembered, turn, a_call, WANTED)
    assert told["permissions"] == {"network": None, "file_system": None}
    assert not turn.asked


async def test_an_empty_request_is_refused(a_turn, a_call, remembered):
    with pytest.raises(ToolRefused, match="at least one permission"):
        await request(remembered, a_turn("on-request"), a_call, {"file_system": {"write": []}})
