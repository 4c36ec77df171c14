"""The table of attempts, each in a whole turn: the model calls `exec_command`; is the user asked, and does it run?"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from spindle import CommandApproval, open_runtime
from spindle.rpc.protocol.settings import DangerFullAccessPolicy, ReadOnlyPolicy, SandboxPolicy, WorkspaceWritePolicy

from .attempts import ATTEMPTS, HARMLESS, Attempt, World

ALL = [*HARMLESS, *ATTEMPTS]
SANDBOXES: dict[str, SandboxPolicy] = {
    "read-only": ReadOnlyPolicy(),
    "workspace-write": WorkspaceWritePolicy(exclude_slash_tmp=True, exclude_tmpdir_env_var=True),
    "full-access": DangerFullAccessPolicy(),
}


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    world = World(Path(os.path.realpath(tmp_path)))
    monkeypatch.setenv("PATH", world.path(os.environ["PATH"]))
    return world


def call(world: World, attempt: Attempt, escalated: bool) -> list[dict[str, Any]]:
    where = {"ws": world.ws, "out": world.out}
    asked: dict[str, Any] = {"cmd": attempt.script.format(**where), "login": False, "yield_time_ms": 30_000}
    if attempt.shell:
        asked["shell"] = attempt.shell.format(**where)
    if escalated:
        asked |= {"sandbox_permissions": "require_escalated", "justification": "I need it"}
    return [{"type": "function_call", "call_id": "c", "name": "exec_command", "arguments": json.dumps(asked)}]


async def played(
    world: World, scripted: Any, approval: Any, sandbox: str, attempts: list[Attempt], *, escalated: bool
) -> tuple[dict[str, bool], dict[str, bool], list[str]]:
    """Which attempts were asked about (and declined), which changed something, and the answers to the model."""
    asked, changed = {}, {}
    answers = [answer for attempt in attempts for answer in (call(world, attempt, escalated), ["done"])]
    model = scripted(*answers)
    opening = open_runtime(home=world.home, model=model, cwd=world.ws)
    async with opening as runtime, runtime.start_thread(cwd=world.ws) as thread:
        for attempt in attempts:
            key = f"{attempt.name}: {attempt.script}"
            asked[key] = False
            async with thread.turn("go", approval_policy=approval, sandbox_policy=SANDBOXES[sandbox]) as turn:
                async for event in turn:
                    if isinstance(event, CommandApproval):
                        asked[key] = True
                        event.decline()
            changed[key] = world.changed()
    items = map(json.loads, model.requests[-1].input)
    return asked, changed, [item["output"] for item in items if item["type"] == "function_call_output"]


def expected(what: str) -> dict[str, bool]:
    return {f"{attempt.name}: {attempt.script}": getattr(attempt, what) for attempt in ALL}


@pytest.mark.parametrize("sandbox", ["read-only", "workspace-write"])
async def test_leaving_the_sandbox_asks_unless_a_rule_allows_it(
    world: World, scripted: Any, sandbox: str
) -> None:
    asked, changed, _ = await played(world, scripted, "on-request", sandbox, ALL, escalated=True)
    assert asked == expected("escalated")
    assert not any(changed.values())


@pytest.mark.parametrize("sandbox", SANDBOXES)
async def test_only_safe_commands_run_without_approval_under_untrusted(
    world: World, scripted: Any, sandbox: str
) -> None:
    asked, changed, _ = await played(world, scripted, "untrusted", sandbox, ALL, escalated=False)
    assert asked == expected("untrusted")
    assert not any(changed.values())


async def test_the_same_attempts_succeed_without_a_sandbox(world: World, scripted: Any) -> None:
    """With full access nothing confines them, so every attempt must succeed."""
    asked, changed, _ = await played(world, scripted, "on-request", "full-access", ALL, escalated=True)
    assert not any(asked.values())
    assert changed == expected("acts")


@pytest.mark.parametrize("approval", ["never", "untrusted", "on-failure"])
async def test_leaving_the_sandbox_is_refused_where_asking_is_forbidden(world: World, scripted: Any, approval: str) -> None:
    some = HARMLESS[:5]
    asked, changed, told = await played(world, scripted, approval, "workspace-write", some, escalated=True)
    assert not any(asked.values())
    assert not any(changed.values())
    assert all("you cannot ask for escalated permissions" in text for text in told)
    assert len(told) == len(some)
