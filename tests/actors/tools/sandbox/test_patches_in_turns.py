"""Patches obey the confinement of commands: a table of attempts, each in a whole turn.

As a call of the tool and as a command that is a patch the server writes it; in a script the program `apply_patch` does,
under each mechanism.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from spindle import open_runtime
from spindle.actors.tools.sandbox import confinement as confinements
from spindle.actors.tools.sandbox.sandbox import Sandbox

from .conftest import NAMES, World, offered

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="attempts are of Linux")

NEVER = [("approval_policy", "never")]
ASKING = [("approval_policy", "on-request")]
CHANGE = "@@\n-# original\n+x"


def git_file(world: World) -> None:
    """A worktree with its own and its common folder in the workspace."""
    (world.ws / ".git").rename(world.ws / "common")
    (world.ws / "meta").mkdir()
    (world.ws / ".git").write_text("gitdir: meta\n")
    (world.ws / "meta/commondir").write_text("../common\n")
    (world.ws / "meta/config.worktree").write_text("# original\n")


def linked(name: str) -> Callable[[World], None]:
    """The protected `name` is a link to the folder `real` in the workspace."""

    def link(world: World) -> None:
        (world.ws / "real").mkdir()
        (world.ws / "real/config").write_text("# original\n")
        if name == ".git":
            (world.ws / ".git").rename(world.ws / "moved")
        (world.ws / name).symlink_to("real")

    return link


def turned_root(world: World) -> None:
    (world.ws / "link").symlink_to(world.out)


def spindle(world: World) -> None:
    """Where the fixture says that this program lies."""
    for name in ("sandbox/confinement.py", "sandbox/enter.py", "commands/warden.py"):
        (world.ws / "spindle" / name).parent.mkdir(parents=True, exist_ok=True)
        (world.ws / "spindle" / name).write_text("# original\n")


def plain(world: World) -> None:
    """No preparation."""


@frozen
class Attempt:
    """A patch that must not be applied; `script`: a script tries it too."""

    name: str
    prepare: Callable[[World], None]
    patch: str
    script: bool = False


ATTEMPTS = [
    Attempt("hook of a worktree", git_file, "*** Add File: meta/hooks/new\n+x", script=True),
    Attempt("configuration of a worktree", git_file, f"*** Update File: meta/config.worktree\n{CHANGE}"),
    Attempt("hook of its common folder", git_file, "*** Add File: common/hooks/new\n+x", script=True),
    Attempt("moved into its common folder", git_file, f"*** Update File: file\n*** Move to: common/hooks/new\n{CHANGE}"),
    Attempt("the .git file", git_file, "*** Delete File: .git"),
    *(
        Attempt(f"{how} {name}", linked(name), f"*** Update File: {path}/config\n{CHANGE}", script=path == "real")
        for name in (".git", ".codex", ".agents")
        for how, path in (("where a link leads:", "real"), ("through the link", name))
    ),
    Attempt("new where a .codex link leads", linked(".codex"), "*** Add File: real/new\n+x"),
    Attempt("new beside a .codex link", linked(".codex"), "*** Add File: new\n+x", script=True),
    Attempt("a root behind a link that may be turned", turned_root, "*** Add File: {out}/new\n+x", script=True),
    Attempt("through that link", turned_root, "*** Add File: link/new\n+x"),
    Attempt("what enters the sandbox", spindle, f"*** Update File: spindle/sandbox/enter.py\n{CHANGE}", script=True),
    Attempt("a module beside it", spindle, "*** Add File: spindle/sandbox/new.py\n+x"),
    Attempt("what starts commands", spindle, f"*** Update File: spindle/commands/warden.py\n{CHANGE}", script=True),
    Attempt("what starts commands, removed", spindle, "*** Delete File: spindle/commands/warden.py"),
    Attempt("the home's configuration", plain, "*** Add File: {home}/config.toml\n+x", script=True),
    Attempt("a repository below", plain, "*** Add File: sub/.git/hooks/new\n+x"),
    Attempt("a device without end", plain, "*** Add File: /dev/zero\n+x"),
]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return Path(os.path.realpath(tmp_path))


def prepared(root: Path, attempt: Attempt, monkeypatch: pytest.MonkeyPatch) -> World:
    world = World(root / "world")
    for file in (world.ws / "file", world.home / "config.toml"):
        file.write_text("# original\n")
    attempt.prepare(world)
    if attempt.prepare is spindle:
        monkeypatch.setattr(confinements, "__file__", str(world.ws / "spindle/sandbox/confinement.py"))
    return world


def written(world: World, patch: str) -> str:
    return f"*** Begin Patch\n{patch.format(out=world.out, home=world.home)}\n*** End Patch\n"


def call(way: str, *texts: str) -> list[dict[str, Any]]:
    """The model's call that applies a patch in one of the ways; a script may apply several."""
    text = texts[0]
    arguments: dict[str, Any]
    match way:
        case "tool":
            return [{"type": "custom_tool_call", "call_id": "c", "name": "apply_patch", "input": text}]
        case "command":
            name, arguments = "shell", {"command": ["apply_patch", text]}
        case _:
            script = "".join(f"true; apply_patch <<'END'\n{text}END\n" for text in texts)
            name, arguments = "exec_command", {"cmd": script, "login": False, "yield_time_ms": 30_000}
    return [{"type": "function_call", "call_id": "c", "name": name, "arguments": json.dumps(arguments)}]


def seen(world: World) -> dict[str, str]:
    """Every file of the workspace and outside, and the files of the home that the server does not write."""
    found: dict[str, str] = {}
    for top in (world.ws, world.out, world.home / "rules"):
        for folder, folders, files in os.walk(top):
            for name in (*folders, *files):
                path = Path(folder, name)
                found[str(path)] = os.readlink(path) if path.is_symlink() else (path.is_file() and path.read_text()) or ""
    return found | {name: (world.home / name).read_text() for name in ("config.toml", "auth.json")}


def output(model: Any) -> str:
    items = map(json.loads, model.requests[-1].input)
    return str([item["output"] for item in items if item["type"].endswith("_call_output")][-1])


def roots(world: World) -> list[Path]:
    return [world.ws / "link"] if (world.ws / "link").is_symlink() else []


@pytest.mark.parametrize("way", ["tool", "command"])
@pytest.mark.parametrize("attempt", ATTEMPTS, ids=lambda attempt: attempt.name)
async def test_the_server_refuses(
    attempt: Attempt, way: str, root: Path, scripted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = prepared(root, attempt, monkeypatch)
    model, before = scripted(call(way, written(world, attempt.patch)), ["done"]), seen(world)
    opening = open_runtime(home=world.home, model=model, cwd=root, config=NEVER)
    async with opening as runtime, runtime.start_thread(cwd=world.ws, model="gpt-5.4") as thread:
        await thread.run("go", sandbox_policy=world.policy(*roots(world)))
    assert output(model).startswith("patch rejected: "), output(model)
    assert seen(world) == before


@pytest.mark.parametrize("name", NAMES)
async def test_the_sandbox_holds_the_program_in_a_script(
    name: str, root: Path, scripted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    mechanism = offered()[name]
    if isinstance(mechanism, str):
        pytest.skip(f"no {name} here: {mechanism}")
    sandbox = Sandbox(mechanism)
    for number, attempt in enumerate(one for one in ATTEMPTS if one.script):
        with monkeypatch.context() as there:
            world = prepared(root / str(number), attempt, there)
            (world.ws / "sub/free").write_text("# original\n")
            texts = [written(world, patch) for patch in (attempt.patch, f"*** Update File: sub/free\n{CHANGE}")]
            model, before = scripted(call("script", *texts), ["done"]), seen(world)
            async with open_runtime(home=world.home, model=model, cwd=root, config=NEVER) as runtime:
                runtime._backend.services.sandbox = sandbox
                async with runtime.start_thread(cwd=world.ws) as thread:
                    await thread.run("go", sandbox_policy=world.policy(*roots(world)))
            after = seen(world)
        assert after == before | {str(world.ws / "sub/free"): "x\n"}, (attempt.name, output(model))


APPROVED = [
    Attempt("outside", plain, "*** Add File: {out}/new\n+x"),
    Attempt("git's configuration", plain, "*** Update File: .git/config\n@@\n-# original\n+x"),
    Attempt("a file of the home that is not its own", plain, "*** Add File: {home}/notes\n+x"),
    Attempt("where a .codex link leads", linked(".codex"), f"*** Update File: real/config\n{CHANGE}"),
]
SEALED = [
    Attempt("the home's configuration", plain, "*** Add File: {home}/config.toml\n+x"),
    Attempt("credentials", plain, "*** Add File: {home}/auth.json\n+x"),
    Attempt("a rule", plain, "*** Add File: {home}/rules/new.rules\n+x"),
    *(attempt for attempt in ATTEMPTS if attempt.prepare is spindle),
]


async def agreed(attempt: Attempt, root: Path, scripted: Any, monkeypatch: pytest.MonkeyPatch) -> tuple[World, str, int]:
    """Approve every request: (the world, the answers to the model, the number of requests)."""
    world = prepared(root, attempt, monkeypatch)
    model, asked = scripted(call("tool", written(world, attempt.patch)), ["done"]), list[Any]()

    async def accept(question: Any) -> None:
        asked.append(question)
        question.accept()

    opening = open_runtime(home=world.home, model=model, cwd=root, config=ASKING)
    async with opening as runtime, runtime.start_thread(cwd=world.ws, model="gpt-5.4", on_question=accept) as thread:
        await thread.run("go", sandbox_policy=world.policy())
    return world, output(model), len(asked)


@pytest.mark.parametrize("attempt", APPROVED, ids=lambda attempt: attempt.name)
async def test_an_approved_patch_is_written_where_it_was_shown(
    attempt: Attempt, root: Path, scripted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, answer, asked = await agreed(attempt, root, scripted, monkeypatch)
    assert (asked, "Success" in answer) == (1, True), answer
    written = [path for top in (world.ws, world.out, world.home / "notes") for path in (top, *top.rglob("*"))]
    assert [path.read_text() for path in written if path.is_file() and path.read_text().endswith("x\n")] == ["x\n"]


@pytest.mark.parametrize("attempt", SEALED, ids=lambda attempt: attempt.name)
async def test_a_sealed_path_is_refused_without_asking(
    attempt: Attempt, root: Path, scripted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as there:
        world = prepared(root / "before", attempt, there)
        before = {path.replace("/before/", "/"): text for path, text in seen(world).items()}
    world, answer, asked = await agreed(attempt, root, scripted, monkeypatch)
    assert asked == 0
    assert "is never written" in answer
    assert seen(world) == before
