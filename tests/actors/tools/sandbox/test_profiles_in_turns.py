"""A permission profile applies to the commands, patches and images of a turn, wherever it comes from."""

from __future__ import annotations

import base64
import json
import os
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest

from spindle import open_runtime
from spindle.actors.settings.permissions import policy_of
from spindle.actors.thread.messages import UpdateSettings
from spindle.actors.tools.sandbox.sandbox import Sandbox
from spindle.rpc.protocol.settings import ReadOnlyPolicy
from spindle.rpc.protocol.thread_settings import ThreadSettingsUpdateParams

from .conftest import NAMES, World, offered

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs a sandbox that is known to work")

NEVER = [("approval_policy", "never")]
PICTURE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
"""One pixel, as PNG."""
SCRIPT = "cat secret; cat sub/.env; echo made > new; echo made > sub/new; echo made > {out}/new; ls; true"


def special(kind: str, access: str, **more: str) -> dict[str, Any]:
    return {"path": {"type": "special", "value": {"kind": kind, **more}}, "access": access}


def path(place: Path, access: str) -> dict[str, Any]:
    return {"path": {"type": "path", "path": str(place)}, "access": access}


def pattern(text: str) -> dict[str, Any]:
    return {"path": {"type": "glob_pattern", "pattern": text}, "access": "none"}


def profile(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"network": {"enabled": False}, "fileSystem": {"entries": list(entries)}}


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(Path(os.path.realpath(tmp_path)) / "world")
    (made.ws / "secret").write_text("SECRET")
    (made.ws / "sub/.env").write_text("TOKEN")
    return made


@pytest.fixture(params=NAMES)
def sandbox(request: pytest.FixtureRequest) -> Sandbox:
    found = offered()[request.param]
    if isinstance(found, str):
        pytest.skip(f"no {request.param} here: {found}")
    return Sandbox(found)


@pytest.fixture
def any_sandbox() -> Sandbox:
    return Sandbox()


def execute(script: str) -> list[dict[str, Any]]:
    asked = {"cmd": script, "login": False, "yield_time_ms": 30_000}
    return [{"type": "function_call", "call_id": "c", "name": "exec_command", "arguments": json.dumps(asked)}]


def last_output(model: Any) -> Any:
    items = map(json.loads, model.requests[-1].input)
    return [item["output"] for item in items if item["type"].endswith("_call_output")][-1]


def strict(world: World) -> dict[str, Any]:
    """Read everything except two paths, write in the workspace except one folder."""
    return profile(
        special("root", "read"),
        special("project_roots", "write"),
        special("project_roots", "read", subpath="sub"),
        path(world.ws / "secret", "none"),
        pattern("**/.env"),
    )


async def test_the_profile_of_a_turn_holds_for_its_commands(
    sandbox: Sandbox, world: World, scripted: Any
) -> None:
    model = scripted(execute(SCRIPT.format(out=world.out)), ["done"])
    async with open_runtime(home=world.home, model=model, config=NEVER) as runtime:
        runtime._backend.services.sandbox = sandbox
        async with runtime.start_thread(cwd=world.ws) as thread:
            await thread.run("go", permission_profile=strict(world))
    said = last_output(model)
    assert "SECRET" not in said
    assert "TOKEN" not in said
    assert not (world.ws / "sub/new").exists()
    assert not (world.out / "new").exists()
    landlock = type(sandbox.mechanism()).__name__ == "Landlock"  # nothing new at the top of a root with protected names
    assert (world.ws / "new").exists() == (not landlock)


async def test_a_profile_that_reaches_beyond_the_workspace(sandbox: Sandbox, world: World, scripted: Any) -> None:
    model = scripted(execute(f"echo made > {world.out}/sub/below/new; echo made > new; true"), ["done"])
    (world.out / "sub/below").mkdir(parents=True)
    asked = profile(special("minimal", "read"), path(world.ws, "read"), path(world.out / "sub", "write"))
    async with open_runtime(home=world.home, model=model, config=NEVER) as runtime:
        runtime._backend.services.sandbox = sandbox
        async with runtime.start_thread(cwd=world.ws, permission_profile=asked) as thread:
            await thread.run("go")
            assert thread.info.permission_profile == asked
    assert (world.out / "sub/below/new").exists(), last_output(model)
    assert not (world.ws / "new").exists()


async def test_patches_and_images_keep_to_it(any_sandbox: Sandbox, world: World, scripted: Any) -> None:
    (world.ws / "secret").write_bytes(base64.b64decode(PICTURE))
    written = "*** Begin Patch\n*** Add File: sub/new\n+x\n*** End Patch\n"
    change = [{"type": "custom_tool_call", "call_id": "c", "name": "apply_patch", "input": written}]
    look = [{"type": "function_call", "call_id": "d", "name": "view_image", "arguments": '{"path": "secret"}'}]
    model = scripted(change, ["one"], look, ["two"])
    opening = open_runtime(home=world.home, model=model, config=NEVER)
    asked: dict[str, Any] = {"cwd": world.ws, "model": "gpt-5.4", "permission_profile": strict(world)}
    async with opening as runtime, runtime.start_thread(**asked) as thread:
        await thread.run("go")
        assert "rejected" in last_output(model)
        await thread.run("look")
        assert "does not let it be read" in last_output(model)
        model.answers.extend([look, ["three"]])
        await thread.run("look again", sandbox_policy=ReadOnlyPolicy())
        assert last_output(model)[0]["type"] == "input_image"
    assert not (world.ws / "sub/new").exists()


@pytest.mark.parametrize(
    ("hunk", "shown"),
    [
        ("*** Update File: link\n*** Move to: copy\n@@\n+x\n", "link"),
        ("*** Update File: secret\n@@\n-SECRET\n+x\n", "secret"),
        ("*** Update File: secret\n@@\n-WRONG\n+x\n", "secret"),
    ],
    ids=["link", "right", "wrong"],
)
async def test_a_patch_reveals_nothing_of_hidden_files(
    world: World, scripted: Any, hunk: str, shown: str
) -> None:
    os.symlink(world.ws / "secret", world.ws / "link")
    written = f"*** Begin Patch\n{hunk}*** End Patch\n"
    model = scripted([{"type": "custom_tool_call", "call_id": "c", "name": "apply_patch", "input": written}], ["no"])
    opening = open_runtime(home=world.home, model=model, config=NEVER)
    asked: dict[str, Any] = {"cwd": world.ws, "model": "gpt-5.4", "permission_profile": strict(world)}
    async with opening as runtime, runtime.start_thread(**asked) as thread:
        await thread.run("go")
    refused = f"Failed to read file to update {world.ws}/{shown}: Permission denied (os error 13)"
    assert last_output(model) == f"apply_patch verification failed: {refused}"
    assert not (world.ws / "copy").exists()


async def test_restricted_reading_holds_for_images_and_patches(
    world: World, scripted: Any
) -> None:
    (world.out / "picture").write_bytes(base64.b64decode(PICTURE))
    look = {"type": "function_call", "call_id": "d", "name": "view_image"}
    look["arguments"] = json.dumps({"path": str(world.out / "picture")})
    written = f"*** Begin Patch\n*** Delete File: {world.out}/picture\n*** End Patch\n"
    change = {"type": "custom_tool_call", "call_id": "c", "name": "apply_patch", "input": written}
    model = scripted([look], [change], ["no"])
    opening = open_runtime(home=world.home, model=model, config=NEVER)
    asked = profile(special("minimal", "read"), path(world.ws, "read"))
    async with opening as runtime, runtime.start_thread(cwd=world.ws, model="gpt-5.4") as thread:
        await thread.run("go", sandbox_policy=policy_of(asked))
        outputs = [item["output"] for item in map(orjson.loads, model.requests[-1].input) if "output" in item]
    assert "does not let it be read" in outputs[0]
    assert "Permission denied" in outputs[1]


async def test_an_agent_gets_no_image_that_its_parent_may_not_read(world: World, scripted: Any) -> None:
    (world.ws / "secret").write_bytes(base64.b64decode(PICTURE))
    items = [{"type": "local_image", "path": "secret"}, {"type": "text", "text": "look"}]

    def call(name: str, **given: Any) -> list[dict[str, Any]]:
        arguments = json.dumps({"items": items, **given})
        return [{"type": "function_call", "call_id": name, "name": name, "arguments": arguments}]

    model = scripted(call("spawn_agent"), call("send_input", target="01a21d2d-61d1-70d0-9353-79f455ec4300"), ["no"])
    opening = open_runtime(home=world.home, model=model, config=NEVER)
    asked: dict[str, Any] = {"cwd": world.ws, "model": "gpt-5.4", "permission_profile": strict(world)}
    async with opening as runtime, runtime.start_thread(**asked) as thread:
        await thread.run("go")
        outputs = [item["output"] for item in map(orjson.loads, model.requests[-1].input) if "output" in item]
        refused = f"unable to locate image at `{world.ws}/secret`: the sandbox does not let it be read"
        assert set(outputs) == {refused}
        assert runtime._backend.registry.directory.loaded() == [thread.id]


async def test_it_is_recorded_and_shown_and_ends_with_the_next_policy(
    any_sandbox: Sandbox, world: World, scripted: Any
) -> None:
    model = scripted(["one"], execute("cat secret; true"), ["two"], ["three"])
    async with open_runtime(home=world.home, model=model, config=NEVER) as runtime:
        async with runtime.start_thread(cwd=world.ws) as thread:
            await thread.run("go", permission_profile=strict(world))
        assert f"Not to be read: `{world.ws}/secret`, `**/.env`." in str(model.texts[-1])
        async with runtime.resume_thread(thread.id) as again:
            assert again.info.permission_profile == strict(world)
            await again.run("go on")
            assert "SECRET" not in last_output(model)
            await again.run("and on", sandbox_policy=ReadOnlyPolicy())
        async with runtime.resume_thread(thread.id) as again:
            assert again.info.sandbox == ReadOnlyPolicy()
            assert "secret" not in str(again.info.permission_profile)


async def test_a_profile_of_the_configuration(any_sandbox: Sandbox, world: World, scripted: Any) -> None:
    (world.home / "config.toml").write_text(
        f'default_permissions = "mine"\napproval_policy = "never"\n'
        f'[permissions.mine.filesystem]\n":root" = "read"\n"{world.ws}/secret" = "none"\n'
        f'[permissions.mine.filesystem.":project_roots"]\n"sub" = "write"\n"**/.env" = "none"\n'
        f'[permissions.open.filesystem]\n":root" = "read"\n"{world.out}" = "none"\n'
    )
    model = scripted(execute(SCRIPT.format(out=world.out)), ["done"])
    async with open_runtime(home=world.home, model=model) as runtime:
        async with runtime.start_thread(cwd=world.ws) as thread:
            await thread.run("go")
            said = last_output(model)
            assert "SECRET" not in said
            assert "TOKEN" not in said
            assert (world.ws / "sub/new").exists()
            assert not (world.ws / "new").exists()

            def to_open(reply: Any) -> Any:
                params = ThreadSettingsUpdateParams(thread_id=thread.id, permissions="open")
                return UpdateSettings(reply=reply, params=params)

            await runtime._backend.registry._actors[thread.id].mailbox.ask(to_open)
            model.answers.extend([execute("cat secret; true"), ["two"]])
            await thread.run("again")
            assert "SECRET" in last_output(model)
        async with runtime.resume_thread(thread.id) as again:
            assert str(world.out) in str(again.info.permission_profile)


async def test_a_pattern_that_covers_too_much_stops_the_command(
    any_sandbox: Sandbox, world: World, scripted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spindle.actors.tools.sandbox.profile.SCAN_LIMIT", 1)
    model = scripted(execute("echo ran"), ["done"])
    opening = open_runtime(home=world.home, model=model, config=NEVER)
    async with opening as runtime, runtime.start_thread(cwd=world.ws) as thread:
        await thread.run("go", permission_profile=strict(world))
    assert "covers more than 1 files" in last_output(model)
