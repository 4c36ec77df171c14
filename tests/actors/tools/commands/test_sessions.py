"""Commands of a turn: answers to the model, items, records, and the end of a command.

The clock stands still unless a test moves it; what processes do is waited for by what they write.
"""

import json
import os
import re
import sys

import pytest
import trio
from trio.testing import MockClock

from spindle.actors.tools.commands import sessions as sessions_module
from spindle.actors.tools.commands.execution import Execution
from spindle.actors.tools.commands.items import CommandItem
from spindle.actors.tools.commands.output import OUTPUT_CAP
from spindle.actors.tools.commands.process import BLOCK, Command, open_warden
from spindle.actors.tools.commands.sessions import (
    CommandOutcome,
    InputRefused,
    Sessions,
    UnknownSession,
    exec_yield,
    write_yield,
)
from spindle.actors.tools.commands.shell_tools import Result, run_shell
from spindle.actors.tools.truncation import Limit
from spindle.rpc.protocol.converter import unstructure
from spindle.rpc.protocol.items import CommandExecutionSource
from spindle.rpc.protocol.turns import (
    CommandExecutionOutputDeltaNotification,
    ItemCompletedNotification,
    ItemStartedNotification,
    TerminalInteractionNotification,
)
from spindle.storage.rollout.items import EVENTS

NAMES = {
    ItemStartedNotification: "started",
    ItemCompletedNotification: "completed",
    CommandExecutionOutputDeltaNotification: "delta",
    TerminalInteractionNotification: "interaction",
}


class Host:
    """Records events, and lets tests wait for them."""

    thread_id, turn_id = "thread", "turn"

    def __init__(self):
        self.events, self.entries = [], []
        self._news = trio.Event()

    def emit(self, params):
        self.events.append(params)
        self._news.set()
        self._news = trio.Event()

    def record(self, *entries):
        assert "completed" not in self.names
        self.entries += entries

    async def room(self):
        await trio.lowlevel.checkpoint()

    def settle(self, finish):
        finish()

    @property
    def names(self):
        return [NAMES[type(event)] for event in self.events]

    @property
    def shown(self):
        return "".join(e.delta for e in self.events if isinstance(e, CommandExecutionOutputDeltaNotification))

    async def until(self, condition):
        with trio.CancelScope():
            while not condition():
                await self._news.wait()


class World:
    """A warden, a thread's nursery, and a host."""

    def __init__(self, warden, nursery, clock):
        self.warden, self.nursery, self.clock = warden, nursery, clock
        self.sessions = Sessions(warden, nursery)
        self.host = Host()

    def item(self, *argv, session=True, host=None):
        number = self.sessions.new_id() if session else None
        source: CommandExecutionSource = "unifiedExecStartup" if session else "agent"
        return CommandItem(host or self.host, "call-1", argv, "/", source=source, process_id=number)

    def command(self, script, tty=False):
        return Command(argv=["sh", "-c", script], cwd="/", env={"PATH": os.environ["PATH"]}, tty=tty)

    async def execute(self, script, seconds=10, tty=False, host=None):
        return await self.sessions.execute(self.item("sh", "-c", script, host=host), self.command(script, tty), seconds)

    async def background(self, script, until, tty=False, host=None):
        """A session whose command has written `until`; its output so far is read."""
        outcomes = []

        async def run():
            outcomes.append(await self.execute(script, 1, tty, host))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(run)
            host = host or self.host
            await host.until(lambda: until in host.shown)
            self.clock.jump(1)
        return outcomes[0]


@pytest.fixture
def clock():
    return MockClock()


@pytest.fixture
async def world(clock):
    async with open_warden() as warden, trio.open_nursery() as nursery:
        yield World(warden, nursery, clock)
        nursery.cancel_scope.cancel()


# ---- exec_command and write_stdin


async def test_an_ended_command_is_answered_with_its_exit_code_and_completed_by_the_caller(clock, world):
    item = world.item("sh", "-c", "echo hi; exit 7")
    outcome = await world.sessions.execute(item, world.command("echo hi; exit 7"), 10)
    assert re.fullmatch(
        r"Chunk ID: [0-9a-f]{6}\nWall time: \d+\.\d{4} seconds\nProcess exited with code 7\n"
        r"Original token count: 1\nOutput:\nhi\n",
        outcome.text(),
    )
    assert world.host.names == ["started", "delta"]
    item.complete(outcome.exit_code, outcome.output, outcome.seconds)
    assert world.host.names == ["started", "delta", "completed"]
    done = world.host.events[-1].item
    assert (done.status, done.exit_code, done.aggregated_output) == ("failed", 7, "hi\n")
    assert world.sessions.terminals() == []


async def test_a_running_command_becomes_a_session_and_completes_its_item_itself(clock, world):
    outcome = await world.background("echo one; read x; echo $x; exit 5", "one", tty=True)
    assert outcome.exit_code is None
    assert outcome.output == "one\r\n"
    assert f"Process running with session ID {outcome.session_id}\n" in outcome.text()
    [terminal] = world.sessions.terminals()
    assert (terminal.item_id, terminal.process_id) == ("call-1", outcome.session_id)
    assert terminal.os_pid

    later = Host()
    answer = await world.sessions.write_stdin(later, outcome.session_id, "two\n", 10)
    assert (answer.exit_code, answer.session_id) == (5, None)
    assert answer.output == "two\r\ntwo\r\n"
    assert later.names == ["interaction"]
    assert later.events[0].stdin == "two\n"
    await world.host.until(lambda: "completed" in world.host.names)
    assert world.host.events[-1].item.aggregated_output == "one\r\ntwo\r\ntwo\r\n"
    with pytest.raises(UnknownSession, match=f"Unknown process id {outcome.session_id}"):
        await world.sessions.write_stdin(later, outcome.session_id, "", 1)


async def test_the_next_poll_gets_the_end_of_a_session(clock, world):
    outcome = await world.background("echo one; read x", "one", tty=True)
    assert (await world.sessions.write_stdin(world.host, outcome.session_id, "\n", 10)).exit_code == 0
    outcome = await world.background("echo two; read x; echo more", "two", tty=True, host=(host := Host()))
    session = world.sessions._sessions[outcome.session_id]
    await session.execution.write(b"\n")
    await host.until(lambda: "completed" in host.names)
    assert world.sessions.terminals() == []
    polled = await world.sessions.write_stdin(host, outcome.session_id, "", 10)
    assert (polled.exit_code, polled.output) == (0, "\r\nmore\r\n")


async def test_control_c_reaches_a_terminal(clock, world):
    outcome = await world.background("echo one; exec sleep 1000", "one", tty=True)
    answer = await world.sessions.write_stdin(world.host, outcome.session_id, "\x03", 10)
    assert (answer.exit_code, answer.output) == (-1, "^C")


async def test_a_command_without_terminal_takes_no_input_but_can_be_polled(clock, world):
    outcome = await world.background("echo one; exec sleep 1000", "one")
    with pytest.raises(InputRefused, match="rerun exec_command with tty=true"):
        await world.sessions.write_stdin(world.host, outcome.session_id, "x", 1)
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:

            async def poll():
                answer = await world.sessions.write_stdin(world.host, outcome.session_id, "", 5)
                assert answer.session_id == outcome.session_id
                scope.cancel()

            nursery.start_soon(poll)
            await world.host.until(lambda: "interaction" in world.host.names)
            world.clock.jump(5)
            await trio.sleep_forever()


async def test_an_unknown_program_is_an_error_and_leaves_no_session(clock, world):
    item = world.item("no-such-program")
    with pytest.raises(FileNotFoundError):
        await world.sessions.execute(item, Command(argv=["no-such-program"], cwd="/", env={}), 10)
    assert world.sessions.terminals() == []


async def test_a_cancelled_call_kills_its_command_and_completes_the_item(clock, world):
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(world.execute, "echo one; sleep 1000 & sleep 1000", 100)
            await world.host.until(lambda: "one" in world.host.shown)
            scope.cancel()
    assert world.host.names == ["started", "delta", "completed"]
    assert world.host.events[-1].item.status == "failed"
    assert world.host.events[-1].item.aggregated_output == "one\n"


async def test_sessions_end_with_the_thread_and_complete_their_items(clock):
    async with open_warden() as warden, trio.open_nursery() as nursery:
        world = World(warden, nursery, clock)
        await world.background("echo one; exec sleep 1000", "one")
        nursery.cancel_scope.cancel()
    assert world.host.names == ["started", "delta", "completed"]


async def test_terminals_are_ended_one_by_one_or_all_together(clock, world):
    ids = [(await world.background("echo one; exec sleep 1000", "one", host=Host())).session_id for _ in range(3)]
    assert [terminal.process_id for terminal in world.sessions.terminals()] == ids
    assert await world.sessions.terminate(ids[1])
    assert not await world.sessions.terminate(ids[1])
    assert [terminal.process_id for terminal in world.sessions.terminals()] == [ids[0], ids[2]]
    await world.sessions.clean()
    assert world.sessions.terminals() == []


async def test_a_new_session_evicts_the_least_recently_used(clock, world, monkeypatch):
    monkeypatch.setattr(sessions_module, "MOST", 3)
    monkeypatch.setattr(sessions_module, "_PROTECTED", 1)
    monkeypatch.setattr(sessions_module, "WARN", 2)
    hosts = [Host() for _ in range(4)]
    first = [await world.background("echo one; read x", "one", tty=True, host=host) for host in hosts[:3]]
    ids = [outcome.session_id for outcome in first]
    assert "you currently have 3 processes open" in world.sessions.warning
    async with trio.open_nursery() as nursery:
        nursery.start_soon(world.sessions.write_stdin, hosts[0], ids[0], "", 5)
        await hosts[0].until(lambda: "interaction" in hosts[0].names)
        world.clock.jump(5)
    ids.append((await world.background("echo one; exec sleep 1000", "one", host=hosts[3])).session_id)
    assert [terminal.process_id for terminal in world.sessions.terminals()] == [ids[2], ids[0], ids[3]]
    await hosts[1].until(lambda: "completed" in hosts[1].names)


async def test_numbers_are_not_given_twice(clock, world):
    numbers = iter([1000, 1000, 1001])
    sessions = Sessions(world.warden, world.nursery, choose=lambda low, high: next(numbers))
    assert [sessions.new_id(), sessions.new_id()] == ["1000", "1001"]


def test_waiting_times_are_kept_within_bounds():
    assert [exec_yield(ms) for ms in (None, 1, 500, 10**9)] == [10, 0.25, 0.5, 30]
    assert [write_yield(ms, poll=False) for ms in (None, 1, 500, 10**9)] == [0.25, 0.25, 0.5, 30]
    assert [write_yield(ms, poll=True) for ms in (None, 1, 7000, 10**9)] == [5, 5, 7, 300]


def test_the_output_of_a_session_is_cut_for_the_model_only():
    text = CommandOutcome("x" * 1000, 0.5, "7", chunk_id="abcdef").text(Limit(10))
    assert text == (
        "Chunk ID: abcdef\nWall time: 0.5000 seconds\nProcess running with session ID 7\nOriginal token count: 250\n"
        f"Output:\nTotal output lines: 1\n\n{'x' * 20}…240 tokens truncated…{'x' * 20}"
    )


# ---- shell


async def shell(world, script, **kw):
    item = world.item("sh", "-c", script, session=False)
    return await run_shell(world.warden, world.nursery, item, world.command(script), **kw)


async def test_shell_answers_json_and_shell_command_text(clock, world):
    result = await shell(world, "echo out; echo err >&2; exit 2")
    assert json.loads(result.json()) == {
        "output": "out\nerr\n",
        "metadata": {"exit_code": 2, "duration_seconds": 0.0},
    }
    assert result.text() == "Exit code: 2\nWall time: 0 seconds\nOutput:\nout\nerr\n"
    assert Result(0, "x" * 200, 1.26).text(Limit(40, "bytes")) == (
        f"Exit code: 0\nWall time: 1.3 seconds\nTotal output lines: 1\nOutput:\n{'x' * 20}…160 chars truncated…{'x' * 20}"
    )


async def test_a_command_whose_time_is_over_is_killed_with_its_tree(clock, world):
    results = []

    async def run():
        results.append(await shell(world, "echo one; sleep 1000 & setsid sleep 1000", timeout_ms=300))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        await world.host.until(lambda: "one" in world.host.shown)
        world.clock.jump(0.3)
    [result] = results
    assert result.exit_code == 124
    assert result.text().endswith("Output:\ncommand timed out after 300 milliseconds\none\n")


async def test_background_processes_of_a_shell_live_until_the_thread_ends(clock, tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = trio.lowlevel.FdStream(os.open(fifo, os.O_RDONLY | os.O_NONBLOCK))
    async with reader, open_warden() as warden, trio.open_nursery() as nursery:
        world = World(warden, nursery, clock)
        script = f'exec 9>"{fifo}"; (read x; echo late >&9; exec sleep 1000) <&0 >/dev/null 2>&1 & echo front'
        result = await shell(world, script)
        assert (result.exit_code, result.output) == (0, "front\n")
        assert await reader.receive_some(10) == b"late\n"
        nursery.cancel_scope.cancel()
    assert world.host.names == ["started", "delta"]


async def test_a_cancelled_shell_is_killed_and_completed(clock, world):
    async with trio.open_nursery() as nursery:
        nursery.start_soon(shell, world, "echo one; exec sleep 1000")
        await world.host.until(lambda: "one" in world.host.shown)
        nursery.cancel_scope.cancel()
    assert world.host.names == ["started", "delta", "completed"]


# ---- items


def test_a_declined_command_is_started_and_declined_once(clock):
    host = Host()
    item = CommandItem(host, "c", ["touch", "x y"], "/w")
    item.decline("exec command rejected by user")
    item.decline()
    item.complete(0, "", 0)
    item.delta("late")
    assert host.names == ["started", "completed"]
    done = host.events[-1].item
    assert (done.command, done.status, done.exit_code, done.duration_ms) == ("touch 'x y'", "declined", None, None)


@pytest.mark.parametrize("session", [True, False])
def test_the_rollout_line_is_read_back_as_the_item(session):
    host = Host()
    argv = ["/bin/bash", "-lc", "cat a.py && rg foo src && ls"]
    source: CommandExecutionSource = "unifiedExecStartup" if session else "userShell"
    item = CommandItem(host, "c", argv, "/w", source=source, process_id="1234" if session else None)
    item.start()
    item.complete(0, "text\n", 1.25)
    [(kind, event)] = host.entries
    assert kind == "event_msg"
    back = EVENTS[event["type"]](json.loads(json.dumps(event)))
    shown = unstructure(item.item)
    assert event["call_id"] == shown.pop("id")
    assert shown.pop("command") == "/bin/bash -lc 'cat a.py && rg foo src && ls'"
    back.pop("command")
    assert back == shown


def test_a_declined_command_has_no_session_when_read_back():
    host = Host()
    item = CommandItem(host, "c", ["ls"], "/w", source="unifiedExecStartup", process_id="1234")
    item.start(asked=True)
    item.decline()
    assert [(event.item.process_id, event.item.source) for event in host.events] == [(None, "agent")] * 2
    [(_, event)] = host.entries
    assert event["exit_code"] == -1
    shown = unstructure(item.item)
    assert EVENTS[event["type"]](event) == {key: value for key, value in shown.items() if key != "id"}


# ---- output that a slow reader makes wait


async def test_output_before_the_end_reaches_subscribers_that_make_the_command_wait():
    shown: list[str] = []
    first = trio.Event()

    def emit(text):
        shown.append(text)
        first.set()

    async with open_warden() as warden, trio.open_nursery() as nursery:
        script = Command(argv=["sh", "-c", "echo one; read x; echo two"], cwd="/", env={}, stdin=True)
        execution = Execution(warden, script, emit=emit, room=trio.sleep_forever)
        await nursery.start(execution.run)
        await first.wait()
        await execution.write(b"\n")
        await execution.exited.wait()
    assert "".join(shown) == execution.transcript.text() == "one\ntwo\n"


# ---- a flood

FLOOD = 50_000_000


async def test_a_flood_is_bounded_in_memory_and_lets_others_run():
    longest = rounds = pieces = 0
    held = []

    def emit(text):
        nonlocal longest, pieces
        longest, pieces = max(longest, len(text)), pieces + 1

    async def room():
        held.append(len(execution.transcript) + len(execution.unread) + execution._deltas._size)
        await trio.lowlevel.checkpoint()

    async def other():
        nonlocal rounds
        while True:
            await trio.lowlevel.checkpoint()
            rounds += 1

    script = f"import sys\nfor _ in range({FLOOD // 1_000_000}): sys.stdout.write('x' * 999_999 + '\\n')"
    async with open_warden() as warden, trio.open_nursery() as nursery:
        flood = Command(argv=[sys.executable, "-I", "-c", script], cwd="/", env={})
        execution = Execution(warden, flood, emit=emit, room=room)
        nursery.start_soon(other)
        await nursery.start(execution.run)
        await execution.exited.wait()
        nursery.cancel_scope.cancel()
    assert execution.exit_code == 0
    assert len(execution.transcript) == OUTPUT_CAP
    assert execution.transcript.omitted == FLOOD - OUTPUT_CAP
    assert max(held) <= 2 * OUTPUT_CAP + 2 * BLOCK
    assert longest <= 64 * 1024 + BLOCK
    assert pieces >= FLOOD // (64 * 1024 + BLOCK)
    assert rounds >= FLOOD // BLOCK // 2  # not fewer than there were blocks to read, but for scheduling
