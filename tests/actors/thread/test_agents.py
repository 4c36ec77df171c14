"""Agents: what they start with, what their parent can do with them, and what it gets back."""

import json

import orjson
import trio

from spindle.actors.thread.messages import InterruptTurn, ReadThread, UpdateSettings
from spindle.actors.thread.turns.queue import OTHER_BOUNDS
from spindle.rpc.model.interface import ModelError
from spindle.rpc.protocol.settings import DangerFullAccessPolicy, ReadOnlyPolicy
from spindle.rpc.protocol.thread_settings import ThreadSettingsUpdateParams
from spindle.storage.config.editing import set_values
from spindle.storage.config.hooks import hook_config
from spindle.storage.config.trusting import approve, proposals

from .agent_plays import (
    FREE,
    agent_of,
    ask,
    call,
    close,
    loaded,
    notice,
    notices,
    outputs_of,
    send,
    spawn,
    wait,
)


async def test_an_agent_is_a_thread_and_its_end_is_reported(play, lines, tmp_path):
    opening, cast = play(root=[[spawn()], [wait()], ["thanks"]], child=[["found it"]])
    async with opening as runtime, runtime.start_thread(cwd=tmp_path) as thread:
        assert (await thread.run("go")).text == "thanks"
        spawned = orjson.loads(outputs_of(cast)["spawn"])
        id = spawned["agent_id"]
        assert orjson.loads(outputs_of(cast)["wait"]) == {"status": {id: {"completed": "found it"}}, "timed_out": False}
        assert notices(cast) == [notice(id, {"completed": "found it"})]
        assert loaded(runtime) == sorted([thread.id, id])
        [request] = cast.parts["child"].requests
        assert cast.parts["child"].conversation() == ["child do it"]
        assert (request.raw.subagent, request.raw.parent_thread_id) == ("collab_spawn", thread.id)
        state = runtime._backend.registry.directory.state(id)
        source = {"parent_thread_id": thread.id, "depth": 1, "agent_path": None, "agent_role": None}
        source["agent_nickname"] = spawned["nickname"]
        assert state.source == {"subAgent": {"thread_spawn": source}}
        meta = lines(state.conversation.path)[0]
        assert (meta["source"], meta["agent_nickname"]) == ({"subagent": {"thread_spawn": source}}, spawned["nickname"])
        read = await thread.read(include_turns=True)
        tools = [item.tool for turn in read.turns for item in turn.items if item.type == "collabAgentToolCall"]
        assert tools == ["spawnAgent", "wait"]
    assert loaded(runtime) == []


async def test_an_agent_does_not_run_a_hook_that_the_model_changed(play, tmp_path):
    """Codex has approved the hook, but not the files that it runs: those are the ones that the thread was loaded with."""
    mark, script, hooks = tmp_path / "mark", tmp_path / "s.sh", tmp_path / ".codex/hooks.json"
    (tmp_path / ".git").mkdir()
    hooks.parent.mkdir()
    hooks.write_text(json.dumps({"hooks": {"Stop": [{"hooks": [{"type": "command", "command": f"sh {script}"}]}]}}))
    script.write_text("true")

    def change(outputs):
        script.write_text(f"touch {mark}")
        return spawn()

    opening, _ = play(root=[[change], [wait()], ["thanks"]], child=[["found it"]])
    async with opening as runtime:
        home = runtime._backend.home.config_file
        home.write_text(f'[projects."{tmp_path}"]\ntrust_level = "trusted"\n')
        [hook] = hook_config(runtime._backend.config_loader.load(tmp_path)).listed
        set_values(home, {("hooks", "state", hook.key, "trusted_hash"): hook.hash})
        async with runtime.start_thread(cwd=tmp_path) as thread:
            assert len(runtime._backend.registry.directory.state(thread.id).hooks.handlers) == 1
            assert (await thread.run("go")).text == "thanks"
        assert not mark.exists()
        approve(runtime._backend.config_loader, proposals(runtime._backend.config_loader, tmp_path))
        async with runtime.start_thread(cwd=tmp_path) as thread:
            await thread.run("go")
        assert mark.exists()


async def test_an_agent_starts_with_its_parents_settings(play, tmp_path):
    opening, cast = play(root=[[spawn()], [wait()]])
    (tmp_path / "sub").mkdir()
    async with opening as runtime:
        params = {"developer_instructions": "Be brief", "base_instructions": "Base", "sandbox": "read-only"}
        async with runtime.start_thread(model="gpt-5.2", cwd=tmp_path / "sub", **params) as thread:
            await thread.run("go", effort="high")
            state = runtime._backend.registry.directory.state
            own, agent = (state(id).settings for id in (thread.id, agent_of(outputs_of(cast))))
            assert agent == own
            assert (agent.model, agent.effort, agent.cwd) == ("gpt-5.2", "high", str(tmp_path / "sub"))
            assert cast.parts["child"].requests[0].instructions == "Base"


async def test_an_agent_may_have_its_own_model_and_role(play, tmp_path):
    (tmp_path / "home").mkdir()
    own = ['model_reasoning_effort = "low"', 'sandbox_mode = "danger-full-access"', 'developer_instructions = "Read"']
    (tmp_path / "home/r.toml").write_text("\n".join(own))
    roles = {"reader": {"config_file": "r.toml", "nickname_candidates": ["Ann"]}, "lost": {"config_file": "no.toml"}}
    config = [("agents", roles)]
    reader = spawn(agent_type="reader", model="gpt-5.2", reasoning_effort="high")
    answers = [[reader], [spawn(agent_type="lost", id="lost")]]
    opening, cast = play(config, root=answers)
    async with opening as runtime, runtime.start_thread(cwd=tmp_path, sandbox="read-only") as thread:
        await thread.run("go")
        spawned = orjson.loads(outputs_of(cast)["spawn"])
        settings = runtime._backend.registry.directory.state(spawned["agent_id"]).settings
        assert (settings.model, settings.effort, settings.developer_instructions) == ("gpt-5.2", "low", "Read")
        assert settings.sandbox == runtime._backend.registry.directory.state(thread.id).settings.sandbox
        assert spawned["nickname"] == "Ann"
        assert runtime._backend.registry.directory.state(spawned["agent_id"]).agent_role == "reader"
        assert outputs_of(cast)["lost"] == f"collab spawn failed: there is no file {tmp_path}/home/no.toml"
        assert len(loaded(runtime)) == 2


async def test_a_forked_agent_starts_with_its_parents_messages(play, tmp_path):
    opening, cast = play(root=[["first answer"], [spawn("child go on", fork_context=True)], [wait()]])
    async with opening as runtime, runtime.start_thread(cwd=tmp_path) as thread:
        await thread.run("hello")
        await thread.run("again")
        assert cast.parts["child"].conversation() == ["hello", "first answer", "again", "child go on"]
        read = (await ask(runtime, agent_of(outputs_of(cast)), lambda reply: ReadThread(reply=reply))).thread
        assert (read.forked_from_id, read.parent_thread_id) == (thread.id, thread.id)


async def test_an_agents_report_comes_with_the_next_turn_if_none_runs(play, lines, witness, tmp_path):
    done = trio.Event()
    opening, cast = play(root=[[spawn()], ["later"]], child=[[done, "late"]])
    async with opening as runtime, runtime.start_thread(cwd=tmp_path) as thread:
        assert (await thread.run("go")).text == "later"
        id = agent_of(outputs_of(cast))
        seen = witness(runtime)
        done.set()
        await seen.next("thread/status/changed")
        await thread.read()  # after what its agent has sent it
        assert notice(id, {"completed": "late"}) in str(lines(thread)[-1]["content"][0]["text"])
        await thread.run("and?")
        assert notices(cast) == [notice(id, {"completed": "late"})]


async def test_a_parent_sends_input_to_an_agent_and_interrupts_it(play, tmp_path):
    never = trio.Event()
    answers = [[spawn()], [wait("w1")], [send("child more", "s1")], [send("child now", "s2", interrupt=True)], [wait("w2")]]
    opening, cast = play(root=answers, child=[["one"], [never, "two"], ["three"]])
    async with opening as runtime, runtime.start_thread(cwd=tmp_path) as thread:
        await thread.run("go")
        outputs = outputs_of(cast)
        assert orjson.loads(outputs["w2"])["status"] == {agent_of(outputs): {"completed": "three"}}
        assert cast.parts["child"].conversation()[-1] == "child now"
        assert orjson.loads(outputs["s1"])["submission_id"] != orjson.loads(outputs["s2"])["submission_id"]
        assert len(notices(cast)) == 1  # of the first end only


async def test_a_failed_agent_reports_its_error(play, tmp_path):
    opening, cast = play(root=[[spawn()], [wait()]], child=[[ModelError("bad child", "other")]])
    async with opening as runtime, runtime.start_thread(cwd=tmp_path) as thread:
        await thread.run("go")
        outputs = outputs_of(cast)
        assert orjson.loads(outputs["wait"])["status"] == {agent_of(outputs): {"errored": "bad child"}}


async def test_an_interrupted_agent_can_continue(play, autojump_clock, tmp_path):
    never = trio.Event()
    opening, cast = play(root=[[spawn()], [wait()]], child=[[never, "one"]])
    async with opening as runtime, runtime.start_thread(cwd=tmp_path) as thread, thread.turn("go") as turn:
        async for event in turn:
            if event.METHOD == "item/started" and getattr(event.item, "tool", None) == "wait":
                [id] = event.item.receiver_thread_ids
                await cast.parts["child"].waiting.wait()
                running = runtime._backend.registry.turn_id(id)
                await ask(runtime, id, lambda reply, running=running: InterruptTurn(reply=reply, turn_id=running))
        assert orjson.loads(outputs_of(cast)["wait"]) == {"status": {}, "timed_out": True}


async def test_a_closed_agent_is_not_loaded_and_its_parent_can_resume_it(play, tmp_path):
    def resume(id):
        return lambda outputs: call("resume_agent", {"id": agent_of(outputs)}, id)

    closed = [[spawn()], [wait()], [close("c1")], [wait("w2")], ["ok"]]
    opening, cast = play(
        root=[*closed, [resume("r1")], [send("child more", "s1")], [wait("w3")], ["ok"], [close("c2")]],
        child=[["one"], ["two"]],
    )
    async with opening as runtime, runtime.start_thread(cwd=tmp_path) as thread:
        await thread.run("close it")
        outputs = outputs_of(cast)
        id = agent_of(outputs)
        assert orjson.loads(outputs["c1"]) == {"previous_status": {"completed": "one"}}
        assert orjson.loads(outputs["w2"]) == {"status": {id: "not_found"}, "timed_out": False}
        assert loaded(runtime) == [thread.id]
        await thread.run("resume it")
        outputs = outputs_of(cast)
        assert orjson.loads(outputs["r1"]) == {"status": "pending_init"}
        assert orjson.loads(outputs["w3"])["status"] == {id: {"completed": "two"}}
        assert cast.parts["child"].conversation() == ["child do it", "one", "child more"]
        assert loaded(runtime) == sorted([thread.id, id])
        await thread.run("close it again")
        assert loaded(runtime) == [thread.id]


async def test_an_agents_turn_has_the_bounds_of_the_turn_that_sends_it_input(play, tmp_path):
    (tmp_path / "sub").mkdir()

    def resume(outputs):
        return call("resume_agent", {"id": agent_of(outputs)}, "resume")

    root = [[spawn()], [wait()], ["ok"], [send("child more", "s1")], [wait("w2")], [close()], ["ok"]]
    opening, cast = play(root=[*root, [resume], [send("child again", "s2")], [wait("w3")], ["ok"]], child=[])
    narrow = {"cwd": str(tmp_path / "sub"), "approval_policy": "untrusted", "sandbox_policy": ReadOnlyPolicy()}
    narrow["approvals_reviewer"] = "auto_review"

    def bounds(runtime, id):
        settings = runtime._backend.registry.directory.state(id).settings
        return settings.cwd, settings.approval_policy, settings.sandbox, settings.approvals_reviewer

    async with opening as runtime, runtime.start_thread(cwd=tmp_path) as thread:
        await thread.run("go")
        id = agent_of(outputs_of(cast))
        seen = None
        async with thread.turn("less", **narrow) as turn:
            async for event in turn:
                if event.METHOD == "item/completed" and getattr(event.item, "tool", None) == "wait":
                    seen = bounds(runtime, id)
        assert seen == bounds(runtime, thread.id)
        await thread.run("again", cwd=str(tmp_path), approval_policy="on-request")
        assert bounds(runtime, id) == bounds(runtime, thread.id)
        assert bounds(runtime, id)[:2] == (str(tmp_path), "on-request")


async def test_input_does_not_join_an_agents_turn_with_other_bounds(play, tmp_path):
    done = trio.Event()
    root = [[spawn()], ["ok"], [send("child more", "s1")], [send("child now", "s2", interrupt=True)], [wait()], ["ok"]]
    opening, cast = play(root=root, child=[[done, "one"], ["two"]])
    async with opening as runtime, runtime.start_thread(cwd=tmp_path) as thread:
        await thread.run("go")
        await cast.parts["child"].waiting.wait()
        await thread.run("less", sandbox_policy=ReadOnlyPolicy())
        outputs = outputs_of(cast)
        assert outputs["s1"] == f"collab send failed: {OTHER_BOUNDS}"
        assert orjson.loads(outputs["wait"])["status"] == {agent_of(outputs): {"completed": "two"}}
        assert runtime._backend.registry.directory.state(agent_of(outputs)).settings.sandbox == ReadOnlyPolicy()
        assert cast.parts["child"].conversation() == ["child do it", "child now"]


async def test_an_agent_gets_the_settings_of_the_turn_that_starts_it(play, tmp_path):
    opening, cast = play([("sandbox_mode", "read-only"), ("approval_policy", "never")], root=[[], [wait()]])
    async with opening as runtime, runtime.start_thread(cwd=tmp_path) as thread:
        go_on = trio.Event()
        cast.lines["root"][0].extend([go_on, spawn()])
        async with trio.open_nursery() as nursery:
            nursery.start_soon(thread.run, "go")
            await cast.parts["root"].waiting.wait()
            params = ThreadSettingsUpdateParams(thread_id=thread.id, sandbox_policy=DangerFullAccessPolicy())
            await ask(runtime, thread.id, lambda reply: UpdateSettings(reply=reply, params=params))
            go_on.set()
        agent = runtime._backend.registry.directory.state(agent_of(outputs_of(cast)))
        assert agent.settings.sandbox == ReadOnlyPolicy()


async def test_a_thread_resumes_only_its_own_agents(play, tmp_path):
    opening, cast = play()
    async with opening as runtime:
        async with runtime.start_thread(cwd=tmp_path) as other:
            await other.run("child hi")
        cast.lines["root"].append([call("resume_agent", {"id": other.id}, "r1")])
        async with runtime.start_thread(cwd=tmp_path) as thread:
            await thread.run("go")
            assert outputs_of(cast)["r1"] == f"agent with id {other.id} not found"
            assert loaded(runtime) == [thread.id]


async def test_the_number_of_agents_is_limited(play, tmp_path):
    answers = [[spawn(id="a")], [spawn(id="b")], [spawn(id="c")], [close(spawned="a")], [spawn(id="d")]]
    opening, cast = play([*FREE, ("agents.max_threads", 2)], root=answers)
    async with opening as runtime, runtime.start_thread(cwd=tmp_path) as thread:
        await thread.run("go")
        outputs = outputs_of(cast)
        assert outputs["c"] == "collab spawn failed: agent thread limit reached (max 2)"
        names = {orjson.loads(outputs[id])["nickname"] for id in "ab"}
        assert (len(names), len(loaded(runtime)), "agent_id" in outputs["d"]) == (2, 3, True)


async def test_agents_start_agents_up_to_the_depth_limit_and_are_closed_together(play, tmp_path):
    config = [*FREE, ("agents.max_depth", 2)]
    parts = {"child": [[spawn("grandchild deeper", id="deeper")], ["one"]], "grandchild": [["two"]]}
    opening, cast = play(config, root=[[spawn()], [wait()], ["ok"], [close()]], **parts)
    async with opening as runtime, runtime.start_thread(cwd=tmp_path) as thread:
        await thread.run("go")
        assert len(loaded(runtime)) == 3
        await thread.run("close it")
        assert loaded(runtime) == [thread.id]
        offered = {name: [tool.get("name") for tool in part.requests[0].raw.tools] for name, part in cast.parts.items()}
        assert ["spawn_agent" in offered[name] for name in ("root", "child", "grandchild")] == [True, True, False]


async def test_agents_can_be_switched_off(play, tmp_path):
    opening, cast = play([*FREE, ("features.multi_agent", False)], root=[[spawn()]])
    async with opening as runtime, runtime.start_thread(cwd=tmp_path) as thread:
        await thread.run("go")
        assert outputs_of(cast)["spawn"] == "unsupported call: spawn_agent"
