"""A folder for patches, with methods to fill and inspect it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest
from attrs import frozen

from spindle.actors.tools.patch.apply import PatchOutcome, apply
from spindle.actors.tools.patch.plan import Plan, plan


@frozen
class Tree:
    """A folder that patches are applied in."""

    root: Path

    def write(self, files: Mapping[str, str | bytes]) -> None:
        for name, text in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text if isinstance(text, bytes) else text.encode())

    def read(self) -> dict[str, bytes]:
        """Every file below, temporary ones included; a link as `-> target`."""
        found: dict[str, bytes] = {}
        for folder, _, names in os.walk(self.root):
            for name in names:
                path = Path(folder, name)
                shown = str(path.relative_to(self.root))
                found[shown] = f"-> {os.readlink(path)}".encode() if path.is_symlink() else path.read_bytes()
        return found

    def plan(self, body: str) -> Plan:
        """The plan of a patch with these hunks."""
        return plan(f"*** Begin Patch\n{body}*** End Patch\n", str(self.root))

    def apply(self, body: str) -> PatchOutcome:
        """Plan and apply a patch with these hunks."""
        return apply(self.plan(body))


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    root = tmp_path / "project"
    root.mkdir()
    return Tree(root)
