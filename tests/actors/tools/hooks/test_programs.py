"""Programs of hooks: their input, their end, and that no process is left."""

import os

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from spindle.actors.tools.commands.process import open_warden
from spindle.actors.tools.hooks.program import OUTPUT_CAP, Starter
from spindle.actors.tools.hooks.verdicts import ProgramEnd


@pytest.fixture
async def starter():
    """Starts programs; their background processes end with the test."""
    async with open_warden() as warden, trio.open_nursery() as nursery:
        yield Starter(warden, nursery, lambda script: ["/bin/sh", "-c", script], lambda: {"PATH": os.environ["PATH"]})
        nursery.cancel_scope.cancel()


async def wait_unused(fifo):
    """Wait until no process has the FIFO open for writing; reads `fifo`."""
    with trio.fail_after(10):
        while True:
            try:
                if os.read(fifo, 1) == b"":
                    return
            except BlockingIOError:
                pass
            await trio.lowlevel.wait_readable(fifo)


@pytest.fixture
def fifo(tmp_path):
    """(path, descriptor to read): open while a process has it open."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    yield path, fd
    os.close(fd)


async def test_it_reads_its_input_in_its_directory(starter, tmp_path):
    ended = await starter.run("cat; pwd; echo oops >&2; exit 3", str(tmp_path), b'{"a": 1}', 10)
    assert ended == ProgramEnd(code=3, out=f'{{"a": 1}}{tmp_path}\n', err="oops\n")


async def test_it_need_not_read_its_input(starter, tmp_path):
    assert await starter.run("exec <&-; echo ok", str(tmp_path), b"x" * 200_000, 10) == ProgramEnd(code=0, out="ok\n")


async def test_one_that_a_signal_ends_has_no_code(starter, tmp_path):
    assert await starter.run("kill -9 $$", str(tmp_path), b"", 10) == ProgramEnd(code=None)


async def test_one_that_cannot_be_started_says_why(starter, tmp_path):
    ended = await starter.run("true", str(tmp_path / "missing"), b"", 10)
    assert ended == ProgramEnd(failure="No such file or directory (os error 2)")


async def test_output_beyond_the_cap_is_discarded(starter, tmp_path):
    script = f"head -c {OUTPUT_CAP + 100_000} /dev/zero; printf '\\377' >&2"
    ended = await starter.run(script, str(tmp_path), b"", 30)
    assert (ended.code, len(ended.out), ended.err) == (0, OUTPUT_CAP, "�")


async def test_it_waits_for_processes_that_hold_the_output(starter, tmp_path):
    os.mkfifo(tmp_path / "go")
    async with trio.open_nursery() as nursery:
        ends = []

        async def run():
            ends.append(await starter.run("(cat go; echo late) & echo now", str(tmp_path), b"", 10))

        nursery.start_soon(run)
        await trio.to_thread.run_sync((tmp_path / "go").write_text, "then ")
    assert ends == [ProgramEnd(code=0, out="now\nthen late\n")]


async def test_its_time_is_limited_and_nothing_is_left(starter, fifo, mock_clock, tmp_path):
    path, fd = fifo
    ends = []
    async with trio.open_nursery() as nursery:

        async def run():
            script = f"exec 3>{path}; echo up >&3; sleep 1000 & sleep 1000"
            ends.append(await starter.run(script, str(tmp_path), b"", 7))

        nursery.start_soon(run)
        await trio.lowlevel.wait_readable(fd)
        os.read(fd, 100)
        mock_clock.jump(6.9)
        await wait_all_tasks_blocked()
        assert not ends
        mock_clock.jump(0.2)
    assert ends == [ProgramEnd(failure="hook timed out after 7s")]
    await wait_unused(fd)


async def test_cancelled_it_is_gone_with_all_it_started(starter, fifo, tmp_path):
    path, fd = fifo
    async with trio.open_nursery() as nursery:
        nursery.start_soon(starter.run, f"exec 3>{path}; sleep 1000 & echo up >&3; sleep 1000", str(tmp_path), b"", 600)
        await trio.lowlevel.wait_readable(fd)
        nursery.cancel_scope.cancel()
    os.read(fd, 100)
    await wait_unused(fd)


async def test_a_detached_process_lives_until_the_nursery_ends(fifo, tmp_path):
    path, fd = fifo
    async with open_warden() as warden, trio.open_nursery() as nursery:
        starter = Starter(warden, nursery, lambda script: ["/bin/sh", "-c", script], lambda: dict(os.environ))
        script = f"(exec 3>{path}; echo up >&3; sleep 1000) </dev/null >/dev/null 2>&1 & echo done"
        assert await starter.run(script, str(tmp_path), b"", 600) == ProgramEnd(code=0, out="done\n")
        await trio.lowlevel.wait_readable(fd)
        assert os.read(fd, 100) == b"up\n"
        with pytest.raises(BlockingIOError):
            os.read(fd, 1)
        nursery.cancel_scope.cancel()
    await wait_unused(fd)
