"""Where things are kept: the layout of a Codex home directory, which Spindle shares with Codex."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Final

from attrs import field, frozen

from spindle.rpc.protocol.values import clean, is_clean

CREDENTIALS: Final = ("auth.json", ".credentials.json")
"""Files of a home that hold nothing but credentials."""
INSTRUCTIONS: Final = ("AGENTS.md", "AGENTS.override.md")
SECRETS: Final = "secrets"
"""A folder of Codex's."""


class HomeError(Exception):
    """The home directory cannot be used; the message says why and names it."""


def _absolute(path: Path) -> Path:
    return path.absolute()


@frozen
class Home:
    """A home directory; nothing is created or read until a part of it is used."""

    path: Path = field(converter=_absolute)
    """Absolute, so that a process that changes its working directory keeps its home."""

    def __attrs_post_init__(self) -> None:
        """Raises HomeError for a path that is not UTF-8: clients could not be told of the files in it."""
        if not is_clean(str(self.path)):
            raise HomeError(f'the Codex home "{clean(str(self.path))}" has a name that is not valid UTF-8')

    @classmethod
    def resolve(cls, env: Mapping[str, str]) -> Home:
        """The home that an environment names: `$CODEX_HOME`, else `.codex` in the user's home directory.

        An explicit `CODEX_HOME` must be an existing directory (it is resolved to its real path), since creating a
        mistyped one would hide every stored thread; the default one need not exist yet.

        Raises HomeError.
        """
        named = env.get("CODEX_HOME", "")
        if not named:
            user = env.get("HOME", "")
            return cls((Path(user) if user else Path.home()) / ".codex")
        path = Path(named)
        if not path.exists():
            raise HomeError(f'CODEX_HOME points to "{named}", but that path does not exist')
        if not path.is_dir():
            raise HomeError(f'CODEX_HOME points to "{named}", but that path is not a directory')
        return cls(path.resolve())

    def hides(self, path: str) -> bool:
        """Whether a real path is of a file of the home that no model is shown: credentials, and what may hold some.

        That is every file at its top but the instructions.
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
        """What only Spindle keeps: the index, the state, lists of models. For its owner alone."""
        return self.path / "spindle"

    @property
    def locks(self) -> Path:
        """Locks that keep a thread to one writing process, the same files as Codex 0.169 locks."""
        return self.path / "thread-writer-locks"

    def lock_file(self, thread_id: str) -> Path:
        """The file that is locked by whoever writes to a thread's rollout."""
        return self.locks / f"{thread_id}.lock"

    def new_rollout_path(self, thread_id: str, now: datetime) -> Path:
        """Where the rollout of a thread started at `now` belongs: dated in local time, as Codex does.

        An aware `now` is converted to local time, a naive one is taken to be local already.
        """
        local = now.astimezone() if now.tzinfo else now
        name = f"rollout-{local:%Y-%m-%dT%H-%M-%S}-{thread_id}.jsonl"
        return self.sessions / f"{local:%Y}" / f"{local:%m}" / f"{local:%d}" / name
