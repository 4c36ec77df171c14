"""The tools of agents: refused calls, items, and records."""

from collections.abc import Mapping

import orjson
import pytest
from attrs import frozen

from spindle.actors.tools.agents.agents import NOT_FOUND, PENDING, AgentName, AgentStatus, Spawned
from spindle.actors.tools.agents.roles import OURS
from spindle.actors.tools.agents.tools import agent_tools
from spindle.actors.tools.interface import ToolRefused
from spindle.rpc.protocol.user_input import ImageInput, LocalImageInput, MentionInput, SkillInput, TextInput
from spindle.storage.rollout.items import EVENTS

ID = "01a21d2d-61d1-70d0-9353-79f455ec4300"
OTHER = "01a21d2d-61d1-70d0-9353-79f455ec4301"


@frozen
class Model:
    slug: str
    description: str = ""
    efforts: Mapping[str, str] = {}
    hidden: bool = False


MODELS = [Model(slug="big", efforts={"low": "", "high": ""}), Model(slug="secret", hidden=True)]


class Agents:
    """Agents that do what is asked."""

    def __init__(self, **statuses):
        self.roles = {role.name: role for role in OURS}
        self.statuses = {ID: PENDING, **statuses}
        self.asked = []
        self.refusal = None

    def status(self, id):
        return self.statuses.get(id, NOT_FOUND)

    def name(self, id):
        return AgentName("Elm", "explorer") if id in self.statuses else AgentName()

    async def _done(self, *asked):
        self.asked.append(asked)
        if self.refusal is not None:
            raise ToolRefused(self.refusal)

    async def spawn(self, request):
        await self._done(request)
        return Spawned(id=ID, name=self.name(ID), status=PENDING, model=request.model or "mine", effort=request.effort)

    async def send(self, id, content, *, interrupt):
        await self._done(id, content, interrupt)
        return "turn-1"

    async def wait(self, ids, seconds):
        await self._done(list(ids), seconds)
        return {id: self.status(id) for id in ids if self.status(id).final}

    async def resume(self, id):
        await self._done(id)
        return self.statuses.setdefault(id, PENDING)

    async def close(self, id):
        await self._done(id)
        del self.statuses[id]


@pytest.fixture
def run(a_turn, a_call):
    """run(agents, name, **arguments) -> (the output, the completed item, the recorded event)"""

    async def run_(agents, name, **given):
        turn = a_turn()
        [tool] = [tool for tool in agent_tools(agents, MODELS) if tool.name == name]
        output = await tool.run(a_call(name, orjson.dumps(given).decode()), turn)
        (began, first), (ended, last) = turn.items
        assert (began, ended, first["status"], first["id"]) == ("started", "completed", "inProgress", last["id"])
        assert isinstance(output, str)
        return orjson.loads(output), last, turn.entries[-1]

    return run_


def shown(item, *names):
    return {name: item[name] for name in names}


async def test_an_agent_is_spawned(run):
    agents = Agents()
    output, item, event = await run(agents, "spawn_agent", message="Look", agent_type="explorer", reasoning_effort="low")
    assert output == {"agent_id": ID, "nickname": "Elm"}
    [(request,)] = agents.asked
    assert (request.content, request.role.name, request.effort) == ([TextInput("Look")], "explorer", "low")
    assert shown(item, "tool", "status", "senderThreadId", "receiverThreadIds", "prompt", "model", "reasoningEffort") == {
        "tool": "spawnAgent",
        "status": "completed",
        "senderThreadId": "thread",
        "receiverThreadIds": [ID],
        "prompt": "Look",
        "model": "mine",
        "reasoningEffort": "low",
    }
    assert item["agentsStates"] == {ID: {"status": "pendingInit", "message": None}}
    assert (event["type"], event["new_thread_id"], event["new_agent_nickname"], event["new_agent_role"]) == (
        "collab_agent_spawn_end",
        ID,
        "Elm",
        "explorer",
    )


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("spawn_agent", {"message": "Look"}),
        ("send_input", {"target": ID, "message": "More"}),
        ("wait_agent", {"targets": [ID, OTHER]}),
        ("resume_agent", {"id": ID}),
        ("close_agent", {"target": ID}),
    ],
)
async def test_the_record_reads_back_as_the_item(run, name, given):
    agents = Agents(**{ID: AgentStatus("completed", "found it"), OTHER: AgentStatus("errored", "no")})
    _, item, event = await run(agents, name, **given)
    read = EVENTS[event["type"]](event)
    unset = {key: value for key, value in item.items() if key not in read}
    assert unset == {"id": "call-1"}
    assert {key: item[key] for key in read} == read


async def test_the_parts_of_an_input_are_shown_in_one_text(run):
    agents = Agents()
    parts = [
        {"type": "text", "text": "See"},
        {"type": "image", "image_url": "data:,"},
        {"type": "local_image", "path": "/a.png"},
        {"type": "skill", "name": "s", "path": "/s/SKILL.md"},
        {"type": "mention", "name": "m", "path": "app://m"},
    ]
    _, item, _ = await run(agents, "send_input", target=ID, items=parts, interrupt=True)
    assert item["prompt"] == "See\n[image]\n[local_image:/a.png]\n[skill:$s](/s/SKILL.md)\n[mention:$m](app://m)"
    assert agents.asked == [
        (
            ID,
            [
                TextInput("See"),
                ImageInput("data:,"),
                LocalImageInput("/a.png"),
                SkillInput("s", "/s/SKILL.md"),
                MentionInput("m", "app://m"),
            ],
            True,
        )
    ]


@pytest.mark.parametrize(
    ("given", "seconds"), [({}, 30), ({"timeout_ms": 1}, 10), ({"timeout_ms": 20_000}, 20), ({"timeout_ms": 1e9}, 3600)]
)
async def test_a_wait_has_its_bounds(run, given, seconds):
    agents = Agents()
    output, item, _ = await run(agents, "wait_agent", targets=[ID, ID], **given)
    assert agents.asked == [([ID], seconds)]
    assert output == {"status": {}, "timed_out": True}
    assert shown(item, "status", "receiverThreadIds") == {"status": "completed", "receiverThreadIds": []}


async def test_a_wait_returns_the_agents_that_have_ended(run):
    agents = Agents(**{OTHER: AgentStatus("completed", "done")})
    output, item, _ = await run(agents, "wait_agent", targets=[ID, OTHER])
    assert output == {"status": {OTHER: {"completed": "done"}}, "timed_out": False}
    assert item["agentsStates"] == {OTHER: {"status": "completed", "message": "done"}}


async def test_an_agent_is_closed_with_the_status_it_had(run):
    output, item, _ = await run(Agents(**{ID: AgentStatus("completed", None)}), "close_agent", target=ID)
    assert output == {"previous_status": {"completed": None}}
    assert item["status"] == "completed"


@pytest.mark.parametrize(
    ("name", "given", "words"),
    [
        ("spawn_agent", {}, "Provide one of: message or items"),
        ("spawn_agent", {"message": " "}, "Empty message can't be sent to an agent"),
        ("spawn_agent", {"message": "a", "items": []}, "Provide either message or items, but not both"),
        ("spawn_agent", {"items": []}, "Items can't be empty"),
        ("spawn_agent", {"items": [{"type": "skill", "name": "s"}]}, "items[0]: missing field `path`"),
        ("spawn_agent", {"items": [{"type": "song"}]}, "items[0].type: unknown variant `song`"),
        ("spawn_agent", {"message": "a", "reasoning_effort": "silly"}, "unknown variant `silly`"),
        ("wait_agent", {"targets": []}, "agent ids must be non-empty"),
        ("wait_agent", {"targets": [ID], "timeout_ms": 0}, "timeout_ms must be greater than zero"),
        ("wait_agent", {"targets": ["zz"]}, "invalid agent id zz"),
        ("send_input", {"target": ID}, "Provide one of: message or items"),
        ("send_input", {"message": "a"}, "missing field `target`"),
        ("resume_agent", {"id": ""}, "invalid agent id"),
        ("close_agent", {}, "missing field `target`"),
    ],
)
async def test_an_invalid_call_makes_no_item(a_turn, a_call, name, given, words):
    turn, agents = a_turn(), Agents()
    [tool] = [tool for tool in agent_tools(agents, MODELS) if tool.name == name]
    with pytest.raises(ToolRefused) as refused:
        await tool.run(a_call(name, orjson.dumps(given).decode()), turn)
    assert words in str(refused.value)
    assert (turn.items, turn.entries, agents.asked) == ([], [], [])


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"agent_type": "nosuch"}, "unknown agent_type 'nosuch'"),
        ({"model": "nosuch"}, "Unknown model `nosuch` for spawn_agent. Available models: big"),
        ({"model": "big", "reasoning_effort": "medium"}, "Supported reasoning efforts: low, high"),
        ({"fork_context": True, "agent_type": "worker"}, "leave out agent_type"),
        ({"fork_context": True, "model": "big"}, "leave out agent_type"),
    ],
)
async def test_an_agent_that_cannot_start_is_a_failed_item(a_turn, a_call, given, words):
    turn, agents = a_turn(), Agents()
    [tool] = [tool for tool in agent_tools(agents, MODELS) if tool.name == "spawn_agent"]
    with pytest.raises(ToolRefused) as refused:
        await tool.run(a_call("spawn_agent", orjson.dumps({"message": "a", **given}).decode()), turn)
    assert words in str(refused.value)
    assert (turn.statuses, agents.asked) == (["inProgress", "failed"], [])


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("spawn_agent", {"message": "a"}),
        ("send_input", {"target": ID, "message": "a"}),
        ("resume_agent", {"id": ID}),
        ("close_agent", {"target": ID}),
    ],
)
async def test_a_refusal_fails_the_item(a_turn, a_call, name, given):
    turn, agents = a_turn(), Agents()
    agents.refusal = "no"
    [tool] = [tool for tool in agent_tools(agents, MODELS) if tool.name == name]
    with pytest.raises(ToolRefused, match="no"):
        await tool.run(a_call(name, orjson.dumps(given).decode()), turn)
    assert turn.statuses == ["inProgress", "failed"]
    assert EVENTS[turn.entries[-1]["type"]](turn.entries[-1])["tool"] == turn.items[-1][1]["tool"]


def test_the_offer_names_roles_and_models():
    [offer] = [tool.offer for tool in agent_tools(Agents(), MODELS) if tool.name == "spawn_agent"]
    properties = offer["parameters"]["properties"]
    assert all(f"- {role.name}: " in properties["agent_type"]["description"] for role in OURS)
    assert "- big: " in properties["model"]["description"]
    assert "secret" not in properties["model"]["description"]
