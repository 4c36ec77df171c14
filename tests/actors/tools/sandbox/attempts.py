"""The table of attempts to get out of a sandbox: programs that report whether they did.

Each prints `held: <why>` or `escaped`. They find their way by the environment: WS may be written by default, OUT may not,
CODEX_HOME is the Codex home, OUTER the process id of the server. Those that need services find them in the folder SOCKETS
(`stream`, `datagram`), under the name ABSTRACT and at the TCP port PORT; SHM and QUEUE are memory and a queue of the server.
"""

from __future__ import annotations

from attrs import frozen

PRELUDE = """
import ctypes, errno, os, resource, socket, struct, sys
WS, OUT, HOME, OUTER = os.environ["WS"], os.environ["OUT"], os.environ["CODEX_HOME"], int(os.environ["OUTER"])
SOCKETS = os.environ.get("SOCKETS")
libc = ctypes.CDLL(None, use_errno=True)
PIECES = ctypes.byref((ctypes.c_size_t * 2)(0, 0))
def call(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
def write(path):
    with open(path, "w") as file:
        file.write("changed")
def link(file, path):
    call(libc.linkat(-100, f"/proc/self/fd/{file}".encode(), -100, path.encode(), 0x400))
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
    """`body` raises if it is refused. `root`: only root succeeds without a sandbox.

    `open_to` names the mechanisms that do not hold it.
    """

    name: str
    body: str
    root: bool = False
    open_to: frozenset[str] = frozenset()

    def must_refuse(self, mechanism: str) -> bool:
        """Whether `mechanism` must refuse it."""
        return mechanism not in self.open_to


LANDLOCK = frozenset({"landlock"})


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
    Attempt("the home's credentials, read", 'assert open(HOME + "/auth.json").read()'),
    Attempt("the home's credentials, read through /proc", 'assert open("/proc/self/root" + HOME + "/auth.json").read()'),
    Attempt(
        "the home's credentials, read by a hard link",
        'os.link(HOME + "/auth.json", WS + "/sub/hard"); assert open(WS + "/sub/hard").read()',
    ),
    Attempt(
        "the home's credentials, read by a symbolic link",
        'os.symlink(HOME, WS + "/sub/link"); assert open(WS + "/sub/link/auth.json").read()',
    ),
    Attempt("the home's configuration, read", 'assert open(HOME + "/config.toml").read()'),
    Attempt("a rule in the home", 'write(HOME + "/rules/mine.rules")'),
    Attempt("a session in the home", 'write(HOME + "/sessions/mine.jsonl")'),
    Attempt("a file without a name, linked outside", 'link(os.open(OUT, os.O_TMPFILE | os.O_RDWR), OUT + "/new")'),
    Attempt(
        "a file without a name, linked into .git", 'link(os.open(WS, os.O_TMPFILE | os.O_RDWR), WS + "/.git/hooks/new")'
    ),
    Attempt("renamed over a file outside", 'write(WS + "/sub/new"); os.replace(WS + "/sub/new", OUT + "/file")'),
    Attempt(
        "renamed over git's configuration", 'write(WS + "/sub/new"); os.replace(WS + "/sub/new", WS + "/.git/config")'
    ),
    Attempt(
        "exchanged with a file outside",
        """
number = 316 if os.uname().machine == "x86_64" else 276
call(libc.syscall(number, -100, (WS + "/file").encode(), -100, (OUT + "/file").encode(), 2))
""",
    ),
    Attempt("the workspace moved away", 'os.rename(WS, WS + "-moved"); os.mkdir(WS)'),
    Attempt(
        "the workspace replaced by a link", 'os.rename(WS, WS + "-moved"); os.symlink(OUT, WS); write(WS + "/new")'
    ),
    Attempt("a link in /tmp", 'os.symlink(OUT, os.path.dirname(OUT) + "/link"); write(OUT + "/../link/new")'),
    Attempt("through a descriptor's name", 'write(f"/dev/fd/{os.open(OUT, os.O_RDONLY)}/new")'),
    Attempt("the mode of a file outside", 'os.chmod(OUT + "/file", 0o777)', open_to=LANDLOCK),
    Attempt("the times of a file outside", 'os.utime(OUT + "/file", (1, 1))', open_to=LANDLOCK),
    Attempt("an attribute of a file outside", 'os.setxattr(OUT + "/file", "user.mine", b"x")', open_to=LANDLOCK),
    Attempt("the owner of a file outside", 'os.chown(OUT + "/file", 1, 1)', root=True),
    Attempt("a node of a device", 'os.mknod(WS + "/sub/node", 0o20666, os.makedev(1, 1))', root=True),
    Attempt(".git made a file", 'os.rename(WS + "/.git", WS + "/sub/g"); write(WS + "/.git")'),
    Attempt(".git shadowed by a folder above", 'os.mkdir(os.path.dirname(WS) + "/.git")'),
    Attempt(
        "git told to work outside",
        """
os.chdir(WS + "/sub")
told = {**os.environ, "GIT_DIR": OUT + "/git", "GIT_WORK_TREE": WS}
assert os.spawnvpe(os.P_WAIT, "git", ["git", "init", "-q"], told) == 0
""",
    ),
    Attempt("what Spindle keeps in the home", 'write(HOME + "/spindle/state.sqlite")'),
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
        'import subprocess\n'
        'said = subprocess.check_output(["cat", "/proc/self/status"])\n'
        'assert b"CapPrm:" in said and b"CapPrm:\\t0000000000000000" not in said',
        root=True,
    ),
    Attempt("the settings of the kernel's switch", 'open("/proc/sysrq-trigger", "w").close()', root=True),
    Attempt(
        "namespaces by nsenter",
        'assert os.spawnvp(os.P_WAIT, "nsenter", ["nsenter", "-t", str(OUTER), "-m", "true"]) == 0',
        root=True,
    ),
    Attempt(
        "a copy that is setuid",
        """
import shutil, stat
shutil.copy("/usr/bin/id", WS + "/sub/id")
os.chmod(WS + "/sub/id", 0o4755)
assert "NoNewPrivs:\\t1" not in open("/proc/self/status").read()
""",
    ),
    Attempt("another user", "os.setuid(1)", root=True),
    Attempt(
        "another user by su",
        'assert os.spawnvp(os.P_WAIT, "su", ["su", "nobody", "-s", "/bin/sh", "-c", "true"]) == 0',
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
    Attempt(
        "stop the server through a process descriptor", "call(libc.syscall(424, os.pidfd_open(OUTER), 0, None, 0))"
    ),
    Attempt("the limits of the server", "resource.prlimit(OUTER, 7, resource.prlimit(OUTER, 7))"),
    Attempt(
        "a descriptor that was left open",
        """
kept = [fd for fd in map(int, os.listdir("/proc/self/fd")) if fd > 2 and os.path.exists(f"/proc/self/fd/{fd}")]
assert kept
""",
    ),
    Attempt(
        "memory shared by the old calls",
        """
libc.shmat.restype = ctypes.c_void_p
place = libc.shmat(int(os.environ["SHM"]), None, 0)
assert place and place != ctypes.c_void_p(-1).value, ctypes.get_errno()
ctypes.memset(place, 1, 1)
""",
    ),
    Attempt("a message queue of the user", "call(libc.mq_open(os.environ['QUEUE'].encode(), os.O_RDWR))"),
    Attempt("io_uring", "call(libc.syscall(425, 4, (ctypes.c_char * 120)()))"),
    Attempt("the keys of the user", "call(libc.syscall(250 if os.uname().machine == 'x86_64' else 219, 0, -3, 0))"),
]

OFFLINE = [
    Attempt("TCP", 'socket.create_connection(("127.0.0.1", int(os.environ["PORT"])), 5)'),
    Attempt("TCP over IPv6", "socket.socket(socket.AF_INET6)"),
    Attempt("UDP", 'socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", 9))'),
    Attempt("a raw socket", "socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)", root=True),
    Attempt("packets", "socket.socket(socket.AF_PACKET, socket.SOCK_RAW)", root=True),
    Attempt("ICMP", "socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)", root=True),
    Attempt("DNS", 'socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.53", 53))'),
    Attempt("multipath TCP", "socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)", root=True),
    Attempt("the kernel's ciphers", "socket.socket(38, socket.SOCK_SEQPACKET)", root=True),
    Attempt("a socket of io_uring", "call(libc.syscall(425, 4, (ctypes.c_char * 120)()))"),
    Attempt("netlink", "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)"),
    Attempt("the host of the machine", "socket.socket(40, socket.SOCK_STREAM)"),
    Attempt("listening", 'socket.create_server(("127.0.0.1", 0))'),
]

SERVICES = [
    Attempt("a socket file", 'os.chdir(SOCKETS); s = socket.socket(socket.AF_UNIX); s.connect("stream")'),
    Attempt("an abstract socket", 's = socket.socket(socket.AF_UNIX); s.connect("\\0" + os.environ["ABSTRACT"])'),
    Attempt(
        "a datagram to a socket file",
        'os.chdir(SOCKETS); socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"x", "datagram")',
    ),
    Attempt(
        "a datagram from a pair",
        'os.chdir(SOCKETS); socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)[0].sendto(b"x", "datagram")',
    ),
    Attempt(
        "a message from a pair",
        'os.chdir(SOCKETS); socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)[0].sendmsg([b"x"], [], 0, "datagram")',
    ),
    Attempt(
        "a pair of raw sockets",
        'os.chdir(SOCKETS); socket.socketpair(socket.AF_UNIX, socket.SOCK_RAW)[0].sendmsg([b"x"], [], 0, "datagram")',
    ),
    Attempt(
        "a socket file through a link",
        'os.symlink(SOCKETS, WS + "/sub/s"); os.chdir(WS + "/sub"); socket.socket(socket.AF_UNIX).connect("s/stream")',
    ),
    Attempt(
        "a socket file through /proc/self/root",
        """
os.chdir("/proc/self/root" + SOCKETS)
socket.socket(socket.AF_UNIX).connect("stream")
""",
    ),
]

TURNS = [
    Attempt("signal the server's group", "os.killpg(os.getpgid(OUTER), 0)"),
    Attempt(
        "typed into the terminal",
        """
import fcntl
fcntl.ioctl(os.open("/dev/tty", os.O_RDWR), 0x5412, b"x")
""",
    ),
]
"""Only for commands with a new session, and maybe a terminal."""

ALL = [*FILES, *PRIVILEGES, *PROCESSES, *OFFLINE, *SERVICES, *TURNS]
