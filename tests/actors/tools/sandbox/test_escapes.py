"""Attempts to get out, each under each mechanism, and without a sandbox, where it must succeed; that shows that the attempt
itself works."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from spindle.actors.tools.commands import warden
from spindle.actors.tools.sandbox.mechanism import ENTER

from .attempts import FILES, OFFLINE, PRIVILEGES, PROCESSES, SERVICES, Attempt, program

if TYPE_CHECKING:
    from tests.actors.tools.sandbox.conftest import Confiner, World

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="attempts are of Linux")


def free(world: World, attempt: Attempt) -> str:
    """The output of the attempt without a sandbox."""
    done = subprocess.run(
        [sys.executable, "-c", program(attempt.body)],
        env=world.environment,
        cwd=world.ws,
        capture_output=True,
        text=True,
    )
    return done.stdout + done.stderr


def exists(path: str) -> bool:
    return os.path.exists(path)


def named(attempts: list[Attempt]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("attempt", attempts, ids=[attempt.name for attempt in attempts])


@pytest.mark.usefixtures("services")
@named([*FILES, *PRIVILEGES, *PROCESSES])
async def test_files_outside_are_unchanged(confiner: Confiner, world: World, attempt: Attempt) -> None:
    before = world.seen()
    done = await confiner.python(program(attempt.body))
    assert done.stdout.startswith("held:" if attempt.must_refuse(confiner.name) else "escaped"), done
    assert world.seen() == before


@pytest.mark.usefixtures("services")
@named([*FILES, *PRIVILEGES, *PROCESSES])
def test_the_same_gets_out_without_a_sandbox(world: World, attempt: Attempt) -> None:
    said = free(world, attempt)
    if "escaped" not in said and (attempt.root or attempt not in FILES):
        pytest.skip(f"this user and machine do not allow it anyway: {said}")
    assert said == "escaped\n"


@pytest.mark.usefixtures("services")
@named([*OFFLINE, *SERVICES])
async def test_without_network_no_connection_is_possible(confiner: Confiner, attempt: Attempt) -> None:
    done = await confiner.python(program(attempt.body))
    assert "not permitted" in done.stdout, done


@pytest.mark.usefixtures("services")
@named(SERVICES)
async def test_services_are_unreachable_with_the_network_allowed(
    confiner: Confiner, world: World, attempt: Attempt
) -> None:
    done = await confiner.python(program(attempt.body), world.policy(network=True))
    assert "not permitted" in done.stdout, done


@pytest.mark.usefixtures("services")
@named([*OFFLINE, *SERVICES])
def test_sockets_reach_without_a_sandbox(world: World, attempt: Attempt) -> None:
    said = free(world, attempt)
    if "escaped" not in said and (attempt.root or "IPv6" in attempt.name or "host" in attempt.name):
        pytest.skip(f"not here: {said}")
    assert "escaped" in said


@pytest.mark.usefixtures("services")
async def test_an_open_network_is_open(confiner: Confiner, world: World) -> None:
    done = await confiner.python(program(OFFLINE[0].body), world.policy(network=True))
    assert done.stdout == "escaped\n", done


async def test_a_pair_of_sockets_works(confiner: Confiner) -> None:
    done = await confiner.python(
        "import socket; a, b = socket.socketpair(); a.sendmsg([b'x']); a.send(b'y'); print(b.recv(2))"
    )
    assert done.stdout == "b'xy'\n", done


NESTED = {
    "the parent moved away": 'os.rename(OUT + "/deep", OUT + "/moved"); os.makedirs(OUT + "/deep/project/.git/hooks")',
    "its own folder moved away": 'os.rename(OUT + "/deep/project", OUT + "/moved")',
    "replaced by a link": 'os.rename(OUT + "/deep", OUT + "/moved"); os.symlink(OUT + "/moved", OUT + "/deep")',
}


@pytest.mark.parametrize("how", NESTED)
async def test_a_parent_of_a_protected_path_is_not_moved(confiner: Confiner, world: World, how: str) -> None:
    (world.out / "deep/project/.git/hooks").mkdir(parents=True)
    done = await confiner.python(program(NESTED[how]), world.policy(world.out, world.out / "deep/project"))
    assert done.stdout.startswith("held:"), done
    assert (world.out / "deep/project/.git/hooks").is_dir()
    assert not (world.out / "moved").exists()


async def test_a_missing_git_folder_cannot_be_created(confiner: Confiner, world: World) -> None:
    attempt = program('os.makedirs(WS + "/.git/hooks")')
    for name in ("config", "hooks"):
        path = world.ws / ".git" / name
        path.unlink() if path.is_file() else path.rmdir()
    (world.ws / ".git").rmdir()
    done = await confiner.python(attempt)
    assert done.stdout.startswith("held:"), done
    done = await confiner.python(program('os.rmdir(WS + "/.git"); os.makedirs(WS + "/.git/hooks")'))
    assert done.stdout.startswith("held:"), done
    assert sorted(path.name for path in world.ws.iterdir()) == ["file", "sub"], "nothing is left of the masks"


async def test_a_worktree_protects_what_its_git_file_points_to(confiner: Confiner, world: World) -> None:
    tree = world.out / "repo/.git/worktrees/w"
    tree.mkdir(parents=True)
    (world.out / "repo/.git/hooks").mkdir()
    (tree / "commondir").write_text("../..\n")
    worktree = world.ws / "sub"
    (worktree / ".git").write_text(f"gitdir: {tree}\n")
    policy = world.policy(world.out, worktree)
    for where in ('OUT + "/repo/.git/worktrees/w/HEAD"', 'OUT + "/repo/.git/hooks/new"', 'WS + "/sub/.git"'):
        done = await confiner.python(program(f"write({where})"), policy)
        assert done.stdout.startswith("held:"), done
    done = await confiner.python(program('write(OUT + "/file")'), policy)
    assert done.stdout == "escaped\n", "the root itself is writable"


async def test_a_git_that_is_a_link_is_not_replaced(confiner: Confiner, world: World) -> None:
    (world.ws / ".git").rename(world.out / "git")
    (world.ws / ".git").symlink_to(world.out / "git")
    done = await confiner.python(program('os.unlink(WS + "/.git"); os.mkdir(WS + "/.git")'))
    assert done.stdout.startswith("held:"), done
    assert (world.ws / ".git").is_symlink()
    done = await confiner.python(program('write(WS + "/sub/new")'))
    assert done.stdout == "escaped\n", done


async def test_a_home_in_a_writable_root_keeps_its_own(confiner: Confiner, world: World) -> None:
    before = world.seen()
    for where in ("config.toml", "auth.json", "rules/mine", "sessions/mine", "AGENTS.md"):
        done = await confiner.python(
            program(f'write(HOME + "/{where}")'), world.policy(world.root, world.home / "rules")
        )
        assert done.stdout.startswith("held:"), done
    done = await confiner.python(program('os.rename(HOME, OUT + "/home")'), world.policy(world.root))
    assert done.stdout.startswith("held:"), done
    assert world.seen() == before


@pytest.mark.parametrize("code", [ENTER, os.path.realpath(warden.__file__)])
async def test_the_code_that_confines_the_next_command_is_not_changed(confiner: Confiner, world: World, code: str) -> None:
    policy = world.policy(Path(ENTER).parents[3])
    done = await confiner.python(program(f"open({code!r}, 'a').close()"), policy)
    assert done.stdout.startswith("held:"), done


LEAVING = """
import os
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execvp("sleep", ["sleep", "1000"])
    os._exit(0)
print("left")
"""


async def test_a_child_that_leaves_ends_with_the_command(confiner: Confiner) -> None:
    """The child holds the standard output open, so this only returns when the child has ended."""
    done = await confiner.python(LEAVING)
    assert (done.returncode, done.stdout) == (0, "left\n"), done


async def test_descriptors_do_not_leak(confiner: Confiner) -> None:
    done = await confiner.shell("cd /proc/self/fd && exec ls -l")
    lines = [line.split()[8] for line in done.stdout.splitlines() if " -> " in line and "/fd" not in line.split()[-1]]
    assert lines == ["0", "1", "2"], done


async def test_shared_memory_is_its_own(confiner: Confiner) -> None:
    name = f"/dev/shm/spindle-test-{os.getpid()}"
    done = await confiner.python(program(f'write("{name}")'))
    assert not exists(name)
    assert done.stdout.startswith("escaped" if confiner.mounts else "held:"), done


async def test_a_terminal_takes_no_input_from_the_command(confiner: Confiner, world: World) -> None:
    outer, inner = pty.openpty()
    code = "import fcntl\ntry: fcntl.ioctl(0, 0x5412, b'x')\nexcept OSError as e: print(e)"
    argv = [sys.executable, "-c", code]
    done = await confiner.started(argv, world.environment, stdin=inner, start_new_session=True)
    os.close(outer)
    os.close(inner)
    assert "not permitted" in done.stdout, done


async def test_raw_devices_stay_shut(confiner: Confiner) -> None:
    disks = [path for path in ("/dev/vda", "/dev/sda", "/dev/nvme0n1", "/dev/kmsg", "/dev/vsock") if exists(path)]
    if not disks:
        pytest.skip("no such device here")
    for disk in disks:
        done = await confiner.python(program(f'open("{disk}", "rb").close()'))
        assert done.stdout.startswith("held:"), done
