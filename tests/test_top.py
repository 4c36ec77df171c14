"""`spindle top`: what it shows of a home, as text and in a terminal."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import trio
from attrs import evolve
from rich.console import Console

from spindle.rpc.inspection import (
    Child,
    InspectedRuntime,
    InspectedServer,
    InspectedThread,
    InspectedTokens,
    InspectedTurn,
    Wait,
)
from spindle.storage.home import Home
from spindle.top import asking, main, screen
from spindle.top.lines import lines
from spindle.top.overview import Overview, Process, look
from spindle.top.processes import Usage, usage

AGENT = "0199a213-81c0-7800-8aa1-bbab2a035a54"
PARENT = "0199a213-81c0-7800-8aa1-bbab2a035a53"
OTHER = "0199a214-81c0-7800-8aa1-bbab2a035a53"

SHOWN = Overview(
    home="/home/ann/.codex",
    time=1_000.0,
    processes=[
        Process(
            pid=4711,
            runtime=InspectedRuntime(
                version=1, pid=4711, kind="websocket", spindle="1.0", cwd="/", started_at=849.0, clients=2, children=[
                    Child(pid=4720, command="notify-send done", seconds=0.25)
                ],
            ),
            problem=None,
            usage=Usage(program="python", started_at=840.0, rss=61_000_000, pss=48_000_000, cpu_seconds=3.21),
            locks=[PARENT],
            threads=[
                InspectedThread(
                    id=PARENT,
                    status="active",
                    name="Fix the tests that fail since this morning",
                    subscribers=1,
                    turn=InspectedTurn(
                        id="t",
                        kind="regular",
                        seconds=75.0,
                        tokens=2,
                        waits_for=[
                            Wait(kind="user", what="item/commandExecution/requestApproval", seconds=8.0),
                            Wait(kind="agent", what="wait_agent", seconds=9.0, thread_ids=[AGENT]),
                            Wait(kind="model", what="gpt-5.4", seconds=4.0, attempt=3),
                        ],
                    ),
                    tokens=InspectedTokens(total=9, context=129_200, context_window=258_400),
                    children=[Child(pid=4801, command="npm test", seconds=12.0)],
                    servers=[InspectedServer(name="docs", state="ready", pid=4802)],
                ),
                InspectedThread(id=AGENT, status="idle", agent_nickname="Ada", parent_thread_id=PARENT, unread=3),
            ],
        ),
        Process(pid=4712, runtime=None, problem="has not answered within 2 s", usage=None, locks=[], threads=[]),
        Process(
            pid=99,
            runtime=None,
            problem=None,
            usage=Usage(program="codex app-server", started_at=None, rss=None, pss=None, cpu_seconds=90_061.0),
            locks=[OTHER],
            threads=[],
        ),
    ],
)
TEXT = """\
  /home/ann/.codex  2 runtimes, 1 other process, 2 threads (1 running)

pid 4711  WebSocket  up 2:31  rss 61 MB  pss 48 MB  cpu 3.2 s  2 clients
  child 4720  0.2 s  notify-send done
  PARENT  Fix the tests that fail since t…  active 1:15   2 of 9 tokens, context 50 %  1 subscriber
    waits for the user: approval of a command  8.0 s
    waits for agent 0199a213-81c0-7800-8aa1-bbab2a035a54  9.0 s
    waits for the model gpt-5.4, attempt 3  4.0 s
    MCP server docs  ready  pid 4802
    child 4801  12.0 s  npm test
  0199a213-81c0-7800-8aa1-bbab2a035a54  Ada                               idle          agent of PARENT  3 unread

pid 4712
  has not answered within 2 s

pid 99  codex app-server  cpu 1 d 1 h
  writes to 0199a214-81c0-7800-8aa1-bbab2a035a53
"""


def test_as_text() -> None:
    (_, head), *rest = lines(SHOWN)
    text = "\n".join([head[len("00:00:00") :], *(line for _, line in rest)]) + "\n"
    assert text == TEXT.replace("PARENT", PARENT)


def test_a_process_that_is_not_visible_here_is_shown_by_its_own_id() -> None:
    process = evolve(SHOWN.processes[0], pid=0, usage=None)
    (_, line), *_ = [line for line in lines(evolve(SHOWN, processes=[process])) if line[0] == "process"]
    assert line.startswith("pid 4711  WebSocket")


def test_ids_are_as_short_as_they_can_be() -> None:
    process = SHOWN.processes[2]
    (_, line) = [*lines(Overview(home="/", time=0.0, processes=[process]))][-1]
    assert line == "  writes to 0199a214"


def test_a_terminal_shows_what_fits() -> None:
    shown = [*lines(SHOWN)]
    text = screen.page(shown, 20, 5)
    rows = text.plain.split("\n")
    assert [len(row) <= 20 for row in rows[:-1]] == [True] * 4
    assert rows[2] == "pid 4711  WebSocket…"
    assert rows[-1].startswith(f"… {len(shown) - 4} more lines")
    assert screen.page(shown, 200, 100).plain == "\n".join(line for _, line in shown)


async def test_the_live_view_looks_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: object) -> None:
    seen: list[int] = []

    async def look(home: Home) -> Overview:
        seen.append(len(seen))
        if len(seen) == 3:
            raise OSError("the home is gone")
        return SHOWN

    monkeypatch.setattr(screen, "look", look)
    with (tmp_path / "out").open("w") as file, pytest.raises(OSError, match="the home is gone"):
        await screen.show(Home(tmp_path), Console(file=file, force_terminal=True, width=80, height=10))
    assert "pid 4711" in (tmp_path / "out").read_text()


@pytest.mark.skipif(not Path("/proc/locks").exists(), reason="elsewhere a holder is known only by what it has written")
def test_another_process_that_writes_to_a_thread_is_shown(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.locks.mkdir()
    coordination = home.locks / ".coordination.lock"  # Codex's, and no thread's
    coordination.touch()
    home.lock_file(PARENT).touch()
    program = (
        "import fcntl, sys; files = list(map(open, sys.argv[1:]));"
        "[fcntl.flock(file, fcntl.LOCK_EX) for file in files]; print(flush=True); sys.stdin.read()"
    )
    holding = [sys.executable, "-c", program, str(home.lock_file(OTHER)), str(coordination)]
    with (
        home.lock_file(OTHER).open("w"),
        subprocess.Popen(holding, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder,
    ):
        assert holder.stdout is not None
        holder.stdout.readline()
        (process,) = trio.run(look, home).processes
        assert (process.pid, process.runtime, process.locks) == (holder.pid, None, [OTHER])
        assert process.usage is not None
        assert process.usage.program.startswith("python")
        holder.communicate()
    assert trio.run(look, home).processes == []


async def test_a_runtime_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "SECONDS", 0.05)
    home = Home(tmp_path)
    home.running.mkdir(parents=True, mode=0o700)
    answers = {"silent": None, "odd": b"[]", "broken": b'{"version": 1, '}
    async with trio.open_nursery() as nursery:
        for word, answer in answers.items():
            listener = trio.socket.socket(socket.AF_UNIX)
            monkeypatch.chdir(home.running)
            await listener.bind(f"{os.getpid()}.{word}")
            listener.listen(1)
            nursery.start_soon(_serve, trio.SocketListener(listener), answer)
        dead = await trio.run_process(["sh", "-c", "echo $$"], capture_stdout=True)
        swept = f"{dead.stdout.decode().strip()}.left"
        for name in (swept, f"{os.getpid()}.left"):
            with socket.socket(socket.AF_UNIX) as left:
                left.bind(name)
        problems = sorted(process.problem or "" for process in (await look(home)).processes)
        nursery.cancel_scope.cancel()
    assert [problem[:24] for problem in problems] == ["has answered what this v"] * 2 + ["has not answered within "]
    assert not (home.running / swept).exists()
    assert (home.running / f"{os.getpid()}.left").exists()  # its process lives, and may be about to listen


async def _serve(listener: trio.SocketListener, answer: bytes | None) -> None:
    async with listener, await listener.accept() as stream:
        if answer is None:
            await trio.sleep_forever()
        else:
            await stream.send_all(answer)


def test_what_the_system_says_of_a_process() -> None:
    mine = usage(os.getpid())
    assert mine is not None
    assert mine.rss is not None
    assert mine.rss > 1_000_000
    assert mine.cpu_seconds is not None
    assert mine.started_at is not None
    ended = subprocess.Popen(["true"])
    ended.wait()
    assert usage(ended.pid) is None


def test_it_is_printed_once_without_a_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(str(tmp_path), once=False, json=False) == 0
    assert capsys.readouterr().out.endswith(f"  {tmp_path}  0 runtimes, 0 threads (0 running)\n")
    assert main(str(tmp_path), once=False, json=True) == 0
    assert json.loads(capsys.readouterr().out)["processes"] == []


def test_a_home_that_does_not_exist(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(str(tmp_path / "nowhere"), once=True, json=False) == 1
    assert capsys.readouterr().err == f"spindle: {tmp_path}/nowhere is not a folder\n"
