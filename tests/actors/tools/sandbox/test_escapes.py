"""Attempts to get out, each under each mechanism. Each is made without a sandbox too, where it must succeed: so that it
would be noticed if the attempt itself were wrong."""

from __future__ import annotations

import os
import pty
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from attrs import frozen

from spindle.actors.tools.sandbox.mechanism import ENTER

if TYPE_CHECKING:
    from tests.actors.tools.sandbox.conftest import Confiner, World

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="attempts are of Linux")

PRELUDE = """
import ctypes, errno, os, socket, struct, sys
WS, OUT, HOME, OUTER = os.environ["WS"], os.environ["OUT"], os.environ["CODEX_HOME"], int(os.environ["OUTER"])
libc = ctypes.CDLL(None, use_errno=True)
PIECES = ctypes.byref((ctypes.c_size_t * 2)(0, 0))
def call(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
def write(path):
    with open(path, "w") as file:
        file.write("changed")
def attempt():
{body}
try:
    attempt()
except (OSError, AssertionError) as error:
    print("held:", error)
else:
    print("escaped")
"""


def program(body: str) -> str:
    return PRELUDE.replace("{body}", "\n".join("    " + line for line in body.strip().splitlines()))


@frozen
class Attempt:
    """`body` raises where it is held. `root` means that only root gets anywhere without a sandbox."""

    name: str
    body: str
    root: bool = False


FILES = [
    Attempt("write outside", 'write(OUT + "/new")'),
    Attempt("change a file outside", 'write(OUT + "/file")'),
    Attempt("truncate outside", 'os.truncate(OUT + "/file", 0)'),
    Attempt("delete outside", 'os.unlink(OUT + "/file")'),
    Attempt("rename outside", 'os.rename(OUT + "/file", OUT + "/other")'),
    Attempt("move out of the workspace", 'os.rename(WS + "/sub", OUT + "/sub")'),
    Attempt("a symbolic link to a folder", 'os.symlink(OUT, WS + "/sub/link"); write(WS + "/sub/link/new")'),
    Attempt("a symbolic link to a file", 'os.symlink(OUT + "/file", WS + "/sub/link"); write(WS + "/sub/link")'),
    Attempt("a hard link", 'os.link(OUT + "/file", WS + "/sub/hard"); write(WS + "/sub/hard")'),
    Attempt("a hard link into .git", 'os.link(WS + "/.git/config", WS + "/sub/hard"); write(WS + "/sub/hard")'),
    Attempt("through dots", 'write(WS + "/sub/../../out/new")'),
    Attempt("through /proc/self/root", 'write("/proc/self/root" + OUT + "/new")'),
    Attempt("through /proc/self/cwd", 'write("/proc/self/cwd/../out/new")'),
    Attempt("through /proc/1/root", 'write("/proc/1/root" + OUT + "/new")', root=True),
    Attempt("through the outer process's root", 'write(f"/proc/{OUTER}/root{OUT}/new")'),
    Attempt("through the outer process's cwd", 'os.listdir(f"/proc/{OUTER}/cwd")'),
    Attempt("the outer process's descriptors", 'os.readlink(f"/proc/{OUTER}/fd/0")'),
    Attempt("the outer process's memory", 'open(f"/proc/{OUTER}/mem", "r+b").close()'),
    Attempt("the outer process's environment", 'assert open(f"/proc/{OUTER}/environ", "rb").read(1)'),
    Attempt("a hook of git", 'write(WS + "/.git/hooks/pre-commit")'),
    Attempt("the configuration of git", 'write(WS + "/.git/config")'),
    Attempt(".git moved away", 'os.rename(WS + "/.git", WS + "/sub/git")'),
    Attempt(".codex made", 'os.makedirs(WS + "/.codex/rules"); write(WS + "/.codex/rules/mine")'),
    Attempt(".codex made as a file", 'write(WS + "/.codex")'),
    Attempt(".agents made by renaming", 'os.mkdir(WS + "/sub/a"); os.rename(WS + "/sub/a", WS + "/.agents")'),
    Attempt(".codex made as a link", 'os.symlink(WS + "/sub", WS + "/.codex")'),
    Attempt("the home's configuration", 'write(HOME + "/config.toml")'),
    Attempt("the home's credentials", 'write(HOME + "/auth.json")'),
    Attempt("a rule in the home", 'write(HOME + "/rules/mine.rules")'),
    Attempt("a session in the home", 'write(HOME + "/sessions/mine.jsonl")'),
    Attempt(
        "a program in memory",
        """
memory = os.memfd_create("program")
os.write(memory, b"#!/bin/sh\\nexec touch $OUT/new\\n")
os.set_inheritable(memory, True)
os.waitpid(os.posix_spawn("/bin/sh", ["sh", f"/proc/self/fd/{memory}"], os.environ), 0)
assert os.path.exists(OUT + "/new")
""",
    ),
    Attempt("kernel settings", 'open("/proc/sys/kernel/core_pattern", "r+").close()', root=True),
    Attempt(
        "control groups",
        """
place = next(p for p in ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"] if os.path.isdir(p)) + "/spindle-test"
os.mkdir(place)
os.rmdir(place)
""",
        root=True,
    ),
]

PRIVILEGES = [
    Attempt(
        "remount writable", 'call(libc.mount(b"none", b"/", None, 0x1000 | 0x20, None)); write(OUT + "/new")', root=True
    ),
    Attempt("unmount what protects", 'call(libc.umount2(WS.encode() + b"/.git", 2))', root=True),
    Attempt(
        "mount",
        """
call(libc.mount(OUT.encode(), WS.encode() + b"/sub", None, 0x1000, None))
call(libc.umount2(WS.encode() + b"/sub", 2))
""",
        root=True,
    ),
    Attempt("a mount by the new calls", "call(libc.syscall(428, -100, OUT.encode(), 1))", root=True),
    Attempt("change the root", 'os.chroot("/tmp")', root=True),
    Attempt("a user namespace", "call(libc.unshare(0x10000000))"),
    Attempt(
        "a user namespace by clone",
        """
number = 56 if os.uname().machine == "x86_64" else 220
if call(libc.syscall(number, 0x10000000 | 17, 0, 0, 0, 0)) == 0:
    os._exit(0)
""",
    ),
    Attempt("clone3", "libc.syscall(435, 0, 0); assert ctypes.get_errno() == errno.EINVAL"),
    Attempt("another's namespace", 'call(libc.setns(os.open(f"/proc/{OUTER}/ns/mnt", os.O_RDONLY), 0))', root=True),
    Attempt("capabilities", 'assert "CapEff:\\t0000000000000000" not in open("/proc/self/status").read()', root=True),
    Attempt(
        "capabilities after exec",
        'assert b"CapPrm:\\t0000000000000000" not in os.popen("cat /proc/self/status").buffer.read()',
        root=True,
    ),
    Attempt("a setuid program", 'assert "NoNewPrivs:\\t1" not in open("/proc/self/status").read()'),
]

PROCESSES = [
    Attempt("signal the outer process", "os.kill(OUTER, 0)"),
    Attempt("trace the outer process", "call(libc.ptrace(0x4206, OUTER, 0, 0)); libc.ptrace(17, OUTER, 0, 0)"),
    Attempt(
        "read the outer process",
        "call(libc.process_vm_readv(OUTER, PIECES, 1, PIECES, 1, 0))",
    ),
    Attempt(
        "write the outer process",
        "call(libc.process_vm_writev(OUTER, PIECES, 1, PIECES, 1, 0))",
    ),
    Attempt("a descriptor of the outer process", "call(libc.syscall(438, os.pidfd_open(OUTER), 0, 0))"),
    Attempt("io_uring", "call(libc.syscall(425, 4, (ctypes.c_char * 120)()))"),
    Attempt("the keys of the user", "call(libc.syscall(250 if os.uname().machine == 'x86_64' else 219, 0, -3, 0))"),
]

OFFLINE = [
    Attempt("TCP", 'socket.create_connection(("127.0.0.1", int(os.environ["PORT"])), 5)'),
    Attempt("TCP over IPv6", "socket.socket(socket.AF_INET6)"),
    Attempt("UDP", 'socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", 9))'),
    Attempt("a raw socket", "socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)", root=True),
    Attempt("packets", "socket.socket(socket.AF_PACKET, socket.SOCK_RAW)", root=True),
    Attempt("netlink", "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)"),
    Attempt("the host of the machine", "socket.socket(40, socket.SOCK_STREAM)"),
    Attempt("listening", 'socket.create_server(("127.0.0.1", 0))'),
]

SERVICES = [
    Attempt("a socket file", 's = socket.socket(socket.AF_UNIX); s.connect(OUT + "/stream")'),
    Attempt("an abstract socket", 's = socket.socket(socket.AF_UNIX); s.connect("\\0" + os.environ["ABSTRACT"])'),
    Attempt(
        "a datagram to a socket file",
        'socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"x", OUT + "/datagram")',
    ),
    Attempt(
        "a datagram from a pair",
        'socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)[0].sendto(b"x", OUT + "/datagram")',
    ),
    Attempt(
        "a message from a pair",
        'socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)[0].sendmsg([b"x"], [], 0, OUT + "/datagram")',
    ),
    Attempt(
        "a pair of raw sockets",
        'socket.socketpair(socket.AF_UNIX, socket.SOCK_RAW)[0].sendmsg([b"x"], [], 0, OUT + "/datagram")',
    ),
]


def free(world: World, attempt: Attempt) -> str:
    """What the attempt says without a sandbox."""
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


@named([*FILES, *PRIVILEGES, *PROCESSES])
async def test_what_is_outside_stays_as_it_is(confiner: Confiner, world: World, attempt: Attempt) -> None:
    before = world.seen()
    done = await confiner.python(program(attempt.body))
    assert done.stdout.startswith("held:"), done
    assert world.seen() == before


@named([*FILES, *PRIVILEGES, *PROCESSES])
def test_the_same_gets_out_without_a_sandbox(world: World, attempt: Attempt) -> None:
    said = free(world, attempt)
    if "escaped" not in said and (attempt.root or attempt not in FILES):
        pytest.skip(f"this user and machine do not allow it anyway: {said}")
    assert said == "escaped\n"


@pytest.fixture
def services(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Servers of this process: TCP, a socket file of each kind, an abstract socket."""
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_UNIX) as stream,
        socket.socket(socket.AF_UNIX) as abstract,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagram,
    ):
        monkeypatch.chdir(world.out)  # the path of a socket is short
        stream.bind("stream")
        datagram.bind("datagram")
        name = f"spindle-test-{os.getpid()}-{world.root.parent.name}"
        abstract.bind("\0" + name)
        for server in (stream, abstract):
            server.listen()
        monkeypatch.setenv("PORT", str(tcp.getsockname()[1]))
        monkeypatch.setenv("ABSTRACT", name)
        yield


def shortened(attempt: Attempt) -> Attempt:
    """The attempt made from where the socket files are: their names may only be short."""
    body = attempt.body.replace('OUT + "/', '"')
    return Attempt(attempt.name, f"os.chdir(OUT)\n{body}", attempt.root)


@pytest.mark.usefixtures("services")
@named([*OFFLINE, *SERVICES])
async def test_no_network_is_none_in_any_form(confiner: Confiner, attempt: Attempt) -> None:
    done = await confiner.python(program(shortened(attempt).body))
    assert "not permitted" in done.stdout, done


@pytest.mark.usefixtures("services")
@named(SERVICES)
async def test_services_stay_out_of_reach_with_the_network_open(
    confiner: Confiner, world: World, attempt: Attempt
) -> None:
    done = await confiner.python(program(shortened(attempt).body), world.policy(network=True))
    assert "not permitted" in done.stdout, done


@pytest.mark.usefixtures("services")
@named([*OFFLINE, *SERVICES])
def test_sockets_reach_without_a_sandbox(world: World, attempt: Attempt) -> None:
    said = free(world, shortened(attempt))
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
async def test_a_parent_of_what_is_protected_is_not_moved(confiner: Confiner, world: World, how: str) -> None:
    (world.out / "deep/project/.git/hooks").mkdir(parents=True)
    done = await confiner.python(program(NESTED[how]), world.policy(world.out, world.out / "deep/project"))
    assert done.stdout.startswith("held:"), done
    assert (world.out / "deep/project/.git/hooks").is_dir()
    assert not (world.out / "moved").exists()


async def test_git_is_not_made_where_it_is_missing(confiner: Confiner, world: World) -> None:
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


async def test_what_confines_the_next_command_is_not_changed(confiner: Confiner, world: World) -> None:
    policy = world.policy(Path(ENTER).parents[3])
    done = await confiner.python(program(f"open({ENTER!r}, 'a').close()"), policy)
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


async def test_the_mode_of_files_outside_is_held_by_mounts(confiner: Confiner, world: World) -> None:
    """Landlock says nothing about modes and times: docs/sandbox.md names it as not covered."""
    done = await confiner.python(program('os.chmod(OUT + "/file", 0o777)'))
    assert done.stdout.startswith("held:" if confiner.mounts else "escaped"), done
