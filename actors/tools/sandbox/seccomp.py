"""The seccomp filter of a confined command, as a BPF program for the kernel.

Namespaces and Landlock decide about files. The filter refuses what they do not: sockets (a read-only mount does not stop
connecting to a socket file), io_uring (which performs calls without making them), the memory of other processes, typing into a
terminal, and new namespaces.

Formats: `struct sock_filter` of linux/filter.h, `struct seccomp_data` of linux/seccomp.h; numbers of the calls from the
kernel's tables for each machine.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from collections.abc import Mapping
from typing import Final

from spindle.rpc.lazy_class import frozen


@frozen
class Machine:
    """The system calls of a machine: its audit architecture, and the numbers of the calls from before 2019.

    Newer calls have the same number on all machines.
    """

    audit: int
    calls: Mapping[str, int]
    x32: bool = False


# fmt: off
MACHINES: Final[Mapping[str, Machine]] = {
    "x86_64": Machine(0xC000003E, {
        "ioctl": 16, "shmget": 29, "shmat": 30, "shmctl": 31, "semget": 64, "semop": 65, "semctl": 66, "msgget": 68,
        "msgsnd": 69, "msgrcv": 70, "msgctl": 71, "semtimedop": 220,
        "socket": 41, "connect": 42, "accept": 43, "sendto": 44, "bind": 49, "listen": 50, "socketpair": 53,
        "clone": 56, "ptrace": 101, "pivot_root": 155, "chroot": 161, "mount": 165, "umount2": 166, "init_module": 175,
        "delete_module": 176, "kexec_load": 246, "add_key": 248, "request_key": 249, "keyctl": 250, "unshare": 272,
        "accept4": 288, "perf_event_open": 298, "prlimit64": 302, "open_by_handle_at": 304, "setns": 308,
        "process_vm_readv": 310, "process_vm_writev": 311, "kcmp": 312, "finit_module": 313, "kexec_file_load": 320,
        "bpf": 321, "userfaultfd": 323,
    }, x32=True),
    "aarch64": Machine(0xC00000B7, {
        "ioctl": 29, "umount2": 39, "mount": 40, "pivot_root": 41, "chroot": 51, "unshare": 97, "kexec_load": 104,
        "init_module": 105, "delete_module": 106, "ptrace": 117, "msgget": 186, "msgctl": 187,
        "msgrcv": 188, "msgsnd": 189, "semget": 190, "semctl": 191, "semtimedop": 192, "semop": 193, "shmget": 194,
        "shmctl": 195, "shmat": 196, "socket": 198, "socketpair": 199, "bind": 200,
        "listen": 201, "accept": 202, "connect": 203, "sendto": 206, "add_key": 217, "request_key": 218, "keyctl": 219,
        "clone": 220, "perf_event_open": 241, "accept4": 242, "open_by_handle_at": 265, "prlimit64": 261, "setns": 268,
        "process_vm_readv": 270, "process_vm_writev": 271, "kcmp": 272, "finit_module": 273, "bpf": 280,
        "userfaultfd": 282, "kexec_file_load": 294,
    }),
}
EVERYWHERE: Final = {
    "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "open_tree": 428, "move_mount": 429,
    "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433, "clone3": 435, "pidfd_getfd": 438,
    "mount_setattr": 442, "open_tree_attr": 467,
}
REFUSED: Final = (
    "ptrace", "process_vm_readv", "process_vm_writev", "kcmp", "pidfd_getfd",
    "io_uring_setup", "io_uring_enter", "io_uring_register",
    "mount", "umount2", "pivot_root", "chroot", "setns",
    "open_tree", "open_tree_attr", "move_mount", "fsopen", "fsconfig", "fsmount", "fspick", "mount_setattr",
    "open_by_handle_at", "bpf", "perf_event_open", "userfaultfd", "add_key", "request_key", "keyctl",
    "init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load",
)
"""Refused under every policy."""
REFUSED_TOGETHER: Final = (
    "shmget", "shmat", "shmctl", "semget", "semop", "semtimedop", "semctl", "msgget", "msgsnd", "msgrcv", "msgctl",
)
"""Refused without an IPC namespace, where System V memory, semaphores and queues are shared with the whole machine."""
REFUSED_OFFLINE: Final = ("connect", "bind", "listen", "accept", "accept4")
"""Refused without network; then only socket pairs are useful."""
# fmt: on

UNIX, INET, INET6, NETLINK = 1, 2, 10, 16
STREAM, SEQPACKET = 1, 5
TERMINAL_REQUESTS = (0x5412, 0x541C)
"""TIOCSTI types into a terminal; TIOCLINUX pastes into a console."""
NEW_NAMESPACES = 0x7E020000
"""CLONE_NEW*: user, mount, pid, net, ipc, uts, cgroup."""
NEW_TIME = 0x80
"""CLONE_NEWTIME, in unshare only; in clone these bits are a signal."""

LOAD, JUMP_EQUAL, JUMP_AT_LEAST, JUMP_SET, MASK, RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
ALLOW, KILL, ERROR = 0x7FFF0000, 0x80000000, 0x00050000
REFUSE = ERROR | errno.EPERM
UNKNOWN = ERROR | errno.ENOSYS
CALL, ARCHITECTURE, ARGUMENTS = 0, 4, 16
"""Offsets into seccomp_data."""


class UnknownMachine(Exception):
    """There is no table of system calls for this machine."""


def program(machine: str, *, network: bool, together: bool = False) -> bytes:
    """The filter for a `machine` (of `os.uname().machine`), with or without network.

    `together`: the command has no IPC namespace of its own.

    Refused calls fail with EPERM, clone3 with ENOSYS (a filter cannot read its flags, which are in memory; the C library falls
    back to clone). A call of another architecture kills the process. Raises UnknownMachine.
    """
    table = MACHINES.get(machine)
    if table is None:
        raise UnknownMachine(f"no table of system calls for {machine}")
    number = {**EVERYWHERE, **table.calls}
    lines = [(LOAD, 0, 0, ARCHITECTURE), (JUMP_EQUAL, 1, 0, table.audit), (RETURN, 0, 0, KILL), (LOAD, 0, 0, CALL)]
    if table.x32:
        lines += [(JUMP_AT_LEAST, 0, 1, 0x40000000), (RETURN, 0, 0, UNKNOWN)]
    refused = (*REFUSED, *(() if network else REFUSED_OFFLINE), *(REFUSED_TOGETHER if together else ()))
    for name in refused:
        lines += _block(number[name], [(RETURN, 0, 0, REFUSE)])
    lines += _block(number["clone3"], [(RETURN, 0, 0, UNKNOWN)])
    lines += _block(number["clone"], [_argument(0), (JUMP_SET, 0, 1, NEW_NAMESPACES), *_verdicts()])
    lines += _block(number["unshare"], [_argument(0), (JUMP_SET, 0, 1, NEW_NAMESPACES | NEW_TIME), *_verdicts()])
    lines += _block(
        number["ioctl"],
        [
            _argument(1),
            (JUMP_EQUAL, 1, 0, TERMINAL_REQUESTS[0]),
            (JUMP_EQUAL, 0, 1, TERMINAL_REQUESTS[1]),
            *_verdicts(),
        ],
    )
    # setting the limits of another process; Landlock does not stop it
    own = [_argument(0), (JUMP_EQUAL, 5, 0, 0), _argument(2), (JUMP_EQUAL, 0, 1, 0), _argument(2, high=True)]
    lines += _block(number["prlimit64"], [*own, (JUMP_EQUAL, 1, 0, 0), *_verdicts()])
    # A pair has no address. But a datagram socket (SOCK_RAW too) of one can send to any socket file, so only streams and
    # sequenced packets are allowed.
    kinds = [_argument(1), (MASK, 0, 0, 0xF), (JUMP_EQUAL, 2, 0, STREAM), (JUMP_EQUAL, 1, 0, SEQPACKET)]
    pair = [_argument(0), (JUMP_EQUAL, 1, 0, UNIX), (RETURN, 0, 0, REFUSE), *kinds, *_verdicts()]
    lines += _block(number["socketpair"], pair)
    if network:
        # A filter sees the family in socket(), not in connect(). So Unix sockets are refused, and connect() is allowed.
        families = [(JUMP_EQUAL, 3, 0, INET), (JUMP_EQUAL, 2, 0, INET6), (JUMP_EQUAL, 1, 0, NETLINK)]
        lines += _block(number["socket"], [_argument(0), *families, *_verdicts()])
    else:
        lines += _block(number["socket"], pair)
        unaddressed = [_argument(4), (JUMP_EQUAL, 0, 2, 0), _argument(4, high=True), (JUMP_EQUAL, 1, 0, 0)]
        lines += _block(number["sendto"], [*unaddressed, *_verdicts()])
    lines.append((RETURN, 0, 0, ALLOW))
    return b"".join(struct.pack("HBBI", *line) for line in lines)


_Line = tuple[int, int, int, int]


def _block(number: int, body: list[_Line]) -> list[_Line]:
    """`body` for one call, skipped by others; it must end in a verdict."""
    return [(JUMP_EQUAL, 0, len(body), number), *body]


def _argument(index: int, *, high: bool = False) -> _Line:
    return (LOAD, 0, 0, ARGUMENTS + 8 * index + (4 if high else 0))


def _verdicts() -> list[_Line]:
    """Refuse by falling through, allow by a jump of one."""
    return [(RETURN, 0, 0, REFUSE), (RETURN, 0, 0, ALLOW)]


class Filters:
    """The filters with and without network as sealed files in memory, for programs that read them; open until `close`.

    They are not on disk, where a command could change the filter of the next one. A process of the same user opens them by the
    path of this process's descriptor. Raises UnknownMachine, and OSError if the kernel has no sealed files.
    """

    def __init__(self, machine: str) -> None:
        self._open = {network: _sealed(program(machine, network=network)) for network in (False, True)}

    def path(self, *, network: bool) -> str:
        """The path by which a child of this process opens the filter."""
        return f"/proc/{os.getpid()}/fd/{self._open[network]}"

    def close(self) -> None:
        while self._open:
            os.close(self._open.popitem()[1])


def _sealed(content: bytes) -> int:
    descriptor = os.memfd_create("seccomp-filter", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(descriptor, content)
    seals = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
    return descriptor
