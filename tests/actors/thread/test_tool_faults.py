"""A tool that fails in any way, at any step: its call has one output, the thread works on, and nothing is left running.

A call's task is run once to count the steps that the scheduler takes for it; then again and again, with what it awaits at one
of them replaced by something that is raised: an error, what is meant to end a program, or an error together with an interrupt.
"""

import sys
from pathlib import Path

import outcome
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from spindle.actors.kernel.mailbox import Reply
from spindle.actors.registry.messages import ToThread
from spindle.actors.thread.messages import InterruptTurn

from .test_interrupt_property import Trace, add, call, check_history, items_of

TINY = Path(__file__).parents[1] / "tools" / "mcp" / "tiny_server.py"
CONFIG = [
    ("sandbox_mode", "danger-full-access"),
    ("approval_policy", "never"),
    ("features.apply_patch_freeform", True),
]
MOST = 6
"""How many of a call's steps are tried for each kind of fault, evenly spread."""

UNMET = ("unknown", "plan", "resources")
"""Tools that await nothing, or only their own tasks."""

FAULTS = {
    "error": lambda: ValueError("foreign"),
    "group": lambda: ExceptionGroup("several", [OSError("one"), ValueError("two")]),
    "exit": lambda: SystemExit(3),
    "keyboard": lambda: KeyboardInterrupt(),
    "generator": lambda: GeneratorExit(),
    "base": lambda: BaseException("worse"),
}


async def double(x: int) -> int:
    """Doubles."""
    await trio.lowlevel.checkpoint()
    return 2 * x


def sleepy(x: int) -> int:
    """Doubles, in a worker thread."""
    return 2 * x


def tools(trace):
    held = f"exec 3>{trace}; sleep 1000 >/dev/null 2>&1 & echo hi"
    return {
        "async function": call("c", "double", x=1),
        "sync function": call("c", "sleepy", x=1),
        "exec_command": call("c", "exec_command", cmd=held, login=False),
        "shell": call("c", "shell", command=["sh", "-c", held]),
        "patch": add("c", "new.txt"),
        "plan": call("c", "update_plan", plan=[{"step": "one", "status": "completed"}]),
        "mcp": call("c", "echo", namespace="mcp__tiny__", text="hi"),
        "resources": call("c", "list_mcp_resources"),
        "image": call("c", "view_image", path="/nowhere.png"),
        "unknown": call("c", "no_such_tool"),
    }


class Faults(trio.abc.Instrument):
    """Counts the steps of the task of a call, and has it meet `raised()` at number `k` of them.

    With `interrupt` the turn is interrupted there, and the call's cleaning up fails.
    """

    def __init__(self, k=0, raised=None, interrupt=None):
        self.count, self.met = 0, False
        self._k, self._raised, self._interrupt = k, raised, interrupt
        self._interrupted = False

    def before_task_step(self, task):
        if not task.name.endswith("calls._run"):
            return
        self.count += 1
        given = task._next_send
        if self.count == self._k and self._interrupt is not None:
            self._interrupt()
            self._interrupted = True
        if self._interrupted and not self.met and _cancelled(given):
            self.met = True
            task._next_send = outcome.Error(BaseExceptionGroup("", [given.error, ValueError("cleaning up")]))
        elif self._raised is not None and self.count == self._k and not _joining(task):
            if isinstance(given, outcome.Value):
                self.met = True
                task._next_send = outcome.Error(self._raised())

    def __enter__(self):
        trio.lowlevel.add_instrument(self)
        return self

    def __exit__(self, *_):
        trio.lowlevel.remove_instrument(self)


def _cancelled(given):
    return isinstance(given, outcome.Error) and isinstance(given.error, trio.Cancelled)


def _joining(task):
    """Whether it waits for the end of a nursery. That raises no fault."""
    return any(frame.f_code.co_name == "_nested_child_finished" for frame, _ in task.iter_await_frames())


def spread(steps):
    return sorted({1 + n * steps // MOST for n in range(MOST)}) if steps > MOST else range(1, steps + 1)


@pytest.fixture
def trace(tmp_path):
    made = Trace(tmp_path / "trace")
    yield made
    made.close()


@pytest.mark.parametrize("tool", tools(""))
async def test_a_tool_may_raise_anything_at_any_step(opened, scripted, witness, trace, tmp_path, tool):
    (tmp_path / "home").mkdir()
    server = f'command = "{sys.executable}"\nargs = ["-S", "-E", "{TINY}"]\nshared = true\n'
    (tmp_path / "home" / "config.toml").write_text(f"[mcp_servers.tiny]\n{server}")
    model = scripted()
    async with opened(model, config=CONFIG) as runtime, runtime.start_thread() as first:
        await first.run("hold what threads share")
        closed = witness(runtime)

        async def failing(k, raised=None, *, interrupted=False):
            def interrupt():
                turn = runtime._backend.registry.turn_id(thread.id)
                message = InterruptTurn(reply=Reply(lambda _: None, lambda _: None), turn_id=turn or "")
                runtime._backend.registry.route(ToThread(thread.id, message))

            (tmp_path / "new.txt").unlink(missing_ok=True)
            model.answers.extend([[tools(trace.path)[tool]], ["Done."]])
            async with runtime.start_thread(cwd=tmp_path, tools=[double, sleepy]) as thread:
                faults = Faults(k, raised, interrupt if interrupted else None)
                async with thread.turn("go") as turn:
                    with faults:
                        _ = [event async for event in turn]
                status = turn.result.status
                assert status == "interrupted" if interrupted and faults.met else status in ("completed", "interrupted")
                model.answers.clear()
                assert (await thread.run("and now?")).text == "ok"
                check_history(items_of(model.requests[-1]), (tool, k))
                before = (await thread.read(include_turns=True)).turns
                assert [turn.status for turn in before] == [status, "completed"]
                assert [item for item in before[0].items if getattr(item, "status", None) == "inProgress"] == [], k
            await closed.next("thread/closed")
            if tool in ("exec_command", "shell"):
                await trace.end()
            return faults

        steps = (await failing(0)).count
        assert steps > 0
        met = [(await failing(k, raised)).met for raised in FAULTS.values() for k in spread(steps)]
        met += [(await failing(k, interrupted=True)).met for k in spread(steps)]
        await wait_all_tasks_blocked()
        assert any(met) or tool in UNMET
