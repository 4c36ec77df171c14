"""Where MCP servers start: in the Codex home and nowhere else, and once for a thread and its agents."""

import os
import sys
from pathlib import Path

import orjson
import pytest
import trio
import trio.testing

from spindle.actors.delivery.outbox import Overflow
from spindle.actors.delivery.subscribers import Subscriber
from spindle.rpc.protocol.mcp import ListMcpServerStatusParams, McpResourceReadParams

from .agent_plays import agent_of, attach, call, close, leave, loaded, outputs_of, send, spawn, wait
from .test_servers import ask as ask_runtime

TINY = Path(__file__).parents[1] / "tools" / "mcp" / "tiny_server.py"


class Starts:
    """A server `tiny` that writes down each start and its directory."""

    def __init__(self, folder: Path) -> None:
        self.home, self.work, self.noted = folder / "home", folder / "work", folder / "starts"
        self.home.mkdir()
        self.work.mkdir()

    def configure(self, more: str = "", name: str = "tiny") -> None:
        run = f'echo "$PWD" >> {self.noted}; exec {sys.executable} -S -E {TINY}'
        table = f"[mcp_servers.{name}]\ncommand = '/bin/sh'\nargs = ['-c', '''{run}''']\n{more}\n"
        with (self.home / "config.toml").open("a") as file:
            file.write(table)

    @property
    def folders(self) -> list[str]:
        return list(map(os.path.normpath, self.noted.read_text().split())) if self.noted.exists() else []


@pytest.fixture
def starts(tmp_path):
    return Starts(tmp_path)


ECHO = {"type": "function_call", "call_id": "echo", "name": "echo", "namespace": "mcp__tiny__"}


def echo(text, id="echo"):
    return ECHO | {"call_id": id, "arguments": orjson.dumps({"text": text}).decode()}


@pytest.mark.parametrize(
    ("more", "folder"),
    [("", "home"), ("shared = true", "home"), ('cwd = "{work}"', "work"), ('cwd = "sub"', "home/sub"), ('cwd = "."', "home")],
)
async def test_a_server_starts_in_the_home_or_in_its_configured_folder(opened, starts, tmp_path, more, folder, monkeypatch):
    (starts.home / "sub").mkdir()
    starts.configure(more.format(work=starts.work))
    monkeypatch.chdir(starts.work)
    async with opened(cwd=starts.work) as runtime, runtime.start_thread(cwd=starts.work) as thread:
        await thread.run("go")
        assert starts.folders == [str(tmp_path / folder)]


async def test_a_server_without_a_thread_starts_there_too(opened, starts):
    starts.configure()
    async with opened(cwd=starts.work) as runtime:
        await ask_runtime(runtime, "mcpServerStatus/list", ListMcpServerStatusParams())
        await ask_runtime(runtime, "mcpServer/resource/read", McpResourceReadParams(server="tiny", uri="mem://a"))
    assert starts.folders == [str(starts.home)] * 2


async def test_nothing_in_the_workspace_is_run(opened, starts, tmp_path):
    """`python -m` looks into its working directory, as a shell does for a relative command."""
    planted = f"open({str(tmp_path / 'ran')!r}, 'w')"
    for name in ("planted.py", "json.py", "server"):
        (starts.work / name).write_text(f"#!{sys.executable}\n{planted}\n")
        (starts.work / name).chmod(0o755)
    for name, command, args in (
        ("module", sys.executable, ["-m", "planted"]),
        ("standard", sys.executable, ["-c", "import json"]),
        ("relative", "./server", []),
        ("script", sys.executable, ["planted.py"]),
    ):
        with (starts.home / "config.toml").open("a") as file:
            file.write(f"[mcp_servers.{name}]\ncommand = '{command}'\nargs = {args}\n")
    async with opened(cwd=starts.work) as runtime, runtime.start_thread(cwd=starts.work) as thread:
        await thread.run("go")
    assert not (tmp_path / "ran").exists()


async def test_a_server_starts_in_a_home_that_does_not_exist_yet(opened, starts, tmp_path):
    config = [("mcp_servers.tiny.command", sys.executable), ("mcp_servers.tiny.args", ["-S", "-E", str(TINY)])]
    async with opened(home=tmp_path / "none", config=config) as runtime:
        status = await ask_runtime(runtime, "mcpServerStatus/list", ListMcpServerStatusParams())
    assert set(status.data[0].tools) == {"echo", "write"}


async def test_an_agent_uses_its_parents_servers(play, starts, tmp_path):
    starts.configure()
    parts = {"root": [[echo("one")], [spawn()], [wait()], [echo("three")], ["ok"]], "child": [[echo("two")], ["done"]]}
    opening, cast = play(**parts)
    async with opening as runtime, runtime.start_thread(cwd=starts.work) as thread:
        await thread.run("go")
        assert outputs_of(cast, "child")["echo"].endswith('[{"type":"text","text":"two"}]')
        assert outputs_of(cast)["echo"].endswith('[{"type":"text","text":"three"}]')
        assert starts.folders == [str(starts.home)]


async def test_a_closed_agent_leaves_the_servers_and_a_resumed_one_starts_none(play, starts):
    starts.configure()

    def resume(outputs):
        return call("resume_agent", {"id": agent_of(outputs)}, "resume")

    root = [[spawn()], [wait()], [close()], [echo("one")], [resume], [send("child more", "s")], [wait("w2")], ["ok"]]
    opening, cast = play(root=root, child=[["one"], [echo("two")], ["two"]])
    async with opening as runtime, runtime.start_thread(cwd=starts.work) as thread:
        await thread.run("go")
        assert outputs_of(cast)["echo"].endswith('[{"type":"text","text":"one"}]')
        assert outputs_of(cast, "child")["echo"].endswith('[{"type":"text","text":"two"}]')
        assert len(starts.folders) == 1


async def test_an_agent_whose_role_has_other_servers_starts_its_own(play, starts, tmp_path):
    starts.configure()
    role = tmp_path / "role.toml"
    role.write_text("[mcp_servers.tiny]\ntool_timeout_sec = 7\n")
    with (starts.home / "config.toml").open("a") as file:
        file.write(f"[agents.other]\ndescription = 'd'\nconfig_file = '{role}'\n")
    opening, cast = play(root=[[spawn(agent_type="other")], [wait()], ["ok"]], child=[[echo("two")], ["done"]])
    async with opening as runtime, runtime.start_thread(cwd=starts.work) as thread:
        await thread.run("go")
        assert outputs_of(cast, "child")["echo"].endswith('[{"type":"text","text":"two"}]')
        assert len(starts.folders) == 2


async def test_an_agent_that_was_released_starts_its_own_servers(play, starts):
    starts.configure()
    opening, cast = play(root=[[spawn()], [wait()], ["ok"]], child=[["one"], [echo("two")], ["two"]])
    async with opening as runtime:
        async with runtime.start_thread(cwd=starts.work) as thread:
            await thread.run("go")
            id = agent_of(outputs_of(cast))
            own = Subscriber(Overflow.CLOSE)
            await attach(runtime, id, own)
        while loaded(runtime) != [id]:
            await trio.testing.wait_all_tasks_blocked()
        assert len(starts.folders) == 1
        async with runtime.resume_thread(id) as agent:
            await agent.run("child again")
        assert outputs_of(cast, "child")["echo"].endswith('[{"type":"text","text":"two"}]')
        assert len(starts.folders) == 2
        await leave(runtime, id, own)
