"""The table of attempts, each in a whole turn: the model calls a tool, no approval is asked for, and no attempt gets out.

Every attempt is made under every mechanism and both policies; what is expected is in the table. `SPINDLE_SHOW_ESCAPES=1
pytest -s` prints the result of each.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
import trio

from spindle import open_runtime
from spindle.actors.tools.sandbox.mechanism import Unavailable
from spindle.actors.tools.sandbox.sandbox import Sandbox
from spindle.events import CommandExecutionOutputDeltaNotification
from spindle.rpc.protocol.items import CommandExecutionItem
from spindle.rpc.protocol.settings import DangerFullAccessPolicy, ReadOnlyPolicy, SandboxPolicy
from spindle.rpc.protocol.turns import ItemCompletedNotification

from .attempts import ALL, FILES, SERVICES, TURNS, Attempt, program
from .conftest import NAMES, World, offered

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="attempts are of Linux")

AT_ONCE = 4
NEVER = [("approval_policy", "never")]
KEPT = ("config.toml", "auth.json", "rules")
"""The files of the home that are compared afterwards; the server itself writes others."""


def call(name: str, arguments: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"type": "function_call", "call_id": "c", "name": name, "arguments": json.dumps(arguments)}]


def patch(text: str) -> list[dict[str, Any]]:
    written = f"*** Begin Patch\n{text}\n*** End Patch\n"
    return [{"type": "custom_tool_call", "call_id": "c", "name": "apply_patch", "input": written}]


def command(world: World, attempt: Attempt, home: Path, services: dict[str, str]) -> str:
    told = {"WS": world.ws, "OUT": world.out, "CODEX_HOME": home, "OUTER": os.getpid(), **services}
    named = [f"{key}={value}" for key, value in told.items()]
    return shlex.join(["env", *named, sys.executable, "-S", "-c", program(attempt.body)])


def policy(name: str, world: World) -> SandboxPolicy:
    named: dict[str, SandboxPolicy] = {"read-only": ReadOnlyPolicy(), "none": DangerFullAccessPolicy()}
    return named.get(name) or world.policy(network=name == "network")


class Play:
    """The attempts in turns of one runtime: what each said, and whether it changed anything outside."""

    def __init__(self, root: Path, scripted: Any, mechanism: Any, policy_name: str) -> None:
        self.root, self.policy_name = root, policy_name
        self.sandbox = Sandbox(mechanism)
        self.scripted = scripted
        self.home = World(root / "own").home
        self.said: dict[str, str] = {}
        self.changed: list[str] = []

    async def run(self, attempts: list[Attempt], services: dict[str, str]) -> None:
        async with trio.open_nursery() as nursery:
            for start in range(AT_ONCE):
                nursery.start_soon(self._some, list(enumerate(attempts))[start::AT_ONCE], services)

    async def _some(self, attempts: list[tuple[int, Attempt]], services: dict[str, str]) -> None:
        worlds = [(World(self.root / str(number)), attempt) for number, attempt in attempts]
        answers: list[Any] = []
        for world, attempt in worlds:
            script = command(world, attempt, self.home, services)
            asked = {"cmd": script, "login": False, "tty": attempt in TURNS, "yield_time_ms": 30_000}
            answers += [call("exec_command", asked), ["done"]]
        model = self.scripted(*answers)
        async with open_runtime(home=self.home, model=model, cwd=self.root, config=NEVER) as runtime:
            runtime._backend.services.sandbox = self.sandbox
            async with runtime.start_thread(cwd=self.root) as thread:
                for world, attempt in worlds:
                    before = world.seen()
                    sandbox = policy(self.policy_name, world)
                    async with thread.turn("go", cwd=world.ws, sandbox_policy=sandbox) as turn:
                        async for event in turn:
                            if isinstance(event, ItemCompletedNotification):
                                self._note(attempt, event.item)
                    if world.seen() != before:
                        self.changed.append(attempt.name)

    def _note(self, attempt: Attempt, item: Any) -> None:
        if isinstance(item, CommandExecutionItem):
            self.said[attempt.name] = (item.aggregated_output or "").strip() or f"status {item.status}"

    def verdicts(self) -> dict[str, str]:
        """`must_refuse` or `escaped`, or the output of another attempt."""
        last = {name: said.splitlines()[-1] for name, said in self.said.items()}
        return {name: line.partition(":")[0] for name, line in last.items()}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return Path(os.path.realpath(tmp_path))


def seen_at_home(home: Path) -> dict[str, bytes]:
    places = [path for name in KEPT for path in ((home / name), *(home / name).rglob("*"))]
    return {str(path): path.read_bytes() for path in places if path.is_file()}


def show(title: str, play: Play) -> None:
    if os.environ.get("SPINDLE_SHOW_ESCAPES"):
        lines = (f"{title:30} {name:50} {said[:60]}" for name, said in play.said.items())
        sys.stdout.write("\n".join(["", *lines, ""]))


@pytest.mark.parametrize("policy_name", ["workspace-write", "read-only", "network"])
@pytest.mark.parametrize("name", NAMES)
async def test_no_turn_gets_out(
    name: str, policy_name: str, root: Path, scripted: Any, services: dict[str, str]
) -> None:
    mechanism = offered()[name]
    if isinstance(mechanism, str):
        pytest.skip(f"no {name} here: {mechanism}")
    play = Play(root, scripted, mechanism, policy_name)
    before = seen_at_home(play.home)
    attempts = SERVICES if policy_name == "network" else ALL
    await play.run(attempts, services)
    show(f"{name}, {policy_name}", play)
    assert play.verdicts() == {attempt.name: "held" if attempt.must_refuse(name) else "escaped" for attempt in attempts}
    assert set(play.changed) <= {attempt.name for attempt in ALL if not attempt.must_refuse(name)}
    assert seen_at_home(play.home) == before


async def test_the_same_turns_get_out_without_a_sandbox(root: Path, scripted: Any, services: dict[str, str]) -> None:
    play = Play(root, scripted, Unavailable("not wanted"), "none")
    files = [attempt for attempt in FILES if not attempt.root]
    await play.run(files, services)
    show("none", play)
    assert play.verdicts() == dict.fromkeys((attempt.name for attempt in files), "escaped")


PATCHES = {
    "write outside": "*** Add File: {out}/new\n+x",
    "through dots": "*** Add File: sub/../../out/new\n+x",
    "change a file outside": "*** Update File: {out}/file\n@@\n-# original\n+x",
    "delete outside": "*** Delete File: {out}/file",
    "move out of the workspace": "*** Update File: file\n*** Move to: {out}/new\n@@\n-# original\n+x",
    "through a link to a folder": "*** Add File: sub/link/new\n+x",
    "through a link to a file": "*** Update File: sub/one\n@@\n-# original\n+x",
    "a hook of git": "*** Add File: .git/hooks/new\n+x",
    "the configuration of git": "*** Update File: .git/config\n@@\n-# original\n+x",
    "a hook of a repository below": "*** Add File: sub/.git/hooks/new\n+x",
    ".codex": "*** Add File: .codex/config.toml\n+x",
    "the home": "*** Update File: {home}/rules/r\n@@\n-# original\n+x",
    "/proc/self/root": "*** Add File: /proc/self/root{out}/new\n+x",
}


def outputs(model: Any) -> list[str]:
    """The answers to the model."""
    items = map(json.loads, model.requests[-1].input)
    return [item["output"] for item in items if item["type"].endswith("_call_output")]


@pytest.mark.parametrize("policy_name", ["workspace-write", "read-only"])
@pytest.mark.parametrize("what", PATCHES)
@pytest.mark.parametrize("as_command", [False, True])
async def test_no_patch_gets_out(what: str, policy_name: str, as_command: bool, root: Path, scripted: Any) -> None:
    world = World(root / "world")
    (world.ws / "sub/link").symlink_to(world.out)
    (world.ws / "sub/one").symlink_to(world.out / "file")
    text = PATCHES[what].format(out=world.out, home=world.home)
    [asked] = patch(text)
    if as_command:
        [asked] = call("shell", {"command": ["apply_patch", asked["input"]]})
    model = scripted([asked], ["done"])
    before = (world.seen(home=False), seen_at_home(world.home))
    opening = open_runtime(home=world.home, model=model, cwd=root, config=NEVER)
    async with opening as runtime, runtime.start_thread(cwd=world.ws, model="gpt-5.4") as thread:
        await thread.run("go", sandbox_policy=policy(policy_name, world))
    [answer] = outputs(model)
    assert "rejected" in answer, answer
    assert (world.seen(home=False), seen_at_home(world.home)) == before
    assert not (world.ws / "sub/.git").exists()


@pytest.fixture(params=NAMES)
def mechanism(request: pytest.FixtureRequest) -> Any:
    found = offered()[request.param]
    if isinstance(found, str):
        pytest.skip(f"no {request.param} here: {found}")
    return found


async def test_a_child_that_leaves_its_session_ends_with_the_turns_thread(
    mechanism: Any, root: Path, scripted: Any
) -> None:
    """Confined to its end: it holds a pipe open from inside the sandbox."""
    world = World(root / "world")
    os.mkfifo(world.ws / "fifo")
    script = f"(setsid sh -c '(echo x > {world.out}/new) 2>/dev/null; echo left > fifo; exec sleep 1000' &) ; exec sleep 1000"
    model = scripted(call("exec_command", {"cmd": script, "login": False, "yield_time_ms": 250}), ["done"])
    fifo = os.open(world.ws / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    try:
        async with open_runtime(home=world.home, model=model, cwd=root, config=NEVER) as runtime:
            runtime._backend.services.sandbox = Sandbox(mechanism)
            async with runtime.start_thread(cwd=world.ws) as thread:
                await thread.run("go", sandbox_policy=policy("workspace-write", world))
                await trio.lowlevel.wait_readable(fifo)
                assert os.read(fifo, 100) == b"left\n"
        assert os.read(fifo, 100) == b"", "a process still holds it open"
    finally:
        os.close(fifo)
    assert not (world.out / "new").exists()


async def test_a_background_terminal_stays_confined(mechanism: Any, root: Path, scripted: Any) -> None:
    world = World(root / "world")

    def say(request: int) -> list[dict[str, Any]]:
        return call("write_stdin", {"session_id": request, "chars": f"echo x > {world.out}/new\nexit\n"})

    asked = {"cmd": "sh", "login": False, "tty": True, "yield_time_ms": 250}
    model = scripted(call("exec_command", asked), ["one"])
    async with open_runtime(home=world.home, model=model, cwd=root, config=NEVER) as runtime:
        runtime._backend.services.sandbox = Sandbox(mechanism)
        async with runtime.start_thread(cwd=world.ws) as thread:
            await thread.run("go", sandbox_policy=policy("workspace-write", world))
            session = int(outputs(model)[0].partition("session ID ")[2].split()[0])
            model.answers.extend([say(session), ["done"]])
            await thread.run("more", sandbox_policy=DangerFullAccessPolicy())
    assert not (world.out / "new").exists()
    assert "cannot create" in outputs(model)[-1] or "denied" in outputs(model)[-1], outputs(model)


async def test_escalation_is_refused_where_asking_is_forbidden(mechanism: Any, root: Path, scripted: Any) -> None:
    world = World(root / "world")
    asked = {"cmd": f"echo x > {world.out}/new", "login": False, "sandbox_permissions": "require_escalated"}
    model = scripted(call("exec_command", asked), ["done"])
    async with open_runtime(home=world.home, model=model, cwd=root, config=NEVER) as runtime:
        runtime._backend.services.sandbox = Sandbox(mechanism)
        async with runtime.start_thread(cwd=world.ws) as thread:
            await thread.run("go", sandbox_policy=policy("workspace-write", world))
    assert "you cannot ask for escalated permissions" in outputs(model)[0]
    assert not (world.out / "new").exists()


async def test_without_a_mechanism_nothing_runs_and_the_turn_says_why(root: Path, scripted: Any) -> None:
    world = World(root / "world")
    model = scripted(call("exec_command", {"cmd": "echo x > new", "login": False}), ["done"])
    async with open_runtime(home=world.home, model=model, cwd=root, config=NEVER) as runtime:
        runtime._backend.services.sandbox = Sandbox(Unavailable("the kernel has nothing to offer"))
        async with runtime.start_thread(cwd=world.ws) as thread:
            await thread.run("go", sandbox_policy=policy("workspace-write", world))
    assert "no sandbox works here: the kernel has nothing to offer" in outputs(model)[0]
    assert not (world.ws / "new").exists()


async def test_a_folder_replaced_by_a_link_while_a_command_runs_is_harmless(
    mechanism: Any, root: Path, scripted: Any
) -> None:
    """Another process replaces a parent of the workspace; the command's writable folder stays where it was."""
    world = World(root / "deep/world")
    os.mkfifo(world.ws / "go")
    script = f"echo ready; read line < go; echo x > {world.ws}/sub/new; echo x > sub/new2"
    model = scripted(call("exec_command", {"cmd": script, "login": False, "yield_time_ms": 30_000}), ["done"])
    victim = World(root / "victim/world")
    async with open_runtime(home=world.home, model=model, cwd=root, config=NEVER) as runtime:
        runtime._backend.services.sandbox = Sandbox(mechanism)
        async with runtime.start_thread(cwd=world.ws) as thread:
            async with thread.turn("go", sandbox_policy=policy("workspace-write", world)) as turn:
                async for event in turn:
                    if isinstance(event, CommandExecutionOutputDeltaNotification) and "ready" in event.delta:
                        (root / "deep").rename(root / "moved")
                        (root / "deep").symlink_to(root / "victim")
                        await trio.to_thread.run_sync((root / "moved/world/ws/go").write_text, "now\n")
            (root / "deep").unlink()
            (root / "moved").rename(root / "deep")
    assert not (victim.ws / "sub/new").exists()
    assert not (victim.ws / "sub/new2").exists()
    assert (world.ws / "sub/new2").exists()
