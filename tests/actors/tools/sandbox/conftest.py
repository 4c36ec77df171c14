"""A workspace, a home and files outside, and programs that run there confined by each mechanism."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from attrs import field, frozen

from spindle.actors.tools.sandbox.confinement import Confinement, Place, of_policy
from spindle.actors.tools.sandbox.mechanism import Bubblewrap, Landlock, Mechanism, Namespaces
from spindle.actors.tools.sandbox.sandbox import Confined, Sandbox, trial
from spindle.rpc.protocol.settings import SandboxPolicy, WorkspaceWritePolicy

NAMES = ("bubblewrap", "namespaces", "landlock")
DEADLINE = 60


@frozen
class World:
    """`ws` (with `sub`, and `.git` with a hook) may be written by default; `out` is beside it, `home` is the Codex home."""

    root: Path
    ws: Path = field(init=False)
    out: Path = field(init=False)
    home: Path = field(init=False)

    def __attrs_post_init__(self) -> None:
        for name in ("ws", "out", "home"):
            object.__setattr__(self, name, self.root / name)
        for folder in ("ws/sub", "ws/.git/hooks", "out", "home/rules", "home/sessions", "home/spindle"):
            (self.root / folder).mkdir(parents=True)
        for file in ("ws/file", "ws/.git/config", "out/file", "home/config.toml", "home/auth.json", "home/rules/r"):
            (self.root / file).write_text("# original")

    @property
    def place(self) -> Place:
        return Place(str(self.ws), str(self.home))

    @property
    def environment(self) -> dict[str, str]:
        """The environment of attempts."""
        own = {"WS": str(self.ws), "OUT": str(self.out), "CODEX_HOME": str(self.home), "OUTER": str(os.getpid())}
        return {**os.environ, **own}

    def policy(self, *roots: Path, network: bool = False) -> WorkspaceWritePolicy:
        """Writing in the workspace and `roots`, but not in the shared temporary folders (the world is in one)."""
        return WorkspaceWritePolicy(
            [str(root) for root in roots], network_access=network, exclude_slash_tmp=True, exclude_tmpdir_env_var=True
        )

    def seen(self, *, home: bool = True) -> dict[str, str]:
        """Everything outside the workspace's free part: what is where, with its content; `home` as well."""
        kept = {str(path): "beside" for path in self.root.iterdir()}
        homes = (self.home,) if home else ()
        for top in (self.out, *homes, self.ws / ".git", self.ws / ".codex", self.ws / ".agents"):
            if top.is_symlink() or top.is_file():
                kept[str(top)] = "link" if top.is_symlink() else top.read_text()
            for folder, folders, files in os.walk(top):  # which does not mind that a mask goes while it looks
                kept |= {os.path.join(folder, name): "folder" for name in folders}
                kept |= {os.path.join(folder, name): Path(folder, name).read_text() for name in files}
        return kept


@frozen
class Confiner:
    """Runs programs in a world under one mechanism."""

    name: str
    sandbox: Sandbox
    world: World

    @property
    def mounts(self) -> bool:
        """Whether the mechanism has mounts and namespaces."""
        return self.name != "landlock"

    async def run(
        self, *argv: str, policy: SandboxPolicy | None = None, confinement: Confinement | None = None, tty: bool = False
    ) -> subprocess.CompletedProcess[str]:
        confined = confinement or of_policy(policy or self.world.policy(), self.world.place)
        assert confined is not None
        async with self.sandbox.confined(confined, argv, self.world.environment, tty=tty) as command:
            return run_to_end(command, self.world)

    async def started(
        self, argv: Sequence[str], env: Mapping[str, str], change: Callable[[list[str]], object] = len, **options: Any
    ) -> subprocess.CompletedProcess[Any]:
        """`argv` in the workspace, with its own environment, and with what `change` does to the confined command line."""
        confined = of_policy(self.world.policy(), self.world.place)
        assert confined is not None
        async with self.sandbox.confined(confined, argv, env, tty="stdin" in options) as command:
            line = list(command.argv)
            change(line)
            return run_to_end(Confined(line, command.env), self.world, **options)

    async def python(self, code: str, policy: SandboxPolicy | None = None) -> subprocess.CompletedProcess[str]:
        return await self.run(sys.executable, "-c", code, policy=policy)

    async def shell(self, script: str, policy: SandboxPolicy | None = None) -> subprocess.CompletedProcess[str]:
        return await self.run("/bin/sh", "-c", script, policy=policy)


def run_to_end(command: Confined, world: World, **options: Any) -> subprocess.CompletedProcess[Any]:
    """Run with a deadline; waits for every process that has the pipes open."""
    given = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True, "timeout": DEADLINE, **options}
    return subprocess.run(command.argv, env=command.env, cwd=world.ws, **given)


@functools.cache
def offered() -> Mapping[str, Mechanism | str]:
    """Each mechanism, or why this machine does not have it."""
    if sys.platform != "linux":
        return dict.fromkeys(NAMES, "needs Linux")
    found: dict[str, Mechanism | str] = {}
    preferred = Sandbox().mechanism()
    found["bubblewrap"] = preferred if isinstance(preferred, Bubblewrap) else "not installed, or not working"
    machine = os.uname().machine
    for name, candidate in (("namespaces", Namespaces(machine)), ("landlock", Landlock(machine))):
        found[name] = trial(candidate) or candidate
    return found


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(Path(os.path.realpath(tmp_path)) / "world")


@pytest.fixture(params=NAMES)
def confiner(request: pytest.FixtureRequest, world: World) -> Confiner:
    mechanism = offered()[request.param]
    if isinstance(mechanism, str):
        pytest.skip(f"no {request.param} here: {mechanism}")
    return Confiner(request.param, Sandbox(mechanism), world)


@contextlib.contextmanager
def shared() -> Iterator[dict[str, str]]:
    """Memory and a message queue, as System V and POSIX have them; nothing where this machine has none."""
    libc = ctypes.CDLL(None)
    queue = f"/spindle-test-{os.getpid()}"
    segment = libc.shmget(0, 4096, 0o600 | 0o1000)
    opened = libc.mq_open(queue.encode(), os.O_CREAT | os.O_RDWR, 0o600, None)
    try:
        yield {"SHM": str(segment), "QUEUE": queue}
    finally:
        libc.shmctl(segment, 0, None)
        if opened >= 0:
            os.close(opened)
            libc.mq_unlink(queue.encode())


@pytest.fixture
def services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """Servers of this process: TCP, a socket file of each kind, an abstract socket; where they are, as environment."""
    folder = tmp_path / "sockets"
    folder.mkdir()
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_UNIX) as stream,
        socket.socket(socket.AF_UNIX) as abstract,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagram,
        contextlib.ExitStack() as kept,
    ):
        with monkeypatch.context() as there:
            there.chdir(folder)  # the path of a socket is short
            stream.bind("stream")
            datagram.bind("datagram")
        name = f"spindle-test-{os.getpid()}-{tmp_path.name}"
        abstract.bind("\0" + name)
        for server in (stream, abstract):
            server.listen()
        told = {
            "PORT": str(tcp.getsockname()[1]),
            "ABSTRACT": name,
            "SOCKETS": str(folder),
            **kept.enter_context(shared()),
        }
        for key, value in told.items():
            monkeypatch.setenv(key, value)
        yield told
