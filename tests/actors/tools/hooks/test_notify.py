"""The notify program: no turn waits for it, and it has a deadline at the end of the runtime."""

import os

import orjson
import pytest
import trio
from attrs import evolve
from trio.testing import wait_all_tasks_blocked

from spindle.actors.tools.commands.process import open_warden
from spindle.actors.tools.hooks.notify import LAST_WAIT, LONGEST, LONGEST_ARGUMENT, Notices, TurnDone

DONE = TurnDone(thread_id="t", turn_id="u", cwd="/c", client=None, inputs=["a", "b"], last_message=None)


@pytest.fixture
def fifo(tmp_path):
    """(path, descriptor to read): open while a process has it open."""
    os.mkfifo(tmp_path / "fifo")
    fd = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    yield tmp_path / "fifo", fd
    os.close(fd)


async def start(nursery, notices, warden, script, cwd, fd):
    """A program, started and ready."""
    program = ["/bin/sh", "-c", script]
    nursery.start_soon(notices.run, warden, program, dict(os.environ), str(cwd), DONE)
    await trio.lowlevel.wait_readable(fd)
    assert os.read(fd, 100) == b"up\n"


async def end(fd):
    """Wait until no process has the FIFO open."""
    with trio.fail_after(10):
        while True:
            try:
                if os.read(fd, 1) == b"":
                    return
            except BlockingIOError:
                pass
            await trio.lowlevel.wait_readable(fd)


def test_its_argument():
    assert orjson.loads(DONE.argument()) == {
        "type": "agent-turn-complete",
        "thread-id": "t",
        "turn-id": "u",
        "cwd": "/c",
        "input-messages": ["a", "b"],
        "last-assistant-message": None,
    }


def test_the_oldest_inputs_are_left_out():
    done = evolve(DONE, inputs=["old" * 10_000, "x" * 100_000, "new"], last_message="m" * 1000)
    argument = done.argument()
    assert len(argument) <= LONGEST_ARGUMENT
    assert orjson.loads(argument)["input-messages"] == ["x" * 100_000, "new"]


async def test_it_has_some_seconds_more_when_the_runtime_ends(fifo, mock_clock, tmp_path):
    path, fd = fifo
    os.mkfifo(tmp_path / "go")
    notices = Notices()
    async with open_warden() as warden, trio.open_nursery() as nursery:
        script = f"exec 3>{path}; echo up >&3; cat go; echo told >&3"
        await start(nursery, notices, warden, script, tmp_path, fd)
        nursery.cancel_scope.cancel()
        with trio.CancelScope(shield=True):
            async with trio.open_nursery() as closing:
                closing.start_soon(notices.aclose)
                await wait_all_tasks_blocked()
                mock_clock.jump(LAST_WAIT / 2)
                await trio.to_thread.run_sync((tmp_path / "go").write_text, "")
        assert os.read(fd, 100) == b"told\n"
    await end(fd)


async def test_then_it_is_killed(fifo, mock_clock, tmp_path):
    path, fd = fifo
    notices = Notices()
    async with open_warden() as warden, trio.open_nursery() as nursery, trio.open_nursery() as closing:
        script = f"exec 3>{path}; echo up >&3; sleep 1000"
        await start(nursery, notices, warden, script, tmp_path, fd)
        closing.start_soon(notices.aclose)
        await wait_all_tasks_blocked()
        mock_clock.jump(LAST_WAIT)
    await end(fd)


async def test_its_time_is_limited(fifo, mock_clock, tmp_path):
    path, fd = fifo
    async with open_warden() as warden, trio.open_nursery() as nursery:
        await start(nursery, Notices(), warden, f"exec 3>{path}; echo up >&3; sleep 1000", tmp_path, fd)
        mock_clock.jump(LONGEST)
    await end(fd)


async def test_a_missing_program_is_logged(tmp_path, caplog):
    notices = Notices()
    async with open_warden() as warden:
        await notices.run(warden, ["/no/such/program"], {}, str(tmp_path), DONE)
    assert "the notify program /no/such/program could not be started" in caplog.text
    await notices.aclose()
