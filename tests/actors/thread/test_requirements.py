"""An administrator's requirements hold wherever settings come from. Tools that config.toml disables do not run."""

import json

import pytest

from spindle.actors.kernel.mailbox import answer
from spindle.actors.registry.messages import ToThread
from spindle.actors.settings.allowed import required_mode
from spindle.actors.settings.client import ClientName
from spindle.actors.settings.requests import settings_for
from spindle.actors.thread.loading.loading import open_thread
from spindle.actors.thread.loading.openings import AgentThread
from spindle.actors.thread.messages import StartTurn, UpdateSettings
from spindle.actors.tools.agents.agents import AgentName
from spindle.rpc.protocol.converter import structure
from spindle.rpc.protocol.errors import RpcError
from spindle.rpc.protocol.thread_settings import ThreadSettingsUpdateParams
from spindle.rpc.protocol.threads import ThreadStartParams
from spindle.rpc.protocol.turns import TurnStartParams
from spindle.storage.config import ConfigError, ConfigLoader
from spindle.storage.home import Home

DEMANDED = 'allowed_sandbox_modes = ["read-only"]\nallowed_approval_policies = ["on-request"]\n'
WANTED = [("sandbox_mode", "danger-full-access"), ("approval_policy", "never")]
WRITES_A = {"fileSystem": {"entries": [{"path": {"type": "path", "path": "/a"}, "access": "write"}]}}
ROOT = {"path": {"type": "special", "value": {"kind": "root"}}, "access": "write"}


def call(name, arguments):
    return {"type": "function_call", "call_id": "c1", "name": name, "arguments": json.dumps(arguments)}


@pytest.fixture
def demanding(opened, tmp_path):
    """demanding(runtime, config, text) -> None; the runtime's later threads must meet the requirements in `text`."""

    def demand(runtime, config=WANTED, text=DEMANDED):
        (tmp_path / "etc").mkdir(exist_ok=True)
        (tmp_path / "etc" / "requirements.toml").write_text(text)
        backend = runtime._backend
        backend.config_loader = ConfigLoader(backend.home, config, system_file=tmp_path / "etc" / "config.toml")

    return demand


def ruled(thread):
    return thread.info.approval_policy, thread.info.sandbox.type


async def warnings(thread, count):
    found = []
    async for event in thread.events():
        if event.METHOD == "warning":
            found.append(event.message)
            if len(found) == count:
                return found
    raise AssertionError("the thread has ended")


async def test_a_configured_setting_falls_back_to_an_allowed_one_with_a_warning(opened, demanding):
    async with opened() as runtime:
        demanding(runtime)
        async with runtime.start_thread() as thread:
            assert ruled(thread) == ("on-request", "readOnly")
            policy, mode = await warnings(thread, 2)
    assert "`approval_policy`: `never` is not in the allowed set [on-request] (set by /" in policy
    assert "falling back to required value read-only" in mode
    assert "`danger-full-access` is not in the allowed set [read-only]" in mode


@pytest.mark.parametrize(
    "params",
    [
        {"sandbox": "danger-full-access", "approval_policy": "never"},
        {"sandbox": "workspace-write"},
        {"config": {"sandbox_mode": "danger-full-access", "approval_policy": "never"}},
        {"permission_profile": {"fileSystem": {"entries": [ROOT]}}},
        {"permission_profile": WRITES_A},
    ],
)
async def test_parameters_and_overrides_are_held_to_the_requirements(opened, demanding, params):
    async with opened() as runtime:
        demanding(runtime, [])
        async with runtime.start_thread(**params) as thread:
            assert ruled(thread) == ("on-request", "readOnly")
            settings = runtime._backend.registry._actors[thread.id].core.state.settings
            assert (settings.profile, required_mode(settings)) == (None, "read-only")


async def test_recorded_settings_are_held_to_the_requirements(opened, demanding):
    async with opened(config=WANTED) as runtime, runtime.start_thread() as thread:
        assert ruled(thread) == ("never", "dangerFullAccess")
        await thread.run("go")
    async with opened() as runtime:
        demanding(runtime)
        async with runtime.resume_thread(thread.id) as resumed:
            assert ruled(resumed) == ("on-request", "readOnly")
        async with runtime.fork_thread(thread.id) as fork:
            assert ruled(fork) == ("on-request", "readOnly")


@pytest.mark.parametrize(
    ("params", "named"),
    [
        ({"sandboxPolicy": {"type": "dangerFullAccess"}}, "`danger-full-access` is not in the allowed set [read-only]"),
        ({"approvalPolicy": "never"}, "`never` is not in the allowed set [on-request]"),
        ({"permissionProfile": WRITES_A}, "`workspace-write` is not in the allowed set [read-only]"),
    ],
)
async def test_a_turn_that_asks_for_more_is_refused(opened, demanding, params, named):
    async with opened() as runtime:
        demanding(runtime, [])
        async with runtime.start_thread() as thread:
            given = structure({"threadId": thread.id, "input": [], **params}, TurnStartParams)
            with pytest.raises(RpcError) as refused:
                await answer(lambda r: runtime._backend.registry.route(ToThread(thread.id, StartTurn(reply=r, params=given))))
            assert (refused.value.code, named in refused.value.message) == (-32600, True)
            assert (await thread.run("go")).text.strip() == "ok"
            settings = runtime._backend.registry._actors[thread.id].core.state.settings
            assert (settings.approval_policy, required_mode(settings)) == ("on-request", "read-only")


@pytest.mark.parametrize(
    "params",
    [{"sandboxPolicy": {"type": "dangerFullAccess"}}, {"approvalPolicy": "never"}, {"permissions": ":workspace"}],
)
async def test_a_change_of_settings_that_asks_for_more_is_refused(opened, demanding, params):
    async with opened() as runtime:
        demanding(runtime, [])
        async with runtime.start_thread() as thread:
            given = structure({"threadId": thread.id, **params}, ThreadSettingsUpdateParams)
            actor = runtime._backend.registry._actors[thread.id]
            before = actor.core.state.settings
            with pytest.raises(RpcError, match="is not in the allowed set"):
                await actor.mailbox.ask(lambda r: UpdateSettings(reply=r, params=given))
            assert actor.core.state.settings == before


async def test_an_agents_settings_are_held_to_the_requirements(opened, demanding):
    async with opened() as runtime:
        demanding(runtime, [])
        services = runtime._backend.services
        config = services.config.load()
        wanted = settings_for(config, structure({"sandbox": "danger-full-access"}, ThreadStartParams), server_cwd="/")
        opening = AgentThread(
            settings=wanted,
            config=config,
            client=ClientName("tester", "tester"),
            parent_id="p",
            depth=1,
            name=AgentName(),
            ephemeral=True,
        )
        state = await open_thread(services, "0199a213-81c0-7800-8aa1-bbab2a035a53", opening)
        assert (required_mode(wanted), required_mode(state.settings)) == ("danger-full-access", "read-only")


async def test_no_thread_starts_with_an_unsupported_requirement(opened, demanding):
    async with opened() as runtime:
        demanding(runtime, [], 'enforce_residency = "us"')
        with pytest.raises(ConfigError, match="`enforce_residency`: this requirement is not supported"):
            async with runtime.start_thread():
                pass


@pytest.mark.parametrize(
    ("entries", "mode"),
    [
        ([ROOT], "danger-full-access"),
        ([{"path": {"type": "path", "path": "/"}, "access": "write"}], "danger-full-access"),
        (WRITES_A["fileSystem"]["entries"], "workspace-write"),
        ([{**ROOT, "access": "read"}], "read-only"),
    ],
)
def test_a_profile_needs_an_allowed_mode_that_grants_as_much(entries, mode, tmp_path):
    params = structure({"permissionProfile": {"fileSystem": {"entries": entries}}}, ThreadStartParams)
    loaded = ConfigLoader(Home(tmp_path), system_file=tmp_path / "none").load()
    assert required_mode(settings_for(loaded, params, server_cwd="/")) == mode


@pytest.mark.parametrize(
    "called",
    [
        call("exec_command", {"cmd": "touch {}", "login": False}),
        call("shell_command", {"command": "touch {}"}),
        call("shell", {"command": ["touch", "{}"]}),
    ],
)
async def test_without_the_shell_tool_it_is_not_offered_and_a_call_runs_nothing(opened, scripted, tmp_path, called):
    marker = tmp_path / "ran"
    model = scripted([json.loads(json.dumps(called).replace("{}", str(marker)))])
    config = [*WANTED, ("features.shell_tool", False)]
    async with opened(model, config=config) as runtime, runtime.start_thread(cwd=tmp_path) as thread:
        await thread.run("go")
        names = {tool.get("name") for tool in model.requests[0].raw.tools}
        assert names.isdisjoint({"exec_command", "write_stdin", "shell", "shell_command"})
        [told] = [json.loads(item) for item in model.requests[1].input if b"function_call_output" in item]
        assert "unsupported call" in told["output"]
    assert not marker.exists()


async def test_the_shell_tool_is_offered_by_default(opened, scripted, tmp_path):
    marker = tmp_path / "ran"
    model = scripted([call("exec_command", {"cmd": f"touch {marker}", "login": False})])
    async with opened(model, config=WANTED) as runtime, runtime.start_thread(cwd=tmp_path) as thread:
        await thread.run("go")
    assert marker.exists()


@pytest.mark.parametrize(
    ("config", "missing"),
    [
        (("agents.enabled", False), "spawn_agent"),
        (("features.collab", False), "spawn_agent"),
        (("features.view_image", False), "view_image"),
        (("tools.view_image", False), "view_image"),
        (("tools.experimental_request_user_input.enabled", False), "request_user_input"),
        (("tools.update_plan.enabled", False), "update_plan"),
        (("tools.web_search", False), "web_search"),
        (("features.experimental_use_unified_exec_tool", False), "exec_command"),
        (("experimental_use_unified_exec_tool", False), "exec_command"),
    ],
)
async def test_a_tool_that_is_switched_off_is_not_offered(opened, scripted, config, missing):
    model = scripted()
    async with opened(model) as runtime:
        async with runtime.start_thread() as thread:
            await thread.run("go")
        async with runtime.start_thread(config={config[0]: config[1]}) as thread:
            await thread.run("go")
    before, after = ({tool.get("name", tool["type"]) for tool in request.raw.tools} for request in model.requests)
    assert (missing in before, missing in after) == (True, False)


async def test_a_search_of_the_web_is_limited_as_configured(opened, scripted):
    config = {
        "tools.web_search.allowed_domains": ["example.com"],
        "tools.web_search.context_size": "high",
        "tools.web_search.location": {"country": "DE", "city": "Bonn"},
    }
    model = scripted()
    async with opened(model) as runtime, runtime.start_thread(config=config) as thread:
        await thread.run("go")
    [search] = [tool for tool in model.requests[0].raw.tools if tool["type"] == "web_search"]
    assert search == {
        "type": "web_search",
        "external_web_access": False,
        "filters": {"allowed_domains": ["example.com"]},
        "user_location": {"type": "approximate", "country": "DE", "city": "Bonn"},
        "search_context_size": "high",
    }


async def test_full_access_does_not_allow_the_live_web_where_only_cached_pages_are(opened, scripted, demanding):
    model = scripted()
    async with opened(model) as runtime:
        demanding(runtime, WANTED, 'allowed_web_search_modes = ["cached"]')
        async with runtime.start_thread() as thread:
            await thread.run("go")
    [search] = [tool for tool in model.requests[0].raw.tools if tool["type"] == "web_search"]
    assert search["external_web_access"] is False


@pytest.mark.parametrize(
    ("allowed", "asked", "shown"),
    [
        ('["user"]', "auto_review", "user"),
        ('["auto_review"]', "user", "auto_review"),
        ('["guardian_subagent"]', "auto_review", "auto_review"),
        ('["user", "auto_review"]', "guardian_subagent", "guardian_subagent"),
    ],
)
async def test_the_reviewer_is_one_that_is_allowed(opened, demanding, allowed, asked, shown):
    async with opened() as runtime:
        demanding(runtime, [("approvals_reviewer", asked)], f"allowed_approvals_reviewers = {allowed}")
        async with runtime.start_thread() as thread:
            assert thread.info.approvals_reviewer == shown
