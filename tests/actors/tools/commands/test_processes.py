"""Commands as processes: streams, terminals, and an end that leaves no process.

A FIFO shows whether anything is left: every process of the command holds its writing end, so its end of file means that all
of it is gone.
"""

import contextlib
import os
import resource
import signal
import socket
import subprocess
import sys

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from spindle.actors.tools.commands import warden as program
from spindle.actors.tools.commands.process import Command, open_warden

LIMIT = 30  # seconds after which a test has failed

# three generations: a child, one in a session of its own, one orphaned twice over
TREE = """
exec 9>"$FIFO"
sleep 1000 &
setsid sleep 1000 &
(setsid sh -c 'sleep 1000 & exec setsid sleep 1000' &)
echo ready
sleep 1000
"""


def command(*argv, **kw):
    env = {"PATH": os.environ["PATH"], **kw.pop("env", {})}
    return Command(argv=argv, cwd=kw.pop("cwd", "/"), env=env, **kw)


async def everything(process):
    blocks = []
    while block := await process.read():
        blocks.append(block)
    return b"".join(blocks)


class Fifo:
    """A FIFO, and the wait until no process has it open for writing."""

    def __init__(self, path):
        self.path = str(path)
        os.mkfifo(path)
        self._fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)

    async def closed(self):
        with trio.fail_after(LIMIT):
            async with trio.lowlevel.FdStream(self._fd) as stream:
                while await stream.receive_some(100):
                    pass


@pytest.fixture
def fifo(tmp_path):
    return Fifo(tmp_path / "fifo")


@pytest.fixture
async def warden():
    async with open_warden() as warden:
        yield warden


async def test_output_exit_code_directory_and_environment(warden, tmp_path):
    script = 'pwd; echo "$A"; echo err >&2; cat; exit 3'
    async with await warden.start(command("sh", "-c", script, cwd=str(tmp_path), env={"A": "é"})) as process:
        assert await everything(process) == f"{tmp_path}\né\nerr\n".encode()
        assert await process.wait() == 3
        assert await process.wait() == process.status == 3


async def test_error_output_can_be_kept_apart_and_input_written(warden):
    async with await warden.start(command("sh", "-c", "cat; echo err >&2", stdin=True, split=True)) as process:
        await process.write(b"in")
        assert await process.read() == b"in"
        await process.close_input()
        assert await process.read_error() == b"err\n"
        assert await process.read() == await process.read_error() == b""


async def test_writing_without_input_is_refused(warden):
    async with await warden.start(command("true")) as process:
        with pytest.raises(trio.ClosedResourceError):
            await process.write(b"x")


async def test_a_terminal_has_a_size_and_its_keys_send_signals(warden):
    async with await warden.start(command("sh", "-c", "stty size; tty >&2; exec sleep 1000", tty=True)) as process:
        seen = b""
        while b"/dev/" not in seen:
            seen += await process.read()
        assert seen.startswith(b"24 80\r\n")
        await process.write(b"\x03")
        assert await process.wait() == -signal.SIGINT


async def test_a_terminal_can_be_resized(warden):
    async with await warden.start(command("sh", "-c", "read x; stty size", tty=True, size=(10, 20))) as process:
        process.resize(30, 100)
        await process.write(b"\n")
        assert b"30 100" in await everything(process)


@pytest.mark.parametrize(("argv", "cwd"), [(["no-such-program-anywhere"], "/"), (["true"], "/no/such/directory")])
async def test_a_failed_start_is_an_error_and_the_next_command_runs(warden, argv, cwd):
    with pytest.raises(FileNotFoundError):
        await warden.start(command(*argv, cwd=cwd))
    async with await warden.start(command("true")) as process:
        assert await process.wait() == 0


async def test_running_out_of_descriptors_is_an_error_that_leaks_none(warden):
    async with await warden.start(command("true")) as process:
        await process.wait()
    before = sorted(os.listdir("/dev/fd"))
    free = os.dup(0)
    os.close(free)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    for left in range(8):  # two for the keeper and two for each stream
        resource.setrlimit(resource.RLIMIT_NOFILE, (free + left, limits[1]))
        try:
            with pytest.raises(OSError, match="Too many open files"):
                await warden.start(command("true", stdin=True, split=True))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        assert sorted(os.listdir("/dev/fd")) == before


async def test_signals_and_descriptors_of_the_runtime_are_not_passed_on(warden):
    script = "import os, signal; print(signal.getsignal(signal.SIGINT), os.listdir('/dev/fd'))"
    async with await warden.start(command(sys.executable, "-I", "-c", script)) as process:
        told = await everything(process)
    assert b"default_int_handler" in told
    assert told.count(b"'") == 2 * 4  # 0, 1, 2 and the listing's own


async def test_closing_kills_all_that_the_command_started(warden, fifo):
    async with await warden.start(command("sh", "-c", TREE, env={"FIFO": fifo.path})) as process:
        assert await process.read() == b"ready\n"
    await fifo.closed()
    assert process.status == -signal.SIGKILL


async def test_background_processes_outlive_the_command(warden, fifo):
    script = 'exec 9>"$FIFO"; setsid sleep 1000 >/dev/null 2>&1 & exit 0'
    async with await warden.start(command("sh", "-c", script, env={"FIFO": fifo.path})) as process:
        assert await process.wait() == 0
        gone = []

        async def wait_for_tree():
            await process.wait_tree()
            gone.append(1)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait_for_tree)
            await wait_all_tasks_blocked()
            assert not gone
            process.kill()
        assert gone
    await fifo.closed()


async def test_cancelling_kills_and_waits(warden, fifo):
    tree = command("sh", "-c", TREE, env={"FIFO": fifo.path})
    async with trio.open_nursery() as nursery, await warden.start(tree) as process:
        assert await process.read() == b"ready\n"
        nursery.cancel_scope.cancel()
        await process.wait()
    assert process.status == -signal.SIGKILL
    await fifo.closed()


async def test_the_end_of_the_warden_ends_unclosed_commands(fifo):
    async with open_warden() as warden:
        process = await warden.start(command("sh", "-c", TREE, env={"FIFO": fifo.path}))
        assert await process.read() == b"ready\n"
        await process.aclose()
    await fifo.closed()


async def test_a_warden_that_was_killed_is_replaced_and_its_commands_stay(warden, fifo):
    async with await warden.start(command("sh", "-c", TREE, env={"FIFO": fifo.path})) as process:
        assert await process.read() == b"ready\n"
        warden._child.kill()
        warden._child.wait()
        async with await warden.start(command("echo", "again")) as other:
            assert await everything(other) == b"again\n"
        assert process.status is None
    await fifo.closed()


async def test_the_warden_ends_with_the_last_thread_that_holds_it_and_comes_back(warden):
    async def run():
        async with await warden.start(command("true")) as process:
            assert await process.wait() == 0
        return warden._child.pid

    warden.hold()
    async with warden.held():
        pid = await run()
    assert await run() == pid
    await warden.let_go()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert await run() != pid


async def test_a_keeper_that_was_killed_leaves_nothing_either(warden, fifo):
    script = 'echo "$PPID"; ' + TREE
    async with await warden.start(command("sh", "-c", script, env={"FIFO": fifo.path})) as process:
        seen = b""
        while b"ready" not in seen:
            seen += await process.read()
        os.kill(int(seen.split()[0]), signal.SIGKILL)
        assert await process.wait() == -signal.SIGKILL
        await fifo.closed()


async def test_a_command_dies_with_its_keeper_even_without_a_warden(warden, fifo):
    script = 'exec 9>"$FIFO"; echo "$PPID"; exec sleep 1000'
    async with await warden.start(command("sh", "-c", script, env={"FIFO": fifo.path})) as process:
        keeper = int(await process.read())
        warden._child.kill()
        warden._child.wait()
        os.kill(keeper, signal.SIGKILL)
        await fifo.closed()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
async def test_a_keeper_shares_its_memory_with_the_warden(warden):
    async with contextlib.AsyncExitStack() as stack:
        processes = [await stack.enter_async_context(await warden.start(command("cat", stdin=True))) for _ in range(4)]
        rollup = await trio.Path(f"/proc/{processes[0].keeper}/smaps_rollup").read_text()
        own = int(rollup.partition("Private_Dirty:")[2].split()[0])
        assert own < 800, "about 400 KiB, and 1,300 if the keeper reads and decodes the order"


@pytest.fixture
def program_alone():
    """The warden's program and our end of its socket; no runtime."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        child = subprocess.Popen(
            [sys.executable, "-I", "-S", program.__file__], stdin=theirs.fileno(), stdout=subprocess.DEVNULL
        )
        theirs.close()
        try:
            yield child, ours
        finally:
            child.kill()
            child.wait()


LONG = program.LENGTH.pack(100)


@pytest.mark.parametrize("given", [b"", LONG[:2], LONG, LONG + b"{"])
def test_an_order_that_is_cut_off_ends_the_command_and_its_keeper(program_alone, given):
    child, requests = program_alone
    ours, theirs = socket.socketpair()
    with ours, theirs:
        socket.send_fds(requests, [b"k"], [theirs.fileno()])
        theirs.close()
        ours.sendall(given)
        ours.shutdown(socket.SHUT_WR)  # the runtime has ended here
        ours.settimeout(LIMIT)
        while ours.recv(100):  # the last process that has it open has ended
            pass
    requests.close()
    assert child.wait(LIMIT) == 0


RUNTIME = """
import os, sys, trio
from spindle.actors.tools.commands.process import Command, open_warden

async def main():
    async with open_warden() as warden:
        for _ in range(3):
            env = {"PATH": os.environ["PATH"], "FIFO": sys.argv[1]}
            process = await warden.start(Command(argv=["sh", "-c", sys.argv[2]], cwd="/", env=env, tty=_ == 1))
            while b"ready" not in await process.read():
                pass
        print("started", flush=True)
        await trio.sleep_forever()

trio.run(main)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
async def test_nothing_outlives_the_runtime_even_if_it_is_killed(fifo, how):
    argv = [sys.executable, "-c", RUNTIME, fifo.path, TREE]
    runtime = await trio.lowlevel.open_process(argv, stdout=subprocess.PIPE)
    assert runtime.stdout is not None
    try:
        with trio.fail_after(LIMIT):
            assert (await runtime.stdout.receive_some(100)).startswith(b"started")
        runtime.send_signal(how)
        await runtime.wait()
        await fifo.closed()
    finally:
        runtime.kill()
        await runtime.wait()
        await runtime.stdout.aclose()


def no_directory(path):
    raise FileNotFoundError(path)


def test_descendants_are_found_with_and_without_the_kernel_s_lists(monkeypatch):
    child = subprocess.Popen(["sh", "-c", "sleep 1000 & echo $!; wait"], stdout=subprocess.PIPE, start_new_session=True)
    assert child.stdout is not None
    try:
        grandchild = int(child.stdout.readline())
        assert set(program.descendants(os.getpid())) >= {child.pid, grandchild}
        monkeypatch.setattr(program, "_children", lambda pid: None)
        assert set(program.descendants(os.getpid())) >= {child.pid, grandchild}
        assert program.descendants(child.pid) == [grandchild]
        table = program.parents(os.getpid(), 0)
        monkeypatch.setattr(os, "listdir", no_directory)
        told = program.parents(os.getpid(), 0)  # by ps
        assert table[child.pid] == told[child.pid] == os.getpid()
        assert table[grandchild] == told[grandchild] == child.pid
        assert program.parents(os.getpid(), child.pid)[grandchild] == os.getpid()
        os.kill(grandchild, signal.SIGKILL)
    finally:
        child.wait()
        child.stdout.close()
