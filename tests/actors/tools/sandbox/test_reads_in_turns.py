"""Hidden files never reach the model: a table of ways, each tried in a whole turn.

What the server reads for the model by itself is meant: instructions, skills, images, patches. Commands are held by the sandbox.
"""

from __future__ import annotations

import base64
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from spindle import open_runtime
from spindle.actors.tools.commands.runner import Runner
from spindle.actors.tools.sandbox.confinement import Access, Confinement
from spindle.events import WarningNotification
from spindle.rpc.protocol.settings import ReadOnlyPolicy, RestrictedReadAccess, WorkspaceWritePolicy
from spindle.rpc.protocol.user_input import LocalImageInput, SkillInput, TextInput

from .conftest import World

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs the place of an open file")

NEVER = [("approval_policy", "never")]
PICTURE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
"""One pixel, as PNG."""
SECRET = "the text that must not be told"
SKILL = f"---\nname: hidden\ndescription: {SECRET}\n---\n{SECRET}\n"


def entry(kind: str, access: str, **more: str) -> dict[str, Any]:
    return {"path": {"type": "special", "value": {"kind": kind, **more}}, "access": access}


def profile(*entries: dict[str, Any], network: bool = False) -> dict[str, Any]:
    return {"network": {"enabled": network}, "fileSystem": {"entries": list(entries)}}


def reading(hidden: dict[str, Any], root: str = "read", network: bool = False) -> dict[str, Any]:
    entries = [entry("root", root), entry("project_roots", "write"), hidden]
    return {"permission_profile": profile(*entries, network=network)}


def by_path(world: World) -> dict[str, Any]:
    return reading({"path": {"type": "path", "path": str(world.ws / "hidden")}, "access": "none"})


PATTERN = {"path": {"type": "glob_pattern", "pattern": "**/hidden"}, "access": "none"}
BELOW = entry("project_roots", "none", subpath="hidden")
BOUNDS: dict[str, Callable[[World], dict[str, Any]]] = {
    "by path": by_path,
    "by subpath": lambda world: reading(BELOW),
    "by pattern": lambda world: reading(PATTERN),
    "by subpath, else everything": lambda world: reading(BELOW, "write", network=True),
    "by pattern, else everything": lambda world: reading(PATTERN, "write", network=True),
    "by a read-only policy": lambda world: {"sandbox_policy": ReadOnlyPolicy(access=RestrictedReadAccess(True, ()))},
    "by a workspace's policy": lambda world: {
        "sandbox_policy": WorkspaceWritePolicy(
            read_only_access=RestrictedReadAccess(True, ()), exclude_slash_tmp=True, exclude_tmpdir_env_var=True
        )
    },
}
OUTSIDE = {"by a read-only policy", "by a workspace's policy"}
"""Those that hide files outside the workspace only."""


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(Path(os.path.realpath(tmp_path)) / "world")
    for top in (made.ws / "hidden", made.out):
        top.mkdir(exist_ok=True)
        (top / "text").write_text(SECRET)
        (top / "picture.png").write_bytes(base64.b64decode(PICTURE))
        (top / "skill").mkdir()
        (top / "skill/SKILL.md").write_text(SKILL)
    return made


def call(name: str, **arguments: Any) -> list[dict[str, Any]]:
    return [{"type": "function_call", "call_id": "c", "name": name, "arguments": json.dumps(arguments)}]


def patch(text: str) -> list[dict[str, Any]]:
    written = f"*** Begin Patch\n{text}\n*** End Patch\n"
    return [{"type": "custom_tool_call", "call_id": "c", "name": "apply_patch", "input": written}]


@frozen
class Way:
    """A way to read a hidden file: the preparation of the workspace, the input, and the model's calls."""

    name: str
    prepare: Callable[[World, Path], None]
    content: Callable[[World], Any] = lambda world: "go"
    answer: Callable[[World], list[dict[str, Any]]] | None = None
    image: bool = False
    shows: bool = True
    """Whether the model gets it in the same turn if it is readable."""


def link(name: str, target: str) -> Callable[[World, Path], None]:
    def make(world: World, hidden: Path) -> None:
        place = world.ws / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(hidden / target)

    return make


def override(world: World, hidden: Path) -> None:
    (world.ws / "AGENTS.md").write_text("fine")
    (world.ws / "AGENTS.override.md").symlink_to(hidden / "text")


def folder(world: World, hidden: Path) -> None:
    (world.ws / ".codex").mkdir()
    (world.ws / ".codex/skills").symlink_to(hidden)


WAYS = [
    Way("AGENTS.md", link("AGENTS.md", "text")),
    Way("AGENTS.override.md", override),
    Way("a skill announced", link(".agents/skills/s/SKILL.md", "skill/SKILL.md")),
    Way("a skill mentioned", link(".agents/skills/s/SKILL.md", "skill/SKILL.md"), lambda world: "$hidden"),
    Way(
        "a skill of a linked folder named",
        folder,
        lambda world: [TextInput("go"), SkillInput("hidden", str(world.ws / ".codex/skills/skill/SKILL.md"))],
    ),
    Way(
        "an image of the input",
        link("picture.png", "picture.png"),
        lambda world: [TextInput("go"), LocalImageInput(str(world.ws / "picture.png"))],
        image=True,
    ),
    Way(
        "an image that is looked at",
        link("picture.png", "picture.png"),
        answer=lambda world: call("view_image", path="picture.png"),
        image=True,
    ),
    Way(
        "an image given to an agent",
        link("picture.png", "picture.png"),
        answer=lambda world: call("spawn_agent", items=[{"type": "local_image", "path": "picture.png"}]),
        image=True,
        shows=False,
    ),
    Way(
        "a patch that guesses",
        link("text", "text"),
        answer=lambda world: patch(f"*** Update File: text\n@@\n-{SECRET[:-1]}\n+x"),
        shows=False,
    ),
    Way(
        "a patch that moves",
        link("text", "text"),
        answer=lambda world: patch("*** Update File: text\n*** Move to: copy\n@@\n+x"),
        shows=False,
    ),
]


def sent(model: Any) -> str:
    """Everything that was sent to the model, without its own output."""
    items = [json.loads(item) for request in model.requests for item in request.input]
    return json.dumps([item for item in items if not item.get("type", "").endswith("_call")])


async def play(world: World, model: Any, bounds: dict[str, Any], content: Any, *, at_start: bool) -> None:
    opening = open_runtime(home=world.home, model=model, config=NEVER)
    early = bounds if at_start and "permission_profile" in bounds else {}
    async with opening as runtime, runtime.start_thread(cwd=world.ws, model="gpt-5.4", **early) as thread:
        await thread.run(content, **({} if early else bounds))


def found(way: Way, model: Any, world: World) -> bool:
    """Whether a hidden file reached the model."""
    text = sent(model)
    copied = (world.ws / "copy").exists()
    return ("input_image" in text if way.image else SECRET in text) or copied


@pytest.mark.parametrize("how", BOUNDS)
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
async def test_nothing_hidden_reaches_the_model(way: Way, how: str, world: World, scripted: Any) -> None:
    way.prepare(world, world.out if how in OUTSIDE else world.ws / "hidden")
    model = scripted(*([way.answer(world), ["done"]] if way.answer else [["done"]]))
    await play(world, model, BOUNDS[how](world), way.content(world), at_start=True)
    assert len(model.requests) == (2 if way.answer else 1)
    assert not found(way, model, world)


@pytest.mark.parametrize("way", [way for way in WAYS if way.shows], ids=lambda way: way.name)
async def test_the_same_reaches_the_model_where_nothing_is_hidden(way: Way, world: World, scripted: Any) -> None:
    way.prepare(world, world.ws / "hidden")
    model = scripted(*([way.answer(world), ["done"]] if way.answer else [["done"]]))
    await play(world, model, {"sandbox_policy": ReadOnlyPolicy()}, way.content(world), at_start=False)
    assert found(way, model, world)


@pytest.mark.parametrize("way", WAYS[:3], ids=lambda way: way.name)
@pytest.mark.parametrize("how", ["by path", "by pattern"])
async def test_files_read_before_they_were_hidden_are_not_sent(
    way: Way, how: str, world: World, scripted: Any
) -> None:
    """The thread starts with full reading, and its first turn restricts it."""
    way.prepare(world, world.ws / "hidden")
    model = scripted(["done"])
    await play(world, model, BOUNDS[how](world), "go", at_start=False)
    assert not found(way, model, world)


async def test_files_hidden_after_they_were_sent_are_not_sent_again_by_a_compaction(world: World, scripted: Any) -> None:
    (world.ws / "AGENTS.md").symlink_to(world.ws / "hidden/text")
    model = scripted(["one"], ["a summary"], ["two"], ["a summary"], ["three"])
    opening = open_runtime(home=world.home, model=model, config=NEVER)
    async with opening as runtime, runtime.start_thread(cwd=world.ws, model="gpt-5.4") as thread:
        await thread.run("go")
        for bounds, expected in (({}, True), (by_path(world), False)):
            assert SECRET in sent(model)
            await thread.compact()
            del model.requests[:]
            await thread.run("more", **bounds)
            assert (SECRET in sent(model)) == expected


async def test_instructions_that_are_left_out_are_named(world: World, scripted: Any) -> None:
    override(world, world.ws / "hidden")
    model = scripted(["done"])
    opening = open_runtime(home=world.home, model=model, config=NEVER)
    asked = by_path(world)
    async with opening as runtime, runtime.start_thread(cwd=world.ws, model="gpt-5.4", **asked) as thread:
        assert list(thread.info.instruction_sources) == [str(world.ws / "AGENTS.md")]
        async with thread.turn("go") as turn:
            warnings = [event.message async for event in turn if isinstance(event, WarningNotification)]
    assert [text for text in warnings if "AGENTS" in text] == [
        f"{world.ws}/AGENTS.override.md is not shown to the model: the sandbox does not allow reading it"
    ]


async def test_the_homes_own_instructions_and_skills_are_always_sent(world: World, scripted: Any) -> None:
    (world.home / "AGENTS.md").write_text("of the user")
    (world.home / "skills/s").mkdir(parents=True)
    (world.home / "skills/s/SKILL.md").write_text("---\nname: own\ndescription: also of the user\n---\n")
    model = scripted(["done"])
    await play(world, model, BOUNDS["by a read-only policy"](world), "go", at_start=False)
    assert "of the user" in sent(model)
    assert "also of the user" in sent(model)


class Turning(Confinement):
    """Changes a link as soon as it was checked."""

    turn: Callable[[], None] = staticmethod(lambda: None)

    def access(self, path: str) -> Access:
        found = super().access(path)
        type(self).turn()
        return found


@pytest.mark.parametrize("what", ["the file", "the folder"])
@pytest.mark.parametrize("tool", ["view_image", "apply_patch"])
async def test_a_link_changed_between_the_check_and_the_opening_is_not_followed(
    what: str, tool: str, world: World, scripted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for top in (world.ws / "one", world.ws / "two"):
        top.mkdir()
        (top / "picture.png").write_bytes(base64.b64decode(PICTURE))
        (top / "text").write_text("fine")
    name = "picture.png" if tool == "view_image" else "text"
    place = world.ws / "one" if what == "the folder" else world.ws / "one" / name
    target = world.ws / "hidden" if what == "the folder" else world.ws / "hidden" / name

    def turn() -> None:
        if not place.is_symlink():
            place.rename(world.ws / "before")
            place.symlink_to(target)

    def turning(found: Callable[..., Any]) -> Callable[..., Any]:
        def confinement(self: Runner, host: Any) -> Confinement:
            made = found(self, host)
            return Turning(made.rules, made.network, names=made.names, sealed=made.sealed)

        return confinement

    monkeypatch.setattr(Turning, "turn", staticmethod(turn))
    monkeypatch.setattr(Runner, "confinement", turning(Runner.confinement))
    answer = (
        call("view_image", path="one/picture.png")
        if tool == "view_image"
        else patch(f"*** Update File: one/text\n@@\n-{SECRET}\n+x")
    )
    model = scripted(answer, ["done"])
    await play(world, model, by_path(world), "go", at_start=True)
    assert place.is_symlink()
    text = sent(model)
    assert "input_image" not in text
    assert "Success" not in text
    assert (world.ws / "hidden/text").read_text() == SECRET
