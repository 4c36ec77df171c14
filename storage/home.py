"""The layout of a Codex home directory, which Spindle shares with Codex."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Final

from attrs import field

from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.values import clean, is_clean
from spindle.storage.home_path import HomeError, home_path

__all__ = ["CREDENTIALS", "INSTRUCTIONS", "SECRETS", "Home", "HomeError"]

CREDENTIALS: Final = ("auth.json", ".credentials.json")
"""Files of a home that contain only credentials."""
INSTRUCTIONS: Final = ("AGENTS.md", "AGENTS.override.md")
SECRETS: Final = "secrets"
"""A folder of Codex."""


def _absolute(path: Path) -> Path:
    return path.absolute()


@frozen
class Home:
    """A home directory. Nothing is created or read until a part of it is used."""

    path: Path = field(converter=_absolute)
    """Absolute, so that the home stays when the process changes its working directory."""

    def __attrs_post_init__(self) -> None:
        """Raises HomeError for a path that is not UTF-8: the protocol cannot name files in it."""
        if not is_clean(str(self.path)):
            raise HomeError(f'the Codex home "{clean(str(self.path))}" has a name that is not valid UTF-8')

    @classmethod
    def resolve(cls, env: Mapping[str, str]) -> Home:
        """The home of an environment, as `home_path` finds it. Raises HomeError, OSError."""
        return cls(Path(home_path(env)))

    def hides(self, path: str) -> bool:
        """Whether a real path is a file of the home that models must not read: credentials, and files that may contain some.

        That is each file at the top of the home except the instructions.
        """
        first, *below = os.path.relpath(path, os.path.realpath(self.path)).split("/")
        return first == SECRETS if below else first not in (*INSTRUCTIONS, os.curdir, os.pardir)

    @property
    def sessions(self) -> Path:
        """Rollouts in use, in YYYY/MM/DD folders."""
        return self.path / "sessions"

    @property
    def archived_sessions(self) -> Path:
        """Archived rollouts, all in one folder."""
        return self.path / "archived_sessions"

    @property
    def config_file(self) -> Path:
        """The user's configuration."""
        return self.path / "config.toml"

    @property
    def auth_file(self) -> Path:
        """Credentials."""
        return self.path / "auth.json"

    @property
    def spindle(self) -> Path:
        """Spindle's own files: the index, the state, lists of models. Private to the owner."""
        return self.path / "spindle"

    @property
    def index_file(self) -> Path:
        """The index of threads: a cache, see `storage/index`."""
        return self.spindle / "index.sqlite"

    @property
    def running(self) -> Path:
        """The sockets of the runtimes that are running, see `storage/running_folder`."""
        return self.spindle / "running"

    @property
    def control_socket(self) -> Path:
        """Where `--listen unix://` listens, as in Codex."""
        return self.path / "app-server-control" / "app-server-control.sock"

    @property
    def locks(self) -> Path:
        """The writer locks: one writing process per thread. Codex 0.169 locks the same files."""
        return self.path / "thread-writer-locks"

    def lock_file(self, thread_id: str) -> Path:
        """The lock file of a thread's writer."""
        return self.locks / f"{thread_id}.lock"

    def new_rollout_path(self, thread_id: str, now: datetime) -> Path:
        """The path for the rollout of a thread started at `now`, dated in local time as in Codex.

        An aware `now` is converted to local time; a naive one is local time.
        """
        local = now.astimezone() if now.tzinfo else now
        name = f"rollout-{local:%Y-%m-%dT%H-%M-%S}-{thread_id}.jsonl"
        return self.sessions / f"{local:%Y}" / f"{local:%m}" / f"{local:%d}" / name
