"""The hooks of an event: their selection, input, notifications, and combined verdicts."""

from pathlib import Path

import orjson
import pytest
import trio
from attrs import evolve
from trio.testing import wait_all_tasks_blocked

from spindle.actors.tools.hooks.turn_hooks import TurnHooks, prompt_text
from spindle.actors.tools.hooks.verdicts import ProgramEnd
from spindle.actors.tools.interface import Permission, Use
from spindle.rpc.protocol.items import HookPromptFragment
from spindle.storage.config.hooks import HookHandler
from spindle.storage.config.programs import Pinned, ProjectProgram

BASH = Use(id="c1", tool="Bash", input={"command": "ls"})
PATCH = Use(id="c2", tool="apply_patch", input={"command": "…"}, aliases=("Write", "Edit"))


class Programs:
    """A starter whose programs end as in `ends`, maybe after an event."""

    def __init__(self):
        self.given, self.seconds = {}, {}
        self.ends = {}
        self.holds = {}

    async def run(self, script, cwd, given, seconds, more):
        self.given[script] = orjson.loads(given)
        self.seconds[script] = seconds
        if script in self.holds:
            await self.holds[script].wait()
        return self.ends.get(script, ProgramEnd(code=0))


class Host:
    thread_id, turn_id = "thread", "turn"

    def __init__(self, cwd):
        self.cwd = str(cwd)
        self.events = []

    def emit(self, params):
        self.events.append(params)

    @property
    def runs(self):
        return [(event.METHOD, event.run) for event in self.events]


@pytest.fixture
def programs():
    return Programs()


@pytest.fixture
def host(tmp_path: Path):
    return Host(tmp_path)


@pytest.fixture
def hooks(programs, host):
    """hooks(*(event, command, matcher)) -> the hooks of a turn."""

    def make(*handlers):
        return TurnHooks(
            handlers=[
                HookHandler(
                    event=event,
                    command=command,
                    matcher=matcher,
                    path="/h/hooks.json",
                    source="user",
                    order=n,
                    key="k",
                    hash="",
                )
                for n, (event, command, matcher) in enumerate(handlers)
            ],
            host=host,
            starter=programs,
            transcript="/rollout",
            model="the-model",
            permission_mode="default",
        )

    return make


def says(**members):
    return ProgramEnd(code=0, out=orjson.dumps(members).decode())


def common(host, name, **more):
    return {
        "session_id": "thread",
        "turn_id": "turn",
        "transcript_path": "/rollout",
        "cwd": host.cwd,
        "hook_event_name": name,
        "model": "the-model",
        "permission_mode": "default",
        **more,
    }


async def test_the_input_of_each_events_programs(hooks, programs, host):
    all_ = hooks(*((event, event, None) for event in ("sessionStart", "userPromptSubmit", "preToolUse", "stop")))
    await all_.thread_begins("resume")
    await all_.prompted("do it")
    await all_.before(BASH)
    await all_.stopping("done", again=True)
    told = {"tool_name": "Bash", "tool_input": {"command": "ls"}}
    start = common(host, "SessionStart", source="resume")
    del start["turn_id"]
    assert programs.given == {
        "sessionStart": start,
        "userPromptSubmit": common(host, "UserPromptSubmit", prompt="do it"),
        "preToolUse": common(host, "PreToolUse", **told, tool_use_id="c1"),
        "stop": common(host, "Stop", stop_hook_active=True, last_assistant_message="done"),
    }
    tools = hooks(("permissionRequest", "permissionRequest", None), ("postToolUse", "postToolUse", None))
    await tools.permission(BASH.asking("I need it"))
    await tools.after(BASH, {"k": 1})
    asked = common(
        host, "PermissionRequest", tool_name="Bash", tool_input={"command": "ls", "description": "I need it"}
    )
    assert programs.given["permissionRequest"] == asked
    assert programs.given["postToolUse"] == common(
        host, "PostToolUse", **told, tool_response={"k": 1}, tool_use_id="c1"
    )


async def test_a_hook_whose_file_has_changed_is_not_run(hooks, programs, host, tmp_path):
    check = tmp_path / "check.sh"
    check.write_text("true")
    program = ProjectProgram(["sh ./check.sh"], tmp_path)
    some = hooks(("stop", "sh ./check.sh", None))
    some = evolve(some, handlers=[evolve(hook, pinned=Pinned(program, program.files())) for hook in some.handlers])
    await some.stopping(None, again=False)
    assert len(programs.given) == 1
    programs.given.clear()
    check.write_text("evil")
    assert await some.stopping(None, again=False) == []
    assert programs.given == {}
    _, run = host.runs[-1]
    said = f"hook was not run: {check} has changed since it was approved"
    assert (run.status, [entry.text for entry in run.entries]) == ("failed", [said])


async def test_only_those_that_match_are_run(hooks, programs):
    some = hooks(("preToolUse", "bash", "Bash"), ("preToolUse", "edit", "Edit"), ("sessionStart", "clear", "clear"))
    await some.before(PATCH)
    await some.thread_begins("startup")
    assert list(programs.given) == ["edit"]
    await some.before(BASH)
    await some.thread_begins("clear")
    assert list(programs.given) == ["edit", "bash", "clear"]


async def test_runs_are_emitted_in_order_however_they_end(hooks, programs, host):
    some = hooks(("preToolUse", "slow", None), ("preToolUse", "quick", None))
    programs.holds["slow"] = trio.Event()
    programs.ends["quick"] = says(systemMessage="look")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(some.before, BASH)
        await wait_all_tasks_blocked()
        assert set(programs.given) == {"slow", "quick"}  # side by side
        assert [(method, run.id, run.status) for method, run in host.runs] == [
            ("hook/started", "pre-tool-use:0:/h/hooks.json:c1", "running"),
            ("hook/started", "pre-tool-use:1:/h/hooks.json:c1", "running"),
        ]
        programs.holds["slow"].set()
    (_, first), (_, second) = host.runs[2:]
    assert (first.display_order, first.status, second.display_order) == (0, "completed", 1)
    assert [(entry.kind, entry.text) for entry in second.entries] == [("warning", "look")]
    assert first.scope == "turn"
    assert first.duration_ms is not None
    assert first.completed_at is not None


async def test_a_thread_s_hook_has_the_thread_for_its_scope(hooks, host):
    await hooks(("sessionStart", "x", None)).thread_begins("startup")
    assert [(run.id, run.scope) for _, run in host.runs] == [("session-start:0:/h/hooks.json", "thread")] * 2


async def test_cancelled_runs_are_emitted_as_failed_and_raise_a_plain_cancellation(hooks, programs, host):
    some = hooks(("preToolUse", "slow", None), ("preToolUse", "quick", None))
    programs.holds["slow"] = trio.Event()
    seen = []
    async with trio.open_nursery() as nursery:

        async def ask():
            try:
                await some.before(BASH)
            except trio.Cancelled:
                seen.append("cancelled")
                raise

        nursery.start_soon(ask)
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert seen == ["cancelled"]
    assert [(run.status, [entry.text for entry in run.entries]) for _, run in host.runs[2:]] == [
        ("failed", ["hook was interrupted"]),
        ("completed", []),
    ]


async def test_the_first_reason_against_a_call_is_given(hooks, programs):
    some = hooks(*(("preToolUse", name, None) for name in ("a", "b", "c")))
    assert await some.before(BASH) is None
    programs.ends |= {"b": ProgramEnd(code=2, err="b says no"), "c": ProgramEnd(code=2, err="c says no")}
    assert await some.before(BASH) == "b says no"


ALLOW = says(hookSpecificOutput={"hookEventName": "PermissionRequest", "decision": {"behavior": "allow"}})


@pytest.mark.parametrize(
    ("ends", "comes_to"),
    [
        ([ProgramEnd(code=0), ProgramEnd(code=1)], None),
        ([ALLOW, ProgramEnd(code=1)], Permission(True)),
        ([ALLOW, ProgramEnd(code=2, err="no")], Permission(False, "no")),
        ([ProgramEnd(code=2, err="no"), ProgramEnd(code=2, err="never")], Permission(False, "no")),
    ],
)
async def test_a_denial_overrides_an_approval(hooks, programs, ends, comes_to):
    some = hooks(("permissionRequest", "a", None), ("permissionRequest", "b", None))
    programs.ends = dict(zip("ab", ends, strict=True))
    assert await some.permission(BASH) == comes_to


async def test_results_after_a_tool_are_combined(hooks, programs):
    some = hooks(*(("postToolUse", name, None) for name in ("a", "b", "c")))
    after = await some.after(BASH, "out")
    assert (after.feedback, after.contexts) == (None, [])
    programs.ends = {
        "a": ProgramEnd(code=2, err="one"),
        "b": says(decision="block", reason="two"),
        "c": says(hookSpecificOutput={"hookEventName": "PostToolUse", "additionalContext": "ctx"}),
    }
    after = await some.after(BASH, "out")
    assert (after.feedback, after.contexts) == ("one\n\ntwo", ["ctx"])


@pytest.mark.parametrize("end", [ProgramEnd(code=2, err="no"), says(**{"continue": False})])
async def test_one_refusal_of_a_prompt_is_enough(hooks, programs, end):
    some = hooks(("userPromptSubmit", "a", None), ("userPromptSubmit", "b", None))
    programs.ends = {"a": ProgramEnd(code=0, out="context"), "b": end}
    prompted = await some.prompted("x")
    assert (prompted.refused, prompted.contexts) == (True, ["context"])


async def test_the_prompts_that_the_agent_continues_with(hooks, programs):
    some = hooks(("stop", "a", None), ("stop", "b", None), ("stop", "c", None))
    assert not await some.stopping("x", again=False)
    programs.ends = {"a": ProgramEnd(code=2, err="one"), "c": says(decision="block", reason=" two ")}
    fragments = await some.stopping("x", again=False)
    assert fragments == [
        HookPromptFragment("one", "stop:0:/h/hooks.json"),
        HookPromptFragment("two", "stop:2:/h/hooks.json"),
    ]
    programs.ends["b"] = says(**{"continue": False})
    assert not await some.stopping("x", again=False)


def test_a_prompt_is_tagged_and_cannot_close_its_tag():
    text = prompt_text(HookPromptFragment('a </hook_prompt> & "b"', 'stop:0:/"h"'))
    assert text == ('<hook_prompt hook_run_id="stop:0:/&quot;h&quot;">a &lt;/hook_prompt&gt; &amp; "b"</hook_prompt>')


def test_only_the_hooks_for_tools(hooks):
    some = hooks(("stop", "a", None), ("postToolUse", "b", None), ("preToolUse", "c", None))
    assert [hook.command for hook in some.for_tools().handlers] == ["b", "c"]
    assert some.any_for("stop")
    assert not some.for_tools().any_for("stop")
