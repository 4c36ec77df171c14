"""A turn that is interrupted between any two steps of its thread's tasks: it ends whole, and the thread works on.

The turn does all that a turn does. It is run once to count the steps that the scheduler takes for the thread meanwhile, and
then again and again, ended at one of them each time: by `turn/interrupt`, which reaches the thread as any message does, or by
the end of the whole runtime. Where exactly that falls differs a little, since there are processes and worker threads; what is
asserted holds wherever it does.
"""

import json
import os
import sys
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import orjson
import pytest
import trio
from tests.actors.ledger import Ledger
from trio.testing import wait_all_tasks_blocked

from spindle import CommandApproval, FileApproval
from spindle.actors.kernel.mailbox import Reply
from spindle.actors.registry.messages import ToThread
from spindle.actors.thread.messages import InterruptTurn
from spindle.rpc.model.interface import Usage
from spindle.rpc.protocol.converter import unstructure

TINY = Path(__file__).parents[1] / "tools" / "mcp" / "tiny_server.py"
MOST_INTERRUPTS = 40
"""How many steps of about three hundred are tried, evenly spread. Which ones depends on how many there are."""
MOST_ENDS = 10
"""The same for the end of the runtime. Each try needs a new runtime."""

CONFIG = [
    ("sandbox_mode", "danger-full-access"),
    ("approval_policy", "untrusted"),  # asks before commands that are not known to be harmless, and before patches
    ("features.apply_patch_freeform", True),
    ("model_auto_compact_token_limit", 1000),
]
UNTOLD = ("agentMessage", "contextCompaction")
"""Items that an interrupt leaves without an end, as in Codex: their text is not complete."""
EVERYTHING = {
    *("userMessage", "agentMessage", "commandExecution", "fileChange"),
    *("mcpToolCall", "dynamicToolCall", "contextCompaction"),
}
HOOKED = ("SessionStart", "PreToolUse", "PermissionRequest", "PostToolUse", "Stop")
HOOK = "true"
"""The command of each hook: one more process to interrupt. It prints nothing."""
OUTPUTS = {
    "function_call": "function_call_output",
    "custom_tool_call": "custom_tool_call_output",
    "local_shell_call": "function_call_output",
}


async def double(x: int) -> int:
    """Doubles."""
    await trio.lowlevel.checkpoint()
    return 2 * x


def call(id, name, *, namespace=None, **arguments):
    item = {"type": "function_call", "call_id": id, "name": name, "arguments": json.dumps(arguments)}
    return item if namespace is None else item | {"namespace": namespace}


def add(id, path):
    text = f"*** Begin Patch\n*** Add File: {path}\n+new\n*** End Patch\n"
    return {"type": "custom_tool_call", "call_id": id, "name": "apply_patch", "input": text}


def whole_turn(trace):
    """The answers of the turn. Its command leaves a process behind, and both of them hold `trace` open."""
    leave_one = f"exec 3>{trace}; sleep 1000 >/dev/null 2>&1 & echo hi"
    return [
        [
            *("Let me ", "see."),
            call("double", "double", x=21),
            call("run", "exec_command", cmd=leave_one, login=False),
            call("echo", "echo", namespace="mcp__tiny__", text="hi"),
            add("patch", "new.txt"),
            Usage(1000, 0, 0, 0, 1000),  # enough for a compaction
        ],
        ["All is well."],  # the summary
        [
            call("again", "shell", command=["sh", "-c", f"exec 3>{trace}; echo again"]),
            call("nothing", "no_such_tool"),
            call("plan", "update_plan", plan=[{"step": "one", "status": "completed"}]),
        ],
        ["Done", "."],
    ]


class Steps(trio.abc.Instrument):
    """Counts the steps of a thread's tasks while its first turn runs, and calls `at` before number `k` of them."""

    def __init__(self, k=0, at=None):
        self.count, self.tasks = 0, set()
        self._k, self._at, self._turn = k, at, None

    def task_spawned(self, task):
        parent = task.parent_nursery and task.parent_nursery.parent_task
        if parent in self.tasks or task.name.endswith(".Actor.run"):
            self.tasks.add(task)
        if "TurnTask.run" in task.name and self.count == 0:
            self._turn = task

    def task_exited(self, task):
        self.tasks.discard(task)
        if task is self._turn:
            self._turn = None

    def before_task_step(self, task):
        if self._turn is not None and task in self.tasks:
            self.count += 1
            if self.count == self._k and self._at is not None:
                self._at()

    @contextmanager
    def watching(self):
        trio.lowlevel.add_instrument(self)
        try:
            yield self
        finally:
            trio.lowlevel.remove_instrument(self)


class Trace:
    """A FIFO that the commands' processes hold open: it ends when the last of them has."""

    def __init__(self, path):
        os.mkfifo(path)
        self.path = path
        self._fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)

    async def end(self):
        """Wait until no process has it open. All of them are being killed."""
        with trio.fail_after(10):
            while not self._ended():
                await trio.lowlevel.wait_readable(self._fd)

    def _ended(self):
        try:
            return os.read(self._fd, 1) == b""
        except BlockingIOError:  # a process has, and writes nothing
            return False

    def close(self):
        os.close(self._fd)


class Notes:
    """The notifications of a turn."""

    def __init__(self):
        self.open, self.begun, self.status = {}, [], None
        self.hooks = set()

    def take(self, event):
        if isinstance(event, CommandApproval | FileApproval):
            event.accept()
        elif event.METHOD == "item/started":
            assert event.item.id not in self.open
            self.open[event.item.id] = event.item.type
            self.begun.append(event.item.type)
        elif event.METHOD == "item/completed":
            del self.open[event.item.id]
        elif event.METHOD == "hook/started":
            self.hooks.add(event.run.id)
        elif event.METHOD == "hook/completed":
            self.hooks.remove(event.run.id)
        elif event.METHOD == "turn/completed":
            self.status = event.turn.status

    def check(self, k):
        assert self.status in ("interrupted", "completed"), k
        left = [kind for kind in self.open.values() if self.status == "completed" or kind not in UNTOLD]
        assert not left, f"begun and not ended, interrupted at step {k}: {left}"
        assert not self.hooks, f"hooks that have not ended, interrupted at step {k}: {self.hooks}"


def items_of(request):
    return [orjson.loads(item) for item in request.input]


def check_history(items, k):
    """A provider accepts the history: each call has one output behind it, there are no others, and the input is there."""
    calls, outputs = {}, {}
    for item in items:
        if item["type"] in OUTPUTS:
            assert item["call_id"] not in calls, k
            calls[item["call_id"]] = OUTPUTS[item["type"]]
        elif item["type"].endswith("_output"):
            assert item["call_id"] not in outputs, f"two outputs, interrupted at step {k}: {items}"
            assert item["call_id"] in calls, f"an output before its call, interrupted at step {k}: {items}"
            outputs[item["call_id"]] = item["type"]
    assert outputs == calls, f"calls and outputs, interrupted at step {k}: {items}"
    texts = [part["text"] for item in items if item["type"] == "message" for part in item["content"]]
    assert texts.count("go") == 1, f"what was said, interrupted at step {k}: {texts}"


def spread(steps, most):
    """At most `most` of the steps 1 … `steps`, evenly spread, and one behind them, which is too late on purpose."""
    return sorted({1 + n * steps // most for n in range(most)} | {steps + 1}) if most < steps else range(1, steps + 2)


def shown(turns):
    return [(turn.id, turn.status, [unstructure(item) for item in turn.items]) for turn in turns]


@pytest.fixture
def trace(tmp_path):
    made = Trace(tmp_path / "trace")
    yield made
    made.close()


@pytest.fixture
def running(opened, scripted, tmp_path):
    """running() -> a runtime to enter, and its model. The MCP server is shared, so another thread needs no further process."""
    (tmp_path / "home").mkdir()
    hook = lambda name: f'[[hooks.{name}]]\nhooks = [{{type = "command", command = "{HOOK}"}}]\n'  # noqa: E731
    server = f'command = "{sys.executable}"\nargs = ["-S", "-E", "{TINY}"]\nshared = true\n'
    hooks = "".join(map(hook, HOOKED))
    (tmp_path / "home" / "config.toml").write_text(f"[mcp_servers.tiny]\n{server}{hooks}")

    @asynccontextmanager
    async def run():
        model = scripted()
        model.ledger = Ledger()
        async with opened(model, config=CONFIG, instruments=[model.ledger]) as runtime:
            yield runtime, model

    return run


def start(runtime, tmp_path):
    (tmp_path / "new.txt").unlink(missing_ok=True)
    return runtime.start_thread(cwd=tmp_path, tools=[double])


async def run_whole(thread, model, trace, notes):
    model.answers.extend(whole_turn(trace.path))
    async with thread.turn("go") as turn:
        async for event in turn:
            notes.take(event)
    model.answers.clear()


async def test_a_turn_may_be_interrupted_at_any_step(running, witness, trace, tmp_path):
    async with running() as (runtime, model), running() as (fresh, fresh_model), runtime.start_thread() as first:
        await first.run("hold what threads share")
        seen = witness(runtime)

        async def interrupted(k):
            """Returns how many steps there were, and how the turn ended."""
            refusals: list[Exception] = []

            def interrupt():
                turn = runtime._backend.registry.turn_id(thread.id)
                message = InterruptTurn(reply=Reply(lambda _: None, refusals.append), turn_id=turn or "")
                runtime._backend.registry.route(ToThread(thread.id, message))

            with Steps(k, interrupt).watching() as steps:
                async with start(runtime, tmp_path) as thread:
                    notes = Notes()
                    await run_whole(thread, model, trace, notes)
                    count = steps.count
                    notes.check(k)
                    assert notes.status == "completed" or (0 < k <= count and not refusals), k
                    await trace.end()
                    if k == 0:
                        assert set(notes.begun) == EVERYTHING
                    assert (await thread.run("and now?")).text == "ok"
                    history = items_of(model.requests[-1])
                    check_history(history, k)
                    before = (await thread.read(include_turns=True)).turns
                    assert [turn.status for turn in before] == [notes.status, "completed"]
                await seen.next("thread/closed")
                assert not steps.tasks, k
                assert [info.thread_id for info in model.ledger.open] == [first.id], k
            async with fresh.resume_thread(thread.id, tools=[double]) as resumed:
                assert shown(resumed.info.thread.turns) == shown(before), k
                await resumed.run("still there?")
                assert items_of(fresh_model.requests[-1])[: len(history)] == history, k
            return count, notes.status

        steps, _ = await interrupted(0)
        ends = [(await interrupted(k))[1] for k in spread(steps, MOST_INTERRUPTS)]
        assert ends.count("interrupted") > len(ends) / 2


async def close(runtime, wanted):
    await wanted.wait()
    await runtime._backend.close()


@pytest.mark.parametrize("cancelled", [False, True])
async def test_the_runtime_may_end_at_any_step(running, trace, tmp_path, cancelled):
    async def ended(k):
        """Returns how many steps there were, and how the turn ended."""
        over, notes = trio.Event(), Notes()
        with trio.CancelScope() as scope, Steps(k, scope.cancel if cancelled else over.set).watching() as steps:
            async with running() as (runtime, model), trio.open_nursery() as nursery:
                nursery.start_soon(close, runtime, over)
                async with start(runtime, tmp_path) as thread:
                    await run_whole(thread, model, trace, notes)
                nursery.cancel_scope.cancel()
        assert not steps.tasks, k
        assert not model.ledger.open, k
        await trace.end()
        if not scope.cancelled_caught:
            notes.check(k)
        async with fresh.resume_thread(thread.id, tools=[double]) as resumed:
            (turn,) = resumed.info.thread.turns
            assert turn.status in ("completed", "interrupted"), k
            assert [item for item in turn.items if getattr(item, "status", None) == "inProgress"] == [], k
            await resumed.run("still there?")
            check_history(items_of(fresh_model.requests[-1]), k)
        return steps.count, turn.status

    async with running() as (fresh, fresh_model):
        steps, _ = await ended(0)
        ends = [(await ended(k))[1] for k in spread(steps, MOST_ENDS)]
        assert ends.count("interrupted") > len(ends) / 2


class Family:
    """A model for a thread and one for its agents. An answer may be a function of the agent's id."""

    stream_max_retries = 0

    def __init__(self, scripted):
        self.root, self.agents = scripted(), scripted()

    def stream(self, request):
        if request.parent_thread_id is not None:
            return self.agents.stream(request)
        answers = self.root.answers
        if answers and callable(answers[0]):
            [spawned] = [item["output"] for item in items_of(request) if item.get("call_id") == "spawn" and "output" in item]
            answers[0] = answers[0](json.loads(spawned)["agent_id"])
        return self.root.stream(request)

    async def aclose(self):
        pass


def agents_turn():
    return [
        [call("spawn", "spawn_agent", message="look")],
        lambda id: [call("send", "send_input", target=id, message="look again", interrupt=True)],
        lambda id: [call("wait", "wait_agent", targets=[id]), "Waiting."],
        lambda id: [call("close", "close_agent", target=id)],
        lambda id: [{**call("resume", "resume_agent"), "arguments": json.dumps({"id": id})}],
        ["Done."],
    ]


async def test_a_turn_with_agents_may_be_interrupted_at_any_step(opened, scripted):
    model = Family(scripted)
    async with opened(model, config=CONFIG) as runtime:

        async def interrupted(k):
            """Returns how many steps there were, and how the turn ended."""

            def interrupt():
                turn = runtime._backend.registry.turn_id(thread.id)
                message = InterruptTurn(reply=Reply(lambda _: None, lambda _: None), turn_id=turn or "")
                runtime._backend.registry.route(ToThread(thread.id, message))

            notes = Notes()
            with Steps(k, interrupt).watching() as steps:
                async with runtime.start_thread() as thread:
                    model.root.answers.extend(agents_turn())
                    async with thread.turn("go") as turn:
                        async for event in turn:
                            notes.take(event)
                    model.root.answers.clear()
                    count = steps.count
                    notes.check(k)
                    assert (await thread.run("and now?")).text == "ok"
                    check_history(items_of(model.root.requests[-1]), k)
                while list(runtime._backend.registry._table):
                    await runtime._backend.registry.all_gone()
                await wait_all_tasks_blocked()
                assert not steps.tasks, k
            return count, notes.status

        steps, status = await interrupted(0)
        assert status == "completed"
        ends = [(await interrupted(k))[1] for k in spread(steps, MOST_INTERRUPTS)]
        assert ends.count("interrupted") > len(ends) / 2
