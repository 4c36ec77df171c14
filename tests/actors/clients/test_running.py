"""The processes of a client: a client that is behind, input that is not read, and cancellation."""

import math
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from spindle.actors.clients.processes import running
from spindle.actors.clients.processes.running import Captured, Held, Running, Wanted
from spindle.actors.kernel.mailbox import Reply
from spindle.actors.tools.commands.execution import plain
from spindle.actors.tools.commands.process import Command, open_warden
from spindle.rpc.protocol.errors import OVERLOADED, RpcError


def wanted(*argv, cap=None, streamed=False, stdin=False):
    command = Command(argv=argv, cwd="/", env={"PATH": "/usr/bin:/bin"}, stdin=stdin, split=True)
    return Wanted(command=command, timeout=math.inf, cap=cap, streamed=streamed, writable=stdin)


async def no_wait():
    await trio.lowlevel.checkpoint()


def unexpected(*_):
    pytest.fail("nothing is streamed")


async def test_a_client_that_is_behind_holds_the_process_up_and_loses_nothing():
    size = 1_000_000
    got, held, caught_up = bytearray(), trio.Event(), trio.Event()

    async def room():
        held.set()
        await caught_up.wait()

    async with open_warden() as warden:
        one = wanted("head", "-c", str(size), "/dev/zero", streamed=True)
        process = Running(warden, one, lambda stream, data, capped: got.extend(data), room, Held())
        ended = []

        async def run():
            ended.append(await process.run(one.command, plain))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(run)
            await held.wait()
            assert 0 < len(got) < size
            assert not ended
            caught_up.set()
    assert (len(got), ended[0].status, ended[0].held) == (size, 0, False)


async def test_input_that_is_not_read_is_bounded_and_refused_at_the_end(monkeypatch):
    monkeypatch.setattr(running, "INPUTS", 2)
    answers: list[Any] = []
    reply = lambda: Reply(answers.append, answers.append)  # noqa: E731
    async with open_warden() as warden:
        one = wanted("sleep", "600", stdin=True)
        process = Running(warden, one, unexpected, no_wait, Held())
        async with trio.open_nursery() as nursery:
            await nursery.start(process_run(process, one))
            process.write(bytes(1_000_000), False, reply())  # more than a pipe takes
            await wait_all_tasks_blocked()
            for _ in range(2):
                process.write(b"x", False, reply())
            with pytest.raises(RpcError) as refused:
                process.write(b"x", False, reply())
            assert refused.value.code == OVERLOADED
            assert answers == []
            process.kill()
    assert len(answers) == 3
    assert all(isinstance(answer, RpcError) for answer in answers)


def process_run(process, one):
    async def run(task_status):
        await process.run(one.command, plain, task_status=task_status)

    return run


async def test_input_is_closed_once():
    answers: list[Any] = []
    async with open_warden() as warden:
        one = wanted("cat", stdin=True)
        process = Running(warden, one, unexpected, no_wait, Held())
        async with trio.open_nursery() as nursery:
            await nursery.start(process_run(process, one))
            process.write(b"x", True, Reply(answers.append, answers.append))
            process.write(b"", True, Reply(answers.append, answers.append))
            with pytest.raises(RpcError, match="stdin is already closed"):
                process.write(b"y", False, Reply(answers.append, answers.append))
    assert answers == [None, None]


async def test_cancellation_kills_the_process():
    async with open_warden() as warden:
        one = wanted("sleep", "600")
        async with trio.open_nursery() as nursery:
            await nursery.start(process_run(Running(warden, one, unexpected, no_wait, Held()), one))
            assert len(warden.running()) == 1
            nursery.cancel_scope.cancel()
        assert warden.running() == []


@pytest.mark.parametrize(
    ("data", "capped", "text"),
    [
        (b"a\xc3\xa9", False, "a\u00e9"),
        (b"a\xc3", True, "a"),
        (b"a\xc3", False, "a\u00c3"),
        (b"\xff\x81", False, "\u00ff\ufffd"),
    ],
)
def test_output_is_text(data, capped, text):
    assert Captured(bytearray(data), len(data), capped).text() == text


@pytest.mark.parametrize("cap", [None, 50_000])
async def test_what_is_held_for_a_client_is_bounded(monkeypatch, cap):
    monkeypatch.setattr(running, "MOST", 1000)
    held = Held(900)  # by its other processes
    async with open_warden() as warden:
        one = wanted("head", "-c", "100000", "/dev/zero", cap=cap)
        ended = await Running(warden, one, unexpected, no_wait, held).run(one.command, plain)
        assert (ended.streams["stdout"].size, ended.streams["stdout"].capped, ended.lost) == (0, True, True)
        few = wanted("head", "-c", "100", "/dev/zero", cap=cap)
        ended = await Running(warden, few, unexpected, no_wait, held).run(few.command, plain)
        assert (ended.streams["stdout"].size, ended.streams["stdout"].capped, ended.lost) == (100, False, False)
    assert held.size == 900


async def test_input_that_waits_is_bounded_in_bytes(monkeypatch):
    monkeypatch.setattr(running, "MOST", 1_000_000)
    answers: list[Any] = []
    reply = lambda: Reply(answers.append, answers.append)  # noqa: E731
    held = Held()
    async with open_warden() as warden:
        one = wanted("sh", "-c", "read x; exec sleep 600", stdin=True)
        process = Running(warden, one, unexpected, no_wait, held)
        async with trio.open_nursery() as nursery:
            await nursery.start(process_run(process, one))
            process.write(b"x\n", False, reply())
            while not answers:
                await trio.lowlevel.checkpoint()
            assert held.size == 0
            process.write(bytes(900_000), False, reply())
            with pytest.raises(RpcError) as refused:
                process.write(bytes(200_000), False, reply())
            assert refused.value.code == OVERLOADED
            assert held.size == 900_000
            process.kill()
    assert held.size == 0


async def test_a_size_before_the_start_is_remembered():
    got = bytearray()
    command = Command(argv=("stty", "size"), cwd="/", env={"PATH": "/usr/bin:/bin"}, stdin=True, tty=True)
    one = Wanted(command=command, timeout=math.inf, cap=None, streamed=True, writable=True)
    async with open_warden() as warden:
        process = Running(warden, one, lambda stream, data, capped: got.extend(data), no_wait, Held())
        process.resize(7, 9)
        await process.run(command, plain)
    assert got == b"7 9\r\n"
