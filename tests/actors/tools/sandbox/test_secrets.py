"""Under each mechanism, commands can read the folders and instructions of a Codex home, and no credentials."""

from __future__ import annotations

import base64
import json
import os
import sys
from typing import TYPE_CHECKING, Any

import pytest
import trio

from spindle import open_runtime
from spindle.actors.tools.sandbox.confinement import of_policy
from spindle.actors.tools.sandbox.profile import of_profile
from spindle.rpc.protocol.settings import DangerFullAccessPolicy, ReadOnlyPolicy, SandboxPolicy

from .test_profiles_in_turns import PICTURE

if TYPE_CHECKING:
    from tests.actors.tools.sandbox.conftest import Confiner, World

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs a sandbox that is known to work")

SECRETS = (
    "auth.json",
    ".credentials.json",
    ".env",
    "auth.json.old",
    "config.toml",
    "history.jsonl",
    "secrets/local.age",
)
SHOWN = ("AGENTS.md", "skills/mine/SKILL.md", "sessions/one.jsonl", "linked/more")


@pytest.fixture
def filled(world: World) -> World:
    """A home with all files; each contains its own name."""
    (world.home / "linked").symlink_to(world.out)
    (world.home / "dangling").symlink_to("nowhere")
    for name in (*SECRETS, *SHOWN):
        path = world.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"<{name}>")
    return world


def reads(world: World, *names: str) -> str:
    return "; ".join(f"cat {world.home}/{name}" for name in names)


def tags(*names: str) -> str:
    return "".join(f"<{name}>" for name in names)


@pytest.mark.parametrize("policy", ["read-only", "workspace", "a root above the home"])
async def test_credentials_are_hidden_and_files_that_commands_need_are_not(
    confiner: Confiner, filled: World, policy: str
) -> None:
    policies: dict[str, SandboxPolicy] = {
        "read-only": ReadOnlyPolicy(),
        "workspace": filled.policy(),
        "a root above the home": filled.policy(filled.root),
    }
    chosen = policies[policy]
    done = await confiner.shell(reads(filled, *SECRETS, *SHOWN), chosen)
    assert done.stdout == tags(*SHOWN), done
    done = await confiner.shell(f"echo x >{filled.home}/auth.json; echo x >{filled.home}/skills/new; true", chosen)
    assert (filled.home / "auth.json").read_text() == "<auth.json>"
    assert not (filled.home / "skills/new").exists()
    done = await confiner.shell(f"ls {filled.root} / && cat {filled.out}/file", chosen)
    assert (done.returncode, "home" in done.stdout, done.stdout.endswith("# original")) == (0, True, True), done


async def test_a_workspace_inside_the_home_is_worked_in(confiner: Confiner, filled: World) -> None:
    inside = filled.home / "worktrees/one"
    (inside / "sub").mkdir(parents=True)
    confinement = of_policy(filled.policy(inside), filled.place)
    script = f"echo new >{inside}/sub/file; {reads(filled, *SECRETS, *SHOWN)}"
    done = await confiner.run("/bin/sh", "-c", script, confinement=confinement)
    assert done.stdout == tags(*SHOWN), done
    assert (inside / "sub/file").read_text() == "new\n"


async def test_files_written_while_a_command_runs_are_hidden(confiner: Confiner, filled: World) -> None:
    """By renaming, as a login does: over an existing file, and as a new one."""
    (filled.home / ".credentials.json").unlink()
    for name in ("up", "go"):
        os.mkfifo(filled.ws / name)
    script = f"echo >up; read line <go; {reads(filled, 'auth.json', '.credentials.json', 'AGENTS.md')}"
    printed: list[str] = []

    async def run() -> None:
        confinement = of_policy(filled.policy(), filled.place)
        assert confinement is not None
        argv = ["/bin/sh", "-c", script]
        async with confiner.sandbox.confined(confinement, argv, filled.environment) as command:
            done = await trio.run_process(
                command.argv, env=command.env, cwd=filled.ws, capture_stdout=True, capture_stderr=True, check=False
            )
            printed.append(done.stdout.decode())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        await trio.to_thread.run_sync((filled.ws / "up").read_text)
        for name in ("auth.json", ".credentials.json"):
            (filled.home / "new").write_text("NEW")
            (filled.home / "new").rename(filled.home / name)
        await trio.to_thread.run_sync((filled.ws / "go").write_text, "\n")
    assert printed == ["<AGENTS.md>"]


async def test_a_file_that_a_profile_names_can_be_read_and_not_written(confiner: Confiner, filled: World) -> None:
    entries = [
        {"access": "read", "path": {"type": "special", "value": {"kind": "root"}}},
        {"access": "write", "path": {"type": "path", "path": f"{filled.home}/auth.json"}},
    ]
    confinement = of_profile({"fileSystem": {"entries": entries}}, filled.place)
    script = f"echo x >>{filled.home}/auth.json; {reads(filled, *SECRETS)}"
    done = await confiner.run("/bin/sh", "-c", script, confinement=confinement)
    assert done.stdout == "<auth.json>", done


async def test_credentials_that_are_links_are_hidden_where_they_are(confiner: Confiner, filled: World) -> None:
    (filled.home / "auth.json").rename(filled.out / "auth")
    (filled.home / "auth.json").symlink_to(filled.out / "auth")
    done = await confiner.shell(f"cat {filled.home}/auth.json {filled.out}/auth; cat {filled.out}/file")
    assert done.stdout == "# original", done


async def test_the_names_in_a_hidden_folder_are_hidden(confiner: Confiner, filled: World) -> None:
    """The names in the home are not hidden; those in a folder that a profile hides are."""
    (filled.out / "deep").mkdir()
    (filled.out / "deep/file").write_text("<shown>")
    entries = [
        {"access": "read", "path": {"type": "special", "value": {"kind": "root"}}},
        {"access": "none", "path": {"type": "path", "path": str(filled.out)}},
        {"access": "read", "path": {"type": "path", "path": str(filled.out / "deep")}},
    ]
    confinement = of_profile({"fileSystem": {"entries": entries}}, filled.place)
    done = await confiner.run("/bin/sh", "-c", f"cat {filled.out}/deep/file; ls {filled.out}", confinement=confinement)
    assert "<shown>" in done.stdout, done
    assert "file" not in done.stdout.replace("<shown>", ""), done


@pytest.mark.parametrize("policy", ["read-only", "workspace"])
async def test_images_and_patches_do_not_show_them(filled: World, policy: str, scripted: Any) -> None:
    picture = filled.home / "auth.json"
    picture.write_bytes(base64.b64decode(PICTURE))
    text = f"*** Begin Patch\n*** Update File: {filled.home}/config.toml\n@@\n-<config.toml>\n+x\n*** End Patch\n"
    look = {
        "type": "function_call",
        "call_id": "d",
        "name": "view_image",
        "arguments": json.dumps({"path": str(picture)}),
    }
    change = {"type": "custom_tool_call", "call_id": "c", "name": "apply_patch", "input": text}
    model = scripted([look], [change], ["no"], [look], ["yes"])
    opening = open_runtime(home=filled.home, model=model, config=[("approval_policy", "never")])
    (filled.home / "config.toml").write_text("# <config.toml>")
    asked = ReadOnlyPolicy() if policy == "read-only" else filled.policy()

    def outputs() -> list[Any]:
        return [item["output"] for item in map(json.loads, model.requests[-1].input) if "output" in item]

    async with opening as runtime, runtime.start_thread(cwd=filled.ws, model="gpt-5.4") as thread:
        await thread.run("go", sandbox_policy=asked)
        seen, changed = outputs()
        assert "does not let it be read" in seen
        assert "Permission denied" in changed
        await thread.run("look", sandbox_policy=DangerFullAccessPolicy())
        assert outputs()[-1][0]["type"] == "input_image"
