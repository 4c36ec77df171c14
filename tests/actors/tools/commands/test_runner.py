"""Running a command: approvals, the sandbox, the second attempt, and each kind of end."""

import json
import os
import re
import shlex
from contextlib import asynccontextmanager

import pytest
import trio

from spindle.actors.tools.commands.decision import RETRY, WIDER
from spindle.actors.tools.commands.environment import EnvironmentPolicy
from spindle.actors.tools.commands.exec_tools import ExecCommandTool, WriteStdinTool
from spindle.actors.tools.commands.process import open_warden
from spindle.actors.tools.commands.rule_book import RuleBook
from spindle.actors.tools.commands.runner import Runner
from spindle.actors.tools.commands.shell_tools import ShellCommandTool, ShellTool, UsersCommand, run_users_command
from spindle.actors.tools.interface import Permission, ToolRefused, TurnCancelled
from spindle.actors.tools.patch.on_path import programs
from spindle.actors.tools.sandbox.sandbox import Confined, SandboxUnavailable
from spindle.rpc.protocol.settings import (
    DangerFullAccessPolicy,
    ExternalSandboxPolicy,
    ReadOnlyPolicy,
    WorkspaceWritePolicy,
)


class Walls:
    """A sandbox in which every command fails as if it had written; `missing`: this machine has none."""

    def __init__(self):
        self.confinements = []
        self.held = 0
        self.left = trio.Event()
        self.missing = False
        self.through = False
        self.says = "Permission denied"

    @asynccontextmanager
    async def confined(self, confinement, argv, env, *, tty=False):
        self.confinements.append(confinement)
        if self.missing:
            raise SandboxUnavailable("no sandbox works here: none")
        self.held += 1
        try:
            blocked = ["sh", "-c", f"echo {shlex.quote(self.says)}; exit 1"]
            yield Confined(argv if self.through else blocked, {**env, "CONFINED": "1"})
        finally:
            self.held -= 1
            self.left.set()


class NoPatches:
    """Recognises no patch."""

    def suspects(self, call):
        return False

    async def take(self, tool, argv, cwd, call_id, host):
        await trio.lowlevel.checkpoint()


class World:
    def __init__(self, warden, nursery, home, walls):
        self.home, self.walls, self.nursery = home, walls, nursery
        self.warden = warden
        self.runner = self.a_runner()

    def a_runner(self, **options):
        rules = RuleBook(self.home / "rules", lambda warning: None)
        return Runner(self.warden, self.nursery, self.walls, rules, self.home, **options)

    async def shell(self, turn, a_call, *argv, **more):
        call = a_call("shell", json.dumps({"command": argv, **more}))
        return await ShellTool(self.runner, NoPatches()).run(call, turn)

    async def execute(self, turn, a_call, script, **more):
        call = a_call("exec_command", json.dumps({"cmd": script, "login": False, **more}))
        return await ExecCommandTool(self.runner, NoPatches()).run(call, turn)


@pytest.fixture
async def world(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    async with open_warden() as warden, trio.open_nursery() as nursery:
        yield World(warden, nursery, home, Walls())
        nursery.cancel_scope.cancel()


def touched(turn):
    return sorted(os.listdir(turn.cwd))


async def test_a_command_runs_without_approval_where_nothing_confines_it(world, a_turn, a_call):
    turn = a_turn()
    answer = json.loads(await world.shell(turn, a_call, "sh", "-c", "touch x; echo $CONFINED-; exit 3"))
    assert (answer["output"], answer["metadata"]["exit_code"]) == ("-\n", 3)
    assert touched(turn) == ["x"]
    assert turn.statuses == ["inProgress", "failed"]
    assert turn.entries[-1]["type"] == "exec_command_end"
    assert not world.walls.confinements


async def test_the_policy_decides_what_the_sandbox_allows(world, a_turn, a_call):
    world.walls.through = True
    turn = a_turn(sandbox=WorkspaceWritePolicy(exclude_slash_tmp=True))
    answer = await world.shell(turn, a_call, "sh", "-c", "echo $CONFINED")
    assert json.loads(answer)["output"] == "1\n"
    [confinement] = world.walls.confinements
    assert confinement.access(turn.cwd) == "write"
    assert confinement.access("/usr") == "read"
    assert not confinement.network
    await world.walls.left.wait()


async def test_under_never_a_denial_stands(world, a_turn, a_call):
    turn = a_turn("never", ReadOnlyPolicy())
    answer = await world.shell(turn, a_call, "touch", "x")
    assert json.loads(answer)["output"] == "Permission denied\n"
    assert turn.statuses == ["inProgress", "failed"]
    assert not turn.asked


async def test_an_approved_command_is_asked_about_again_before_it_runs_without_the_sandbox(world, a_turn, a_call):
    """A command can print anything; the approval was for a confined run."""
    turn = a_turn("untrusted", ReadOnlyPolicy())
    turn.answers += ["accept", "decline", "acceptForSession", "acceptForSession"]
    assert await world.shell(turn, a_call, "touch", "x") == "exec command rejected by user"
    assert (len(world.walls.confinements), touched(turn)) == (1, [])
    assert [asked.get("reason") for asked in turn.asked] == [None, RETRY]
    for _ in range(2):  # the second time nobody is asked
        await world.shell(turn, a_call, "touch", "x")
    assert touched(turn) == ["x"]
    assert turn.statuses == ["inProgress", "declined"] + ["inProgress", "completed"] * 2


async def test_an_approved_command_reruns_without_the_sandbox_if_that_forbids_the_file_it_names(world, a_turn, a_call):
    world.walls.says = "touch: cannot touch 'x': Read-only file system"
    turn = a_turn("untrusted", ReadOnlyPolicy())
    turn.answers += ["accept"]
    await world.shell(turn, a_call, "touch", "x")
    assert (len(world.walls.confinements), touched(turn), len(turn.asked)) == (1, ["x"], 1)


async def test_an_unapproved_command_that_is_denied_is_asked_about(world, a_turn, a_call):
    world.walls.says = "cat: 'x': Permission denied"
    turn = a_turn("untrusted", ReadOnlyPolicy())
    turn.answers += ["decline"]
    await world.shell(turn, a_call, "cat", "x")
    assert [asked.get("reason") for asked in turn.asked] == [RETRY]


async def test_on_failure_asks_before_the_second_attempt(world, a_turn, a_call):
    turn = a_turn("on-failure", ReadOnlyPolicy())
    turn.answers += ["decline", "accept"]
    assert await world.shell(turn, a_call, "touch", "x") == "exec command rejected by user"
    assert touched(turn) == []
    assert turn.asked[0]["reason"] == "command failed; retry without sandbox?"
    await world.shell(turn, a_call, "touch", "x")
    assert touched(turn) == ["x"]
    assert turn.statuses == ["inProgress", "declined", "inProgress", "completed"]


async def test_a_command_declined_is_declined_once_and_does_not_run(world, a_turn, a_call):
    turn = a_turn("untrusted")
    turn.answers += ["decline", "nonsense"]
    assert (await world.execute(turn, a_call, "touch x")).endswith(": rejected by user")
    assert await world.shell(turn, a_call, "touch", "x") == "exec command rejected by user"
    assert turn.statuses == ["inProgress", "declined"] * 2
    assert {(item["exitCode"], item["durationMs"], item["processId"], item["source"]) for _, item in turn.items} == {
        (None, None, None, "agent")
    }
    assert touched(turn) == []


async def test_a_command_that_is_asked_about_becomes_a_session_when_it_runs(world, a_turn, a_call):
    turn = a_turn("untrusted")
    turn.answers += ["acceptForSession"]
    for _ in range(2):  # the second time nobody is asked
        await world.execute(turn, a_call, "touch x")
    sources = [(item["source"], item["processId"] is None) for _, item in turn.items]
    ran = ("unifiedExecStartup", False)
    assert sources == [("agent", True), ran, ran, ran]


async def test_cancel_declines_the_command_and_ends_the_turn(world, a_turn, a_call):
    turn = a_turn("untrusted")
    turn.answers.append("cancel")
    with pytest.raises(TurnCancelled):
        await world.execute(turn, a_call, "touch x")
    assert turn.statuses == ["inProgress", "declined"]


async def test_an_interrupt_during_the_question_completes_the_item(world, a_turn, a_call):
    turn = a_turn("untrusted")
    turn.answers.append(trio.Event())
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(world.execute, turn, a_call, "touch x")
            await turn.waiting.wait()
            scope.cancel()
    assert turn.statuses == ["inProgress", "declined"]
    assert touched(turn) == []


async def test_accepted_for_the_session_the_same_command_is_not_asked_about_again(world, a_turn, a_call):
    turn = a_turn("untrusted")
    turn.answers += ["acceptForSession", "decline"]
    await world.shell(turn, a_call, "touch", "x")
    await world.shell(turn, a_call, "touch", "x")
    assert len(turn.asked) == 1
    assert await world.shell(turn, a_call, "touch", "y") == "exec command rejected by user"


async def test_hooks_are_asked_first_also_about_approved_commands(world, a_turn, a_call):
    turn = a_turn("untrusted")
    turn.answers.append("acceptForSession")
    await world.shell(turn, a_call, "touch", "x")
    turn.permissions += [Permission(False, "not now"), Permission(True)]
    assert await world.shell(turn, a_call, "touch", "x") == "not now"
    await world.shell(turn, a_call, "touch", "y")
    assert len(turn.asked) == 1
    assert turn.statuses[-3:] == ["declined", "inProgress", "completed"]
    assert [use.input for use in turn.uses] == [{"command": f"touch {name}"} for name in "xxy"]


async def test_hooks_get_the_justification_of_a_command(world, a_turn, a_call):
    turn = a_turn("untrusted")
    turn.permissions.append(Permission(True))
    await world.execute(turn, a_call, "touch x", justification="I have to")
    assert turn.uses[0].input == {"command": "touch x", "description": "I have to"}
    assert touched(turn) == ["x"]


async def test_an_amendment_is_a_rule_from_then_on(world, a_turn, a_call):
    turn = a_turn("untrusted")
    amendment = {"decision": {"acceptWithExecpolicyAmendment": {"execpolicy_amendment": ["touch"]}}}
    turn.answers.append(amendment)
    await world.shell(turn, a_call, "touch", "x")
    await world.shell(turn, a_call, "touch", "y")
    assert touched(turn) == ["x", "y"]
    assert len(turn.asked) == 1
    assert (world.home / "rules/default.rules").read_text() == 'prefix_rule(pattern=["touch"], decision="allow")\n'
    [told] = [entry for entry in turn.entries if entry.get("role") == "developer"]
    assert told["content"] == [{"type": "input_text", "text": 'Approved command prefix saved:\n- ["touch"]'}]


async def test_an_unsaved_amendment_holds_for_the_command(world, a_turn, a_call):
    (world.home / "rules").write_text("no folder")
    turn = a_turn("untrusted")
    turn.answers.append({"decision": {"acceptWithExecpolicyAmendment": {"execpolicy_amendment": ["touch"]}}})
    await world.shell(turn, a_call, "touch", "x")
    assert touched(turn) == ["x"]
    [warning] = [event for event in turn.events if event.METHOD == "warning"]
    assert "the rule could not be saved" in warning.message
    assert not [entry for entry in turn.entries if entry.get("role") == "developer"]


async def test_a_rule_forbids_it_and_it_is_shown_as_declined(world, a_turn, a_call):
    (world.home / "rules").mkdir()
    (world.home / "rules/a.rules").write_text('prefix_rule(pattern=["touch"], decision="forbidden")')
    turn = a_turn("on-request")
    answer = await world.shell(turn, a_call, "touch", "x")
    assert answer == "`touch x` rejected: policy forbids commands starting with `touch`"
    assert turn.items[-1][1]["aggregatedOutput"] == answer
    assert turn.statuses == ["inProgress", "declined"]


async def test_escalation_under_never_is_refused_without_an_item(world, a_turn, a_call):
    turn = a_turn("never")
    with pytest.raises(ToolRefused, match="approval policy is Never; reject command"):
        await world.execute(turn, a_call, "touch x", sandbox_permissions="require_escalated")
    assert not turn.events


async def test_escalation_skips_the_sandbox_once_the_user_agrees(world, a_turn, a_call):
    turn = a_turn("on-request", ReadOnlyPolicy())
    turn.answers.append("accept")
    await world.execute(turn, a_call, "touch x", sandbox_permissions="require_escalated", justification="May I?")
    assert turn.asked[0]["reason"] == "May I?"
    assert touched(turn) == ["x"]
    assert not world.walls.confinements


async def test_without_a_sandbox_the_user_is_asked_or_the_command_refused(world, a_turn, a_call):
    world.walls.missing = True
    turn = a_turn("on-request", ReadOnlyPolicy())
    turn.answers += ["accept", "decline"]
    await world.shell(turn, a_call, "touch", "x")
    assert turn.asked[0]["reason"] == "no sandbox works here: none; run it without a sandbox?"
    assert touched(turn) == ["x"]
    assert await world.shell(turn, a_call, "touch", "y") == "exec command rejected by user"
    turn.approval = "never"
    assert await world.shell(turn, a_call, "touch", "y") == "no sandbox works here: none"
    assert turn.statuses[-1] == "declined"
    assert touched(turn) == ["x"]


@pytest.mark.parametrize("sandbox", [None, ReadOnlyPolicy()])
async def test_a_failed_start_is_a_failed_item(world, a_turn, a_call, sandbox):
    world.walls.through = True
    turn = a_turn("never", sandbox)
    assert await world.shell(turn, a_call, "no-such-program") == "No such file or directory (os error 2)"
    answer = await world.execute(turn, a_call, "true", workdir="nowhere")
    assert answer.startswith("exec_command failed for `")
    assert answer.endswith(" true`: No such file or directory (os error 2)")
    assert turn.statuses == ["inProgress", "failed"] * 2
    assert world.walls.held == 0


async def test_the_sandbox_is_held_as_long_as_a_session_runs(world, a_turn, a_call):
    world.walls.through = True
    turn = a_turn("never", ReadOnlyPolicy())
    answer = await world.execute(turn, a_call, "read line; echo got $line", tty=True, yield_time_ms=250)
    [terminal] = world.runner.sessions.terminals()
    assert f"session ID {terminal.process_id}" in answer
    assert world.walls.held == 1
    payload = json.dumps({"session_id": int(terminal.process_id), "chars": "it\n", "yield_time_ms": 30000})
    answer = await WriteStdinTool(world.runner).run(a_call("write_stdin", payload), turn)
    assert "Process exited with code 0" in answer
    assert "got it" in answer
    await world.walls.left.wait()
    assert turn.statuses == ["inProgress", "completed"]


async def a_session(world, turn, a_call):
    """A shell at a terminal; returns typed(chars), the answer to the model."""
    await world.execute(turn, a_call, "exec sh", tty=True, yield_time_ms=250)
    [terminal] = world.runner.sessions.terminals()

    async def typed(chars):
        given = {"session_id": int(terminal.process_id), "chars": chars, "yield_time_ms": 250}
        return await WriteStdinTool(world.runner).run(a_call("write_stdin", json.dumps(given)), turn)

    return typed


async def test_input_to_a_session_outside_the_sandbox_needs_an_approval(world, a_turn, a_call):
    turn = a_turn("never", DangerFullAccessPolicy())
    typed = await a_session(world, turn, a_call)
    await typed("touch before\n")
    turn.sandbox = ReadOnlyPolicy()
    refused = "write_stdin failed: approval required by policy, but AskForApproval is set to Never"
    assert await typed("touch x\n") == refused
    assert "Process running" in await typed("")
    turn.approval = "on-request"
    turn.answers += ["decline", "acceptForSession"]
    assert await typed("touch x\n") == "write_stdin failed: rejected by user"
    [asked] = turn.asked
    assert (asked["itemId"], asked["reason"]) == (turn.items[0][1]["id"], f"{WIDER}; type 'touch x\n'?")
    assert touched(turn) == ["before"]
    await typed("touch y\n")
    await typed("touch z; exit\n")
    assert len(turn.asked) == 2
    assert touched(turn) == ["before", "y", "z"]


async def test_input_to_a_session_needs_an_approval_once_less_is_allowed(world, a_turn, a_call):
    world.walls.through = True
    turn = a_turn("on-request", WorkspaceWritePolicy(network_access=True))
    typed = await a_session(world, turn, a_call)
    turn.sandbox = DangerFullAccessPolicy()
    await typed("touch x\n")
    turn.sandbox = WorkspaceWritePolicy(network_access=True)
    await typed("touch y\n")
    assert not turn.asked
    turn.sandbox = WorkspaceWritePolicy()
    turn.answers.append("decline")
    assert await typed("touch z\n") == "write_stdin failed: rejected by user"
    assert touched(turn) == ["x", "y"]


async def test_typed_input_is_judged_by_the_rules(world, a_turn, a_call):
    (world.home / "rules").mkdir()
    (world.home / "rules/a.rules").write_text(
        'prefix_rule(pattern=["touch"], decision="forbidden")\nprefix_rule(pattern=["mkdir"], decision="prompt")'
    )
    turn = a_turn("on-request")
    typed = await a_session(world, turn, a_call)
    forbidden = "rejected: policy forbids commands starting with `touch`"
    assert forbidden in await typed("true; /usr/bin/touch x\n")
    await typed("tou")
    assert forbidden in await typed("ch x\r")
    turn.answers += ["decline"]
    assert await typed("\x15mkdir x\n") == "write_stdin failed: rejected by user"
    assert "requires approval by policy" in turn.asked[0]["reason"]
    await typed("\x15echo touch\n")
    assert touched(turn) == []


async def test_typed_input_is_a_command_for_hooks(world, a_call):
    tool = WriteStdinTool(world.runner)
    use = tool.use(a_call("write_stdin", '{"session_id": 1, "chars": "rm x\\n"}'))
    assert use is not None
    assert use.input == {"command": "rm x\n"}
    assert tool.use(a_call("write_stdin", '{"session_id": 1}')) is None


@pytest.mark.parametrize("tool", [ShellTool, ShellCommandTool])
async def test_an_interrupted_shell_answers_in_its_form(world, tool):
    assert tool(world.runner, NoPatches()).aborted(1.25) == "Wall time: 1.2 seconds\naborted by user"


async def test_writing_to_an_unknown_session_is_answered(world, a_turn, a_call):
    call = a_call("write_stdin", '{"session_id": 4242}')
    answer = await WriteStdinTool(world.runner).run(call, a_turn())
    assert answer == "write_stdin failed: Unknown process id 4242"


async def test_an_unused_number_is_released(world, a_turn, a_call):
    turn = a_turn("untrusted")
    turn.answers += ["decline"]
    await world.execute(turn, a_call, "touch x")
    assert not world.runner.sessions._reserved


async def test_scripts_for_the_shell_answer_with_text(world, a_turn, a_call):
    call = a_call("shell_command", '{"command": "echo hi; exit 2"}')
    answer = await ShellCommandTool(world.runner, NoPatches(), logins=False).run(call, a_turn())
    assert re.fullmatch(r"Exit code: 2\nWall time: [\d.]+ seconds\nOutput:\nhi\n", str(answer))


async def test_an_external_sandbox_without_network_sets_the_variable(world, a_turn, a_call):
    script = "echo $CODEX_SANDBOX_NETWORK_DISABLED-$CODEX_THREAD_ID"
    for policy, shown in ((ExternalSandboxPolicy(), "1-thread\n"), (ExternalSandboxPolicy("enabled"), "-thread\n")):
        turn = a_turn("never", policy)
        assert json.loads(await world.shell(turn, a_call, "sh", "-c", script))["output"] == shown


async def test_the_model_gets_a_users_command(world, a_turn):
    turn = a_turn("untrusted", ReadOnlyPolicy())
    told = await run_users_command(world.runner, turn, "id", UsersCommand("echo hi; exit 3"))
    assert told.startswith(
        "<user_shell_command>\n<command>\necho hi; exit 3\n</command>\n<result>\nExit code: 3\nDuration: "
    )
    assert told.endswith(" seconds\nOutput:\nhi\n\n</result>\n</user_shell_command>")
    [(_, begun), (_, ended)] = turn.items
    assert (begun["source"], begun["id"], ended["status"]) == ("userShell", "id", "failed")
    assert not turn.asked


async def test_commands_find_our_own_programs_even_if_their_shell_changes_the_path(world, a_turn, a_call):
    world.runner = world.a_runner(
        programs=lambda: programs(world.home), inherited={"PATH": os.defpath, "HOME": str(world.home)}
    )
    (world.home / ".profile").write_text("PATH=/bin:/usr/bin\n")
    patch = "apply_patch <<'EOF'\n*** Begin Patch\n*** Add File: {}\n+hi\n*** End Patch\nEOF\n"
    turn = a_turn()
    for number, policy in enumerate((EnvironmentPolicy(), EnvironmentPolicy(inherit="none"))):
        world.runner.environment = policy
        for login in (True, False):
            name = f"{number}{login}"
            answer = await world.execute(turn, a_call, f"true; {patch.format(name)}echo done", login=login)
            assert f"A {name}\ndone\n" in answer
    assert len(touched(turn)) == 4
    assert not any("PATH=" in item["command"] for _, item in turn.items)


async def test_commands_run_without_our_programs_if_those_cannot_be_made(world, a_turn, a_call, caplog):
    (world.home / "spindle").write_text("no folder")
    world.runner = world.a_runner(programs=lambda: programs(world.home))
    assert "hi" in await world.execute(a_turn(), a_call, "echo hi")
    assert "Not a directory" in caplog.text
