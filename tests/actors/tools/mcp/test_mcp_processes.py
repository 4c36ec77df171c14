"""Servers as real processes: their start, and that no process is left, even of a bad one."""

import logging
import os
from pathlib import Path

import orjson
import pytest
import trio
import trio.lowlevel

from spindle.actors.tools.commands.process import Warden
from spindle.actors.tools.mcp import server_process
from spindle.actors.tools.mcp.opening import ServerOpener
from spindle.actors.tools.mcp.server import Server
from spindle.actors.tools.mcp.servers import McpServers
from spindle.rpc.mcp.mcp_errors import TransportClosed
from spindle.storage.config import McpServerConfig
from spindle.storage.config.programs import Pinned, ProjectProgram

INFO = {"name": "spindle", "version": "1"}


@pytest.fixture
def opening(tmp_path):
    return ServerOpener(str(tmp_path), {"PATH": os.environ["PATH"], "SECRET": "s", "TOKEN": "t"}, Warden())


@pytest.fixture
def processes(monkeypatch):
    """All processes that were started."""
    started = []

    async def start(*args):
        started.append(await real(*args))
        return started[-1]

    real = server_process.start_child
    monkeypatch.setattr("spindle.actors.tools.mcp.server_process.start_child", start)
    return started


def alive(groups):
    """The process groups that still have a process that is not a zombie."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, group = stat.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(group) in groups and state != "Z":
            found.add(int(group))
    return found


def has_children():
    """Whether this process has a child left, also a zombie."""
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return False
    return True


async def test_a_projects_server_is_not_started_when_its_program_has_changed(opening, processes, tmp_path):
    script = tmp_path / "serve.sh"
    script.write_text("true")
    program = ProjectProgram(["./serve.sh"], tmp_path)
    config = McpServerConfig(
        name="s", command="sh", args=("./serve.sh",), pinned=Pinned(program, program.files())
    )
    server = Server(config, opening, INFO)
    await server.run()
    assert len(processes) == 1
    script.write_text("evil")
    server = Server(config, opening, INFO)
    await server.run()
    assert len(processes) == 1
    assert (server.state, server.reason) == ("failed", f"{script} has changed since it was approved")


async def test_the_directory_and_the_environment_of_a_server(nursery, opening, tiny, tmp_path, host):
    servers = McpServers(nursery, host, opening, INFO)
    servers.configure({"tiny": tiny(env={"OWN": "o"}, env_vars=("SECRET", "MISSING"))})
    await servers.settled()
    result = await servers.get("tiny").call_tool("echo", {"text": "where"}, {})
    said = orjson.loads(result["content"][0]["text"])
    assert said["cwd"] == str(tmp_path)
    assert said["leads"] is True
    environment = {name: value for name, value in said["env"].items() if name != "LC_CTYPE"}  # Python sets it itself
    assert environment == {"PATH": os.environ["PATH"], "SECRET": "s", "OWN": "o"}


async def test_a_folder_of_its_own(nursery, opening, tiny, tmp_path, host):
    (tmp_path / "sub").mkdir()
    servers = McpServers(nursery, host, opening, INFO)
    servers.configure({"tiny": tiny(cwd=str(tmp_path / "sub"))})
    await servers.settled()
    result = await servers.get("tiny").call_tool("echo", {"text": "where"}, {})
    assert orjson.loads(result["content"][0]["text"])["cwd"] == str(tmp_path / "sub")


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")
@pytest.mark.parametrize("habit", ["", "deaf", "stubborn", "mother", "chatty", "silent", "short"])
async def test_no_habit_of_a_server_leaves_a_process_behind(opening, tiny, processes, monkeypatch, habit, host):
    # only a server that does not end by itself gets a short deadline
    monkeypatch.setattr(server_process, "GRACE_SECONDS", {"deaf": 1.0, "stubborn": 0.05}.get(habit, 60.0))
    async with trio.open_nursery() as thread:
        servers = McpServers(thread, host, opening, INFO)
        servers.configure({"tiny": tiny(habit, startup_timeout=0.1 if habit == "silent" else 30.0)})
        await servers.settled()
        assert servers.all()[0].state == ("failed" if habit in ("silent", "short") else "ready")
        thread.cancel_scope.cancel()
    (process,) = processes
    # by itself where its input ends, by SIGTERM where it does not care, by SIGKILL where nothing else helps
    assert process.status == {"deaf": -15, "stubborn": -9}.get(habit, 0)
    assert not alive({process.pid})


async def test_a_server_that_is_killed_in_the_middle_of_a_call(nursery, opening, tiny, processes, host):
    servers = McpServers(nursery, host, opening, INFO)
    servers.configure({"tiny": tiny()})
    await servers.settled()
    server = servers.get("tiny")
    with pytest.raises(TransportClosed):
        await server.call_tool("echo", {"text": "die"}, {})
    await processes[0].wait()
    with pytest.raises(TransportClosed):
        await server.call_tool("echo", {"text": "x"}, {})


async def test_a_servers_standard_error_goes_to_the_log(nursery, opening, tiny, caplog, host):
    caplog.set_level(logging.DEBUG, "spindle")
    servers = McpServers(nursery, host, opening, INFO)
    servers.configure({"tiny": tiny("chatty")})
    await servers.settled()
    await servers.get("tiny").call_tool("echo", {}, {})
    lines = [record.getMessage() for record in caplog.records]
    assert "MCP server tiny: starting up" in lines
    assert "MCP server tiny: this is not a message: hello" in lines
    assert max(map(len, lines)) < 600


@pytest.mark.parametrize(
    "config",
    [
        McpServerConfig(name="tiny", command="/nonexistent/program"),
        McpServerConfig(name="tiny", command="no-such-program-anywhere"),
        McpServerConfig(name="tiny", command="true", cwd="/nonexistent"),
    ],
)
async def test_a_program_that_cannot_start(opening, config):
    server = Server(config, opening, INFO)
    await server.run()
    assert server.error == (
        "MCP client for `tiny` failed to start: MCP startup failed: No such file or directory (os error 2)"
    )


async def test_a_null_byte_in_an_argument(opening):
    server = Server(McpServerConfig(name="tiny", command="true", args=("\0",)), opening, INFO)
    await server.run()
    assert server.reason == "embedded null byte"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")
async def test_a_hundred_threads_leave_no_process(opening, tiny, processes):
    from .conftest import Host

    limit = trio.CapacityLimiter(8)

    async def thread(number):
        async with limit, trio.open_nursery() as own:
            servers = McpServers(own, Host(thread_id=str(number)), opening, INFO)
            servers.configure({"tiny": tiny()})
            if number % 2:
                await servers.settled()
                await servers.get("tiny").call_tool("echo", {"text": "x"}, {})
            else:
                await trio.lowlevel.checkpoint()  # ends while the server starts
            own.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        for number in range(100):
            nursery.start_soon(thread, number)
    assert len(processes) >= 50
    assert all(process.status is not None for process in processes)
    assert not alive({process.pid for process in processes})
    assert not has_children()  # not even one that was never handed over
