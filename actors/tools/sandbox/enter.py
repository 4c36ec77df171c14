"""Confine this process by its arguments, then execute the command: `python -I -S enter.py [options] -- COMMAND…`.

A separate program, run by path. It imports nothing of ours and little else, because it starts with every command.

    --rule ACCESS PATH    access below PATH (none, read, write), from shallow to deep, "/" first
    --pin PATH            a writable folder that must not be renamed
    --namespaces          enforce the rules with mounts in new namespaces, and kill all processes at the command's end
    --network             allow the network
    --names               no folder has hidden names
    --filter HEX          the seccomp filter
    --parent PID          end when this process ends
    --unset NAME          remove NAME from the environment

Without --namespaces, Landlock alone enforces the rules. It can only grant, and only for a folder with all below it. So where a
deeper rule allows less, the folders around it are granted entry by entry, and no new entry can be created in them.

Exits with the command's exit code (128 + signal if it was killed). If the confinement cannot be set up, exits with 125 and a
line on standard error, and does not run the command.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import NoReturn

FAILED = 125
LIBC = ctypes.CDLL(None, use_errno=True)

PDEATHSIG, NO_NEW_PRIVS, DROP_BOUNDING, SECCOMP, SUBREAPER, SECUREBITS, AMBIENT = 1, 38, 24, 22, 36, 28, 47
NEW_NAMESPACES, NEW_NET = 0x10000000 | 0x20000000 | 0x00020000 | 0x08000000 | 0x04000000, 0x40000000
"""User, pid, mount, IPC and UTS; and the network."""
NOSUID, NODEV, NOEXEC, BIND, RECURSIVE, PRIVATE = 2, 4, 8, 0x1000, 0x4000, 0x40000
ATTR_READONLY, ATTR_NOSUID, AT_RECURSIVE = 1, 2, 0x8000
CREATE_RULESET, ADD_RULE, RESTRICT_SELF, MOUNT_SETATTR, CLOSE_RANGE, PIDFD_OPEN = 444, 445, 446, 442, 436, 434
CAPSET = {"x86_64": 126, "aarch64": 91}

FILE_RIGHTS = 1 | 1 << 1 | 1 << 2 | 1 << 14
"""Execute, write, read, truncate: the rights in a rule for a file."""
READING = 1 | 1 << 2 | 1 << 3
LISTING = 1 << 3
ALL_RIGHTS, TRUNCATE = (1 << 15) - 1, 1 << 14
"""All rights on files of Landlock's version 3; later versions add none that matter here."""
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
TYPED = (signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP)
"""Signals that a user types; they are for the command, not for the process that waits for it."""
ORDER = {"none": 0, "read": 1, "write": 2}


class FilterProgram(ctypes.Structure):
    """`struct sock_fprog` of linux/filter.h."""

    _fields_ = (("length", ctypes.c_ushort), ("lines", ctypes.c_void_p))


def checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def syscall(number: int, what: str, *arguments: object) -> int:
    return checked(LIBC.syscall(number, *arguments), what)


def prctl(option: int, value: int = 0, pointer: object = None) -> int:
    return checked(LIBC.prctl(option, ctypes.c_ulong(value), pointer, 0, 0), f"prctl {option}")


def mount(source: bytes | None, target: str, kind: bytes | None, flags: int, data: bytes | None = None) -> None:
    path = os.fsencode(target)
    checked(LIBC.mount(source, path, kind, ctypes.c_ulong(flags), data), f"mount {target}")


def set_attributes(path: str, added: int, cleared: int = 0, recursive: bool = True) -> None:
    values = (ctypes.c_uint64 * 4)(added, cleared, 0, 0)
    flags = AT_RECURSIVE if recursive else 0
    syscall(MOUNT_SETATTR, f"protect {path}", -100, os.fsencode(path), flags, values, 32)


# ---- arguments ----------------------------------------------------------------------------------------------------------


class Options:
    def __init__(self, arguments: list[str]) -> None:
        self.rules: list[tuple[str, str]] = []
        self.pins: list[str] = []
        self.unset: list[str] = []
        self.namespaces = self.network = self.names = False
        self.filter, self.parent = b"", 0
        rest = iter(arguments)
        for word in rest:
            if word == "--":
                break
            elif word == "--rule":
                access = next(rest)
                self.rules.append((next(rest), access))
            elif word == "--pin":
                self.pins.append(next(rest))
            elif word == "--unset":
                self.unset.append(next(rest))
            elif word == "--filter":
                self.filter = bytes.fromhex(next(rest))
            elif word == "--parent":
                self.parent = int(next(rest))
            elif word == "--namespaces":
                self.namespaces = True
            elif word == "--network":
                self.network = True
            elif word == "--names":
                self.names = True
            else:
                raise ValueError(f"unknown option {word}")
        self.command = list(rest)


# ---- namespaces and mounts ----------------------------------------------------------------------------------------------


def enter_namespaces(network: bool) -> None:
    user, group = os.geteuid(), os.getegid()
    checked(LIBC.unshare(NEW_NAMESPACES | (0 if network else NEW_NET)), "unshare")
    for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def arrange_mounts(plan: Options, cwd: str) -> None:
    """Mount everything read-only, then each rule from shallow to deep."""
    mount(None, "/", None, RECURSIVE | PRIVATE)
    private_devices()
    mounts = sorted([*plan.rules[1:], *((pin, "pin") for pin in plan.pins)], key=lambda rule: rule[0].count("/"))
    mounts = [(path, access) for path, access in mounts if os.path.lexists(path)]
    veiled = [path for path, access in mounts if access == "none" and os.path.isdir(path)]
    held = {
        path: os.open(path, os.O_PATH | os.O_CLOEXEC)
        for path, access in mounts
        if access != "none" and any(path.startswith(veil + "/") for veil in veiled)
    }
    for path, access in mounts:
        if access == "none":
            hide(path, any(other.startswith(path + "/") for other in held))
        elif path in held:
            uncover(path, held[path])
        else:
            mount(os.fsencode(path), path, None, BIND | RECURSIVE)
    for descriptor in held.values():
        os.close(descriptor)
    set_attributes("/", ATTR_NOSUID | (0 if plan.rules[0][1] == "write" else ATTR_READONLY))
    open_devices()
    for path, access in mounts:
        if access == "write":
            try:
                set_attributes(path, ATTR_NOSUID, ATTR_READONLY)
            except PermissionError:  # a mount below is read-only on the whole machine
                set_attributes(path, ATTR_NOSUID, ATTR_READONLY, recursive=False)
        elif access == "read":
            set_attributes(path, ATTR_READONLY | ATTR_NOSUID)
        elif access == "none":
            set_attributes(path, ATTR_READONLY, recursive=False)
    # may fail in a container that covers parts of /proc; Landlock protects the old one
    LIBC.mount(b"proc", b"/proc", b"proc", ctypes.c_ulong(NOSUID | NODEV | NOEXEC), None)
    set_attributes("/proc", ATTR_READONLY | ATTR_NOSUID)
    os.chdir(cwd)


def hide(path: str, passable: bool) -> None:
    """Cover `path`; `passable`: paths below it are uncovered later."""
    if os.path.isdir(path):
        mount(b"tmpfs", path, b"tmpfs", NOSUID | NODEV | NOEXEC, b"mode=755" if passable else b"mode=000")
    else:
        mount(b"/dev/null", path, None, BIND)


def uncover(path: str, held: int) -> None:
    """Mount an open path back to its place below a covered folder."""
    source = b"/proc/self/fd/%d" % held
    if not os.path.lexists(path):
        if os.path.isdir(source):
            os.makedirs(path)
        else:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            os.close(os.open(path, os.O_CREAT, 0o444))
    mount(source, path, None, BIND | RECURSIVE)


def private_devices() -> None:
    """Mount a /dev with harmless devices, and new terminals and shared memory."""
    held = [(name, os.open(f"/dev/{name}", os.O_PATH)) for name in DEVICES if os.path.exists(f"/dev/{name}")]
    mount(b"tmpfs", "/dev", b"tmpfs", NOSUID, b"mode=755")
    for name, descriptor in held:
        os.close(os.open(f"/dev/{name}", os.O_CREAT, 0o666))
        mount(b"/proc/self/fd/%d" % descriptor, f"/dev/{name}", None, BIND)
        os.close(descriptor)
    for name in ("pts", "shm"):
        os.mkdir(f"/dev/{name}")
    mount(b"devpts", "/dev/pts", b"devpts", NOSUID | NOEXEC, b"newinstance,ptmxmode=0666,mode=620")
    mount(b"tmpfs", "/dev/shm", b"tmpfs", NOSUID | NODEV, b"mode=1777")
    for name, target in (("ptmx", "pts/ptmx"), ("fd", "/proc/self/fd")):
        os.symlink(target, f"/dev/{name}")
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        os.symlink(f"/proc/self/fd/{number}", f"/dev/{name}")


def open_devices() -> None:
    for name in (*DEVICES, "pts", "shm"):
        if os.path.exists(f"/dev/{name}"):
            set_attributes(f"/dev/{name}", 0, ATTR_READONLY)


# ---- Landlock -----------------------------------------------------------------------------------------------------------


def restrict(plan: Options) -> None:
    """Grant only what the rules allow, with Landlock.

    With mounts this is a second barrier; an old kernel may lack it, unless reading is restricted.
    """
    version = LIBC.syscall(CREATE_RULESET, None, 0, 1)
    if version < (2 if plan.namespaces else 3):
        if plan.namespaces and plan.rules[0][1] != "none":
            return
        raise OSError(errno.EOPNOTSUPP, "this kernel has no Landlock, or a version that is too old")
    handled = ALL_RIGHTS if version > 2 else ALL_RIGHTS & ~TRUNCATE
    network = 0 if plan.network or version < 4 else 3
    scoped = 3 if version >= 6 else 0
    attributes = (ctypes.c_uint64 * 3)(handled, network, scoped)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    ruleset = syscall(CREATE_RULESET, "Landlock", attributes, size, 0)
    if plan.namespaces:
        grants = [(path, access) for path, access in plan.rules if access != "none"]
        devices = ["/dev"]
    else:
        # no access to the machine's devices (disks, other terminals), except for `DEVICES`
        rules = dict(plan.rules)
        grants = list(split("/", rules["/"], {**rules, "/dev": "none"}))
        if plan.names:
            allow(ruleset, "/", LISTING)
        devices = [f"/dev/{name}" for name in DEVICES]
    for path, access in (*grants, *((path, "write") for path in devices), ("/proc", "read")):
        allow(ruleset, path, (READING if access == "read" else ALL_RIGHTS) & handled)
    syscall(RESTRICT_SELF, "Landlock", ruleset, 0)
    os.close(ruleset)


def split(path: str, access: str, rules: dict[str, str], given: str = "none") -> Iterator[tuple[str, str]]:
    """The grants for `rules` below `path`: for whole folders where no deeper rule allows less."""
    inside = path.rstrip("/") + "/"
    folder = os.path.isdir(path)
    deeper = [other for place, other in rules.items() if folder and place.startswith(inside) and place != path]
    least = min((access, *deeper), key=ORDER.__getitem__)
    if ORDER[least] > ORDER[given]:
        yield path, least
        given = least
    if not deeper or all(ORDER[other] <= ORDER[given] for other in (access, *deeper)):
        return
    try:
        names = os.listdir(path)
    except OSError:
        names = []
    for name in names:
        child = inside + name
        if not os.path.islink(child):
            yield from split(child, rules.get(child, access), rules, given)


def allow(ruleset: int, path: str, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # missing or not accessible: nothing to grant
    if not os.path.isdir(path):
        rights &= FILE_RIGHTS
    rule = (ctypes.c_uint32 * 3)(rights & 0xFFFFFFFF, rights >> 32, descriptor)
    syscall(ADD_RULE, f"Landlock {path}", ruleset, 1, rule, 0)
    os.close(descriptor)


# ---- privileges ---------------------------------------------------------------------------------------------------------


def drop_privileges(filter_program: bytes) -> None:
    for capability in range(64):
        if LIBC.prctl(DROP_BOUNDING, ctypes.c_ulong(capability), 0, 0, 0) < 0:
            break
    LIBC.prctl(AMBIENT, ctypes.c_ulong(4), 0, 0, 0)
    header, none = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    syscall(CAPSET[os.uname().machine], "capset", header, none)
    lines = ctypes.create_string_buffer(filter_program, len(filter_program))

    prctl(SECCOMP, 2, ctypes.byref(FilterProgram(len(filter_program) // 8, ctypes.addressof(lines))))


# ---- processes ----------------------------------------------------------------------------------------------------------


def run(command: list[str]) -> NoReturn:
    """Execute the command with default signal handlers."""
    for number in (signal.SIGPIPE, signal.SIGXFSZ, *TYPED):
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        complain(f"{command[0]}: {error.strerror}")
        os._exit(127 if isinstance(error, FileNotFoundError) else 126)


def reap(child: int) -> int:
    """Wait for `child`, and reap orphans meanwhile; returns its exit code."""
    while True:
        done, status = os.wait()
        if done == child:
            code = os.waitstatus_to_exitcode(status)
            return 128 - code if code < 0 else code


def complain(text: str) -> None:
    os.write(2, f"sandbox: {text}\n".encode(errors="surrogateescape"))


def confined(plan: Options) -> NoReturn:
    """In the child: set up the confinement, run the command, and act as init of its namespace until it ends."""
    cwd = os.getcwd()
    if plan.namespaces:
        arrange_mounts(plan, cwd)
    prctl(NO_NEW_PRIVS, 1)
    restrict(plan)
    drop_privileges(plan.filter)
    child = os.fork() if plan.namespaces else 0
    if child == 0:
        run(plan.command)
    os._exit(reap(child))


def left_behind() -> Iterator[int]:
    """The orphans that are children of this process now."""
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return
    for name in os.listdir("/proc"):
        try:
            with open(f"/proc/{int(name)}/stat") as file:
                parent = file.read().rpartition(")")[2].split()[1]
        except (ValueError, OSError):
            continue
        if int(parent) == os.getpid():
            yield int(name)


def watch(child: int, parent: int) -> int:
    """Wait for the child, or kill it when the parent ends; then kill its orphans."""
    import select

    poll = select.poll()
    try:
        own, other = (syscall(PIDFD_OPEN, "pidfd", pid, 0) for pid in (child, parent))
    except OSError:  # the parent has ended already
        os.kill(child, signal.SIGKILL)
    else:
        poll.register(own, select.POLLIN)
        poll.register(other, select.POLLIN)
        if own not in [descriptor for descriptor, _ in poll.poll()]:
            os.kill(child, signal.SIGKILL)
    code = reap(child)
    while left := list(left_behind()):
        for pid in left:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    return code


def main(arguments: list[str]) -> int:
    plan = Options(arguments)
    for name in plan.unset:
        os.environ.pop(name, None)
    syscall(CLOSE_RANGE, "close_range", 3, ctypes.c_uint(0xFFFFFFFF), 0)
    parent = plan.parent or os.getppid()
    if plan.namespaces:
        enter_namespaces(plan.network)
    for number in TYPED:
        signal.signal(number, signal.SIG_IGN)
    prctl(SUBREAPER, 1)
    alive, held = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            prctl(PDEATHSIG, signal.SIGKILL)
            os.close(held)
            os.set_blocking(alive, False)
            try:
                os.read(alive, 1)  # at its end: the parent died before PDEATHSIG was set
                os._exit(FAILED)
            except BlockingIOError:
                os.close(alive)
            confined(plan)
        except BaseException as error:
            complain(str(error))
        os._exit(FAILED)
    os.close(alive)
    return watch(child, parent)


if __name__ == "__main__":
    try:
        code = main(sys.argv[1:])
    except Exception as error:
        complain(str(error))
        code = FAILED
    os._exit(code)
