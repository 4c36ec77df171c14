"""What a confined command can do, what it sees, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio
from attrs import evolve

from spindle.actors.tools.patch.on_path import programs
from spindle.actors.tools.sandbox.confinement import AccessRule, Confinement, of_policy
from spindle.actors.tools.sandbox.denial import denied
from spindle.actors.tools.sandbox.mechanism import Unavailable
from spindle.actors.tools.sandbox.profile import of_profile
from spindle.actors.tools.sandbox.sandbox import Sandbox, SandboxUnavailable
from spindle.rpc.protocol.settings import ReadOnlyPolicy, RestrictedReadAccess

if TYPE_CHECKING:
    from tests.actors.tools.sandbox.conftest import Confiner, World


async def test_read_only_reads_and_says_that_it_does_not_write(confiner: Confiner, world: World) -> None:
    done = await confiner.shell("cat file; ls / >/dev/null && echo x >/dev/null && touch g", ReadOnlyPolicy())
    assert done.stdout == "# original"
    assert done.returncode == 1
    assert ("Read-only file system" if confiner.mounts else "Permission denied") in done.stderr
    assert denied(done.returncode, done.stderr, Confinement((AccessRule("/", "read"),), False))
    assert not (world.ws / "g").exists()


async def test_a_workspace_is_worked_in(confiner: Confiner, world: World) -> None:
    script = "cd sub && mkdir d && echo 1 >d/a && mv d/a b && ln b c && ln -s b l && rm c && chmod 700 b && echo 2 >>b && cat b"
    done = await confiner.shell(script)
    assert (done.returncode, done.stdout) == (0, "1\n2\n"), done
    done = await confiner.shell("echo changed >file && echo new >new")
    assert (world.ws / "file").read_text() == "changed\n"
    # Landlock grants no entries in a folder without granting them in .git too; docs/sandbox.md.
    assert (done.returncode == 0) == confiner.mounts == (world.ws / "new").exists(), done


async def test_restricted_reading_hides_the_rest(confiner: Confiner, world: World) -> None:
    policy = ReadOnlyPolicy(RestrictedReadAccess(True, [str(world.home / "config.toml")]))
    done = await confiner.shell(f"cat file {world.home}/config.toml; cat {world.out}/file", policy)
    assert (done.stdout, done.returncode) == ("# original# original", 1), done
    bare = await confiner.shell("cat file", ReadOnlyPolicy(RestrictedReadAccess(False)))
    assert bare.returncode != 0


async def test_our_own_programs_run_where_only_listed_folders_may_be_read(confiner: Confiner, world: World) -> None:
    own = programs(world.home)
    patch = "*** Begin Patch\n*** Add File: sub/a\n+hi\n*** End Patch"
    script = f"{own.folder}/apply_patch '{patch}'; echo >>{own.folder}/apply_patch; cat {world.out}/file"
    policy = evolve(world.policy(), read_only_access=RestrictedReadAccess(True))
    confinement = of_policy(policy, evolve(world.place, programs=own.readable))
    done = await confiner.run("/bin/sh", "-c", script, confinement=confinement)
    assert done.stdout == "Success. Updated the following files:\nA sub/a\n", done
    assert (world.ws / "sub/a").read_text() == "hi\n"
    assert programs(world.home) == own


async def test_hidden_files_and_folders_are_neither_read_nor_written(confiner: Confiner, world: World) -> None:
    (world.ws / "sub/secret").write_text("secret")
    entries = [
        {"access": "read", "path": {"type": "special", "value": {"kind": "root"}}},
        {"access": "write", "path": {"type": "special", "value": {"kind": "current_working_directory"}}},
        {"access": "none", "path": {"type": "glob_pattern", "pattern": "**/secret"}},
        {"access": "none", "path": {"type": "path", "path": str(world.home)}},
    ]
    confinement = of_profile({"fileSystem": {"entries": entries}}, world.place)
    script = f"cat sub/secret {world.home}/auth.json; ls {world.home}; echo x >sub/secret; echo x >{world.home}/new; cat file"
    done = await confiner.run("/bin/sh", "-c", script, confinement=confinement)
    assert done.stdout == "# original", done
    assert (world.ws / "sub/secret").read_text() == "secret"
    assert not (world.home / "new").exists()


async def test_a_name_of_any_kind_is_no_option(confiner: Confiner, world: World) -> None:
    odd = world.out / "--network \n\"')$(touch x);"
    (odd / "sub").mkdir(parents=True)
    done = await confiner.python(f"open({str(odd / 'sub/x')!r}, 'w').write('y')", world.policy(odd))
    assert done.returncode == 0, done
    assert (odd / "sub/x").read_text() == "y"


@pytest.mark.parametrize(("script", "code"), [("exit 7", 7), ("kill -9 $$", 137), ("kill -TERM $$", 143)])
async def test_the_exit_code_is_the_commands(confiner: Confiner, script: str, code: int) -> None:
    assert (await confiner.shell(script)).returncode == code


async def test_the_environment_is_as_given(confiner: Confiner, world: World) -> None:
    given = {"PATH": os.environ["PATH"], "A": "ü", "PYTHONPATH": "/nowhere", "LC_ALL": "C"}
    done = await confiner.started(["/usr/bin/env", "-0"], given)
    assert done.returncode == 0, done
    seen = dict(line.split("=", 1) for line in done.stdout.split("\0") if line)
    for shells in ("PWD", "OLDPWD", "SHLVL", "_"):
        seen.pop(shells, None)
    assert seen == {**given, "CODEX_SANDBOX_NETWORK_DISABLED": "1"}


async def test_with_network_the_offline_variable_is_not_set(confiner: Confiner, world: World) -> None:
    done = await confiner.shell("echo ${CODEX_SANDBOX_NETWORK_DISABLED-unset}", world.policy(network=True))
    assert done.stdout == "unset\n"


async def test_signals_are_received_as_usual(confiner: Confiner) -> None:
    done = await confiner.shell("grep -E 'Sig(Ign|Blk)' /proc/self/status")
    ignored, *_ = [int(line.split()[1], 16) for line in done.stdout.splitlines() if line.startswith("SigIgn")]
    # SIGPIPE and SIGXFSZ are ignored by this Python, which restores them in what it starts.
    assert ignored == 0, done


TYPING = """
import os, pty, sys
pid, terminal = pty.fork()
if pid == 0:
    os.execvp(sys.argv[1], sys.argv[1:])
seen = b""
while b"ready" not in seen:
    seen += os.read(terminal, 1000)
os.write(terminal, b"\\x03")
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
WAITING = """
import time
try:
    print("ready", flush=True)
    time.sleep(1000)
except KeyboardInterrupt:
    exit(5)
"""


async def test_an_interrupt_at_the_terminal_reaches_the_command_only(confiner: Confiner, world: World) -> None:
    """It must not end the process that waits for the command at the same terminal."""
    argv = [sys.executable, "-c", WAITING]
    inside = [sys.executable, "-c", TYPING]
    done = await confiner.started(
        argv, os.environ, lambda line: line.__setitem__(slice(0, 0), inside), stdin=subprocess.DEVNULL
    )
    assert done.stdout == "5\n", done


KILLED = """
import json, os, subprocess, sys, threading
argv, env, cwd = json.load(sys.stdin)
child = subprocess.Popen(argv, env=env, cwd=cwd, stdin=subprocess.DEVNULL)
threading.Event().wait()
"""


def serve() -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", KILLED], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


async def test_nothing_is_left_when_the_server_is_killed(confiner: Confiner, world: World) -> None:
    """The command's children hold the pipe open, so it closes with the last of them."""
    confinement = of_policy(world.policy(), world.place)
    assert confinement is not None
    script = "sh -c 'echo ready; exec sleep 1000' & wait"
    async with confiner.sandbox.confined(confinement, ["/bin/sh", "-c", script], os.environ) as command:
        argv = list(command.argv)
        server = serve()
        assert server.stdin is not None
        assert server.stdout is not None
        if "--parent" in argv:
            argv[argv.index("--parent") + 1] = str(server.pid)
        json.dump([argv, dict(command.env), str(world.ws)], server.stdin)
        server.stdin.close()
        assert await trio.to_thread.run_sync(server.stdout.readline) == "ready\n"
        server.send_signal(signal.SIGKILL)
        with trio.fail_after(60):
            assert await trio.to_thread.run_sync(server.stdout.read, abandon_on_cancel=True) == ""
    server.stdout.close()
    server.wait()


async def test_landlock_alone_has_a_temporary_folder_of_its_own(confiner: Confiner, world: World) -> None:
    done = await confiner.shell('echo x >"${TMPDIR:-/tmp}/spindle-probe" && echo "$TMPDIR"', world.policy(Path("/tmp")))
    assert done.returncode == 0, done
    if confiner.mounts:
        os.unlink(os.path.join(os.environ.get("TMPDIR", "/tmp"), "spindle-probe"))
    else:
        assert done.stdout.startswith("/tmp/spindle-")
        assert done.stdout.strip()[5:] not in os.listdir("/tmp")


async def test_a_failed_set_up_runs_nothing(confiner: Confiner, world: World) -> None:
    if confiner.name == "bubblewrap":
        pytest.skip("bubblewrap's own business")

    def spoil(line: list[str]) -> None:
        line[line.index("--filter") + 1] = "ff" * 8

    done = await confiner.started(["/bin/echo", "ran"], os.environ, spoil)
    assert (done.returncode, done.stdout) == (125, ""), done
    assert done.stderr.startswith("sandbox: ")


async def test_a_missing_program_is_named(confiner: Confiner) -> None:
    done = await confiner.run("/no/such/program")
    assert done.returncode != 0
    assert "/no/such/program" in done.stderr


async def test_without_a_mechanism_there_is_an_error_with_its_reason() -> None:
    with pytest.raises(SandboxUnavailable, match="because"):
        async with Sandbox(Unavailable("because")).confined(Confinement((AccessRule("/", "read"),), False), ["true"], {}):
            pass  # pragma: no cover


def test_a_sandbox_finds_its_mechanism_once() -> None:
    sandbox = Sandbox()
    assert sandbox.mechanism() is sandbox.mechanism()
    sandbox.close()
    sandbox.close()
