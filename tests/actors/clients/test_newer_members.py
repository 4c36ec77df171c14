"""Members of answers that clients of Codex 0.171 read and 0.124 did not have."""

import pytest


@pytest.mark.parametrize("method", ["thread/resume", "thread/fork"])
async def test_a_loaded_thread_says_where_its_commands_run_and_which_modes_are_in_force(opened, talk, tmp_path, method):
    roots = [str(tmp_path), str(tmp_path / "more")]
    async with opened() as runtime:
        client = await talk(runtime)
        started = await client.call("thread/start", runtimeWorkspaceRoots=roots, model="m", sandbox="workspace-write")
        id = started["thread"]["id"]
        await client.call("turn/start", threadId=id, input=[{"type": "text", "text": "hi"}])
        await client.wait_for("turn/completed", id)
        for answer in (started, await client.call(method, threadId=id, runtimeWorkspaceRoots=roots)):
            environment = {"environmentId": "local", "cwd": roots[0], "runtimeWorkspaceRoots": roots}
            assert answer["thread"]["environments"] == [environment]
            settings = {"model": "m", "reasoning_effort": None, "developer_instructions": None}
            assert answer["collaborationMode"] == {"mode": "default", "settings": settings}
            assert (answer["multiAgentMode"], answer["disabledPluginIds"]) == ("explicitRequestOnly", [])


async def test_a_thread_without_an_environment_has_none_and_one_that_is_not_loaded_does_not_say(opened, talk):
    async with opened() as runtime:
        client = await talk(runtime)
        thread = (await client.call("thread/start", environments=[]))["thread"]
        assert thread["environments"] == []
        await client.call("turn/start", threadId=thread["id"], input=[{"type": "text", "text": "hi"}])
        await client.wait_for("turn/completed", thread["id"])
    async with opened() as runtime:
        client = await talk(runtime)
        assert (await client.call("thread/read", threadId=thread["id"]))["thread"]["environments"] is None


async def test_reading_a_thread_says_what_is_unread_whether_it_is_loaded_or_not(opened, talk):
    async with opened() as runtime:
        client = await talk(runtime)
        id = (await client.call("thread/start"))["thread"]["id"]
        await client.call("turn/start", threadId=id, input=[{"type": "text", "text": "hi"}])
        turn = (await client.wait_for("turn/completed", id))["turn"]
        changed = await client.wait_for("thread/readState/changed", id)
        assert changed["readState"]["firstUnread"] == {"type": "turn", "turnId": turn["id"]}
        for turns in (False, True):
            read = await client.call("thread/read", threadId=id, includeTurns=turns)
            assert (read["readState"], len(read["thread"]["turns"])) == (changed["readState"], turns)
        ephemeral = (await client.call("thread/start", ephemeral=True))["thread"]["id"]
        assert (await client.call("thread/read", threadId=ephemeral))["readState"] is None
    async with opened() as runtime:
        client = await talk(runtime)
        for turns in (False, True):
            read = await client.call("thread/read", threadId=id, includeTurns=turns)
            assert (read["readState"], len(read["thread"]["turns"])) == (changed["readState"], turns)


async def test_a_model_with_a_speed_tier_names_the_service_tier_of_it(opened, talk):
    async with opened() as runtime:
        client = await talk(runtime)
        models = {model["id"]: model for model in (await client.call("model/list", modelProvider="openai"))["data"]}
        [tier] = models["gpt-5.4"]["serviceTiers"]
        assert (tier["id"], tier["name"]) == ("priority", "Fast")
        assert models["gpt-5.2"]["serviceTiers"] == []
