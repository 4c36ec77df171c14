"""The seccomp filter of a confined command, as the BPF program the kernel takes.

Namespaces and Landlock decide about files. What they leave open is closed here: sockets (a socket file of a service is
reached by connect, which a read-only mount does not stop), io_uring (which does the work of calls without making
them), other processes' memory, pushing input into a terminal, and new namespaces.

Formats: `struct sock_filter` of linux/filter.h, `struct seccomp_data` of linux/seccomp.h; numbers of the calls from the
kernel's tables for each machine.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Mapping
from typing import Final

from attrs import frozen


@frozen
class Machine:
    """How a machine's calls are numbered: its audit architecture and, by name, the calls that are older than 2019.

    Newer calls have one number everywhere.
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
"""Refused whatever the policy says."""
REFUSED_TOGETHER: Final = (
    "shmget", "shmat", "shmctl", "semget", "semop", "semtimedop", "semctl", "msgget", "msgsnd", "msgrcv", "msgctl",
)
"""Refused where the memory, semaphores and queues of System V are those of the whole machine: in no namespace of their own."""
REFUSED_OFFLINE: Final = ("connect", "bind", "listen", "accept", "accept4")
"""Refused without network; sockets other than pairs are then of no use."""
# fmt: on

UNIX, INET, INET6, NETLINK = 1, 2, 10, 16
STREAM, SEQPACKET = 1, 5
TERMINAL_REQUESTS = (0x5412, 0x541C)
"""TIOCSTI, which types into a terminal, and TIOCLINUX, which pastes into a console."""
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
    """There is no table of calls for this machine; the message names it."""


def program(machine: str, *, network: bool, together: bool = False) -> bytes:
    """The filter for a `machine` as `os.uname().machine` names it, with or without network.

    `together`: for a command that is in no IPC namespace of its own.

    Refused calls fail with EPERM, clone3 with ENOSYS (its flags lie in memory, where a filter cannot look; the C library
    then falls back to clone). A call made in another architecture's numbering ends the process.

    Raises UnknownMachine.
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
    # Setting the limits of another process, which Landlock does not stop.
    own = [_argument(0), (JUMP_EQUAL, 5, 0, 0), _argument(2), (JUMP_EQUAL, 0, 1, 0), _argument(2, high=True)]
    lines += _block(number["prlimit64"], [*own, (JUMP_EQUAL, 1, 0, 0), *_verdicts()])
    # A pair has no name to be reached by, unless it is of datagrams: those can be sent to any socket file (SOCK_RAW is
    # another word for them).
    kinds = [_argument(1), (MASK, 0, 0, 0xF), (JUMP_EQUAL, 2, 0, STREAM), (JUMP_EQUAL, 1, 0, SEQPACKET)]
    pair = [_argument(0), (JUMP_EQUAL, 1, 0, UNIX), (RETURN, 0, 0, REFUSE), *kinds, *_verdicts()]
    lines += _block(number["socketpair"], pair)
    if network:
        # A filter sees a socket's family when it is made, not when it is connected; so sockets that reach services by
        # a file name are refused, and the connecting is free.
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
    """`body` for one call, passed over by the others; it must end in a verdict."""
    return [(JUMP_EQUAL, 0, len(body), number), *body]


def _argument(index: int, *, high: bool = False) -> _Line:
    return (LOAD, 0, 0, ARGUMENTS + 8 * index + (4 if high else 0))


def _verdicts() -> list[_Line]:
    """Refuse for who falls through, allow for who jumps one further."""
    return [(RETURN, 0, 0, REFUSE), (RETURN, 0, 0, ALLOW)]
