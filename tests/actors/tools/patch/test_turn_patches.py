"""The patches of a turn: approvals, items, the diff, and the answers to the model."""

import json
import re

import pytest
import trio

from spindle.actors.tools.approvals.remembered import Remembered
from spindle.actors.tools.interface import ToolRefused, TurnCancelled
from spindle.actors.tools.patch.tool import ApplyPatch, PatchCommands
from spindle.actors.tools.patch.turn_patches import TurnPatches
from spindle.actors.tools.sandbox.confinement import Grants, Place, of_policy
from spindle.rpc.protocol.settings import ReadOnlyPolicy, WorkspaceWritePolicy

ADD = "*** Begin Patch\n*** Add File: a.txt\n+hello\n*** End Patch\n"
MORE = "*** Begin Patch\n*** Update File: a.txt\n@@\n-hello\n+bye\n*** End Patch\n"
WORKSPACE = WorkspaceWritePolicy(exclude_slash_tmp=True, exclude_tmpdir_env_var=True)
GRANULAR = {"granular": {"sandbox_approval": False, "rules": True, "mcp_elicitations": True}}


@pytest.fixture
def remembered():
    return Remembered()


@pytest.fixture
def patches(tmp_path, remembered):
    def confinement(host):
        return of_policy(host.sandbox, Place(host.cwd, str(tmp_path / "home")), remembered.granted(host.turn_id))

    return TurnPatches(remembered, confinement)


@pytest.fixture
def add(tmp_path, patches):
    """Apply a patch that adds a file."""
    return lambda turn, text=ADD: patches.carry_out(turn, "call-1", text, turn.cwd)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "cwd/a.txt"


async def test_a_patch_in_the_workspace_is_applied_shown_and_recorded(a_turn, add, file):
    turn = a_turn("never", WORKSPACE)
    outcome = await add(turn)
    assert outcome.success
    assert file.read_text() == "hello\n"
    assert turn.methods == [
        "item/started",
        "item/fileChange/outputDelta",
        "item/completed",
        "turn/diff/updated",
    ]
    assert turn.statuses == ["inProgress", "completed"]
    change = {"path": str(file), "kind": {"type": "add"}, "diff": "hello\n"}
    assert [item["changes"] for _, item in turn.items] == [[change], [change]]
    assert turn.events[1].delta == "Success. Updated the following files:\nA a.txt\n"
    assert "+hello\n" in turn.events[-1].diff
    [entry] = turn.entries
    assert (entry["type"], entry["status"]) == ("patch_apply_end", "completed")


async def test_the_end_of_the_turn_sends_the_diff_again_if_there_is_one(a_turn, add, patches):
    turn = a_turn("never", WORKSPACE)
    await patches.finish(turn)
    assert not turn.events
    await add(turn)
    await add(turn, MORE)
    await patches.finish(turn)
    assert turn.methods[-1] == "turn/diff/updated"
    assert "+bye\n" in turn.events[-1].diff
    assert "hello" not in turn.events[-1].diff


@pytest.mark.parametrize("approval", ["never", GRANULAR])
async def test_a_patch_is_refused_without_an_item_if_asking_is_forbidden(
    a_turn, add, file, approval
):
    turn = a_turn(approval, ReadOnlyPolicy())
    with pytest.raises(ToolRefused, match="writing is blocked by read-only sandbox; rejected by user approval settings"):
        await add(turn)
    assert not turn.events
    assert not file.exists()


@pytest.mark.parametrize(
    ("approval", "sandbox", "reason"),
    [
        ("untrusted", WORKSPACE, None),
        ("on-request", ReadOnlyPolicy(), None),
        ("on-failure", ReadOnlyPolicy(), "command failed; retry without sandbox?"),
    ],
)
async def test_the_user_is_asked_after_the_item_has_begun(a_turn, add, file, approval, sandbox, reason):
    turn = a_turn(approval, sandbox)
    turn.answers.append(answered := trio.Event())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(add, turn)
        await turn.waiting.wait()
        assert turn.statuses == ["inProgress"]
        assert (turn.asked[0]["itemId"], turn.asked[0]["reason"]) == ("call-1", reason)
        assert not file.exists()
        nursery.cancel_scope.cancel()
    assert turn.statuses == ["inProgress", "declined"]
    assert not answered.is_set()
    turn.answers.append("accept")
    await add(turn)
    assert file.exists()


async def test_cancelled_before_it_is_applied_its_item_is_completed(a_turn, add, file):
    turn = a_turn("never", WORKSPACE)
    with trio.CancelScope() as scope:
        turn.emit = lambda params: (turn.events.append(params), scope.cancel())
        await add(turn)
    assert scope.cancelled_caught
    assert turn.statuses == ["inProgress", "declined"]
    assert not file.exists()


async def test_a_declined_patch_is_sent_and_recorded(a_turn, add, file):
    turn = a_turn("untrusted", WORKSPACE)
    turn.answers += ["decline", "cancel"]
    with pytest.raises(ToolRefused, match="patch rejected by user"):
        await add(turn)
    with pytest.raises(TurnCancelled):
        await add(turn)
    assert turn.statuses == ["inProgress", "declined"] * 2
    assert [entry["status"] for entry in turn.entries] == ["declined", "declined"]
    assert not file.exists()


async def test_accepted_for_the_session_the_same_files_are_not_asked_about_again(a_turn, add, file):
    turn = a_turn("untrusted", WORKSPACE)
    turn.answers += ["acceptForSession", "decline"]
    await add(turn)
    await add(turn, MORE)
    assert file.read_text() == "bye\n"
    assert len(turn.asked) == 1
    with pytest.raises(ToolRefused):
        await add(turn, ADD.replace("a.txt", "z.txt"))


async def test_granted_folders_may_be_changed(a_turn, add, remembered, tmp_path):
    (tmp_path / "granted").mkdir()
    turn = a_turn("never", WORKSPACE)
    outside = ADD.replace("a.txt", str(tmp_path / "granted/a.txt"))
    with pytest.raises(ToolRefused, match="writing outside of the project"):
        await add(turn, outside)
    remembered.grant(Grants({str(tmp_path / "granted"): "write"}, network=False), "turn", session=False)
    assert (await add(turn, outside)).success


async def test_a_patch_that_does_not_fit_is_answered_without_an_item(a_turn, add):
    turn = a_turn("never", WORKSPACE)
    with pytest.raises(ToolRefused, match="apply_patch verification failed"):
        await add(turn, MORE)
    assert not turn.events


async def test_the_tool_takes_a_patch_in_either_form(a_turn, a_call, patches, file):
    turn = a_turn("never", WORKSPACE)
    custom, function = ApplyPatch(patches, custom=True), ApplyPatch(patches, custom=False)
    assert (custom.offer["type"], function.offer["type"]) == ("custom", "function")
    answer = await custom.run(a_call("apply_patch", ADD, custom=True), turn)
    told = r"Exit code: 0\nWall time: [\d.]+ seconds\nOutput:\nSuccess. Updated the following files:\nA a.txt\n"
    assert re.fullmatch(told, str(answer))
    await function.run(a_call("apply_patch", json.dumps({"input": MORE})), turn)
    assert file.read_text() == "bye\n"
    with pytest.raises(ToolRefused, match="failed to parse function arguments"):
        await function.run(a_call("apply_patch", "{}"), turn)


@pytest.mark.parametrize(
    ("tool", "grammar", "begins"),
    [
        ("exec_command", False, "Wall time: 0."),
        ("shell_command", True, '{"output":"Success.'),
        ("shell", False, '{"output":"Success.'),
        ("shell", True, "Exit code: 0\n"),
    ],
)
async def test_a_patch_sent_as_a_command_is_answered_as_the_command_is(a_turn, patches, file, tool, grammar, begins):
    turn = a_turn("never", WORKSPACE)
    commands = PatchCommands(patches, grammar=grammar)
    argv = ["/bin/bash", "-lc", f"apply_patch <<'EOF'\n{ADD}EOF\n"]
    answer = await commands.take(tool, argv, turn.cwd, "call-1", turn)
    assert isinstance(answer, str)
    assert answer.startswith(begins)
    assert file.exists()
    assert await commands.take(tool, ["ls"], turn.cwd, "call-2", turn) is None
    with pytest.raises(ToolRefused, match="without explicit call"):
        await commands.take(tool, ["/bin/bash", "-lc", ADD], turn.cwd, "call-3", turn)


def test_a_call_that_may_contain_a_patch_is_suspected(patches, a_call):
    commands = PatchCommands(patches, grammar=False)
    assert commands.suspects(a_call("exec_command", json.dumps({"cmd": f"apply_patch <<E\n{ADD}E"})))
    assert not commands.suspects(a_call("exec_command", '{"cmd": "ls"}'))


async def test_an_interrupt_ends_the_search_for_a_patch_at_once(add, a_turn, monkeypatch):
    begun, ended = trio.Event(), trio.Event()

    def endless(content, chunks, path, check):
        trio.from_thread.run_sync(begun.set)
        try:
            while True:
                check()
        finally:
            token.run_sync_soon(ended.set)

    token = trio.lowlevel.current_trio_token()
    monkeypatch.setattr("spindle.actors.tools.patch.plan.revise", endless)
    turn = a_turn("never", WORKSPACE)
    await add(turn)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(add, turn, MORE)
        await begun.wait()
        nursery.cancel_scope.cancel()
    with trio.fail_after(10):
        await ended.wait()
    assert turn.statuses == ["inProgress", "completed"]
