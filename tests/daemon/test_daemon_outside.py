"""A repository full of traps: its threads work without them, other threads are not delayed, and the daemon ends in time."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .process import Daemon


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    """A repository with circular links, pipes and devices instead of files, and files of 600 MB."""
    repo = tmp_path / "trap"
    skills = repo / ".agents/skills"
    skills.mkdir(parents=True)
    for number in range(12):
        (skills / f"back{number}").symlink_to(skills)
    for name in ("one", "two"):
        (skills / name).mkdir()
        (skills / name / "SKILL.md").write_text(f"---\nname: {name}\ndescription: large\n---\n")
        os.truncate(skills / name / "SKILL.md", 600 << 20)
    (repo / ".codex").mkdir()
    (repo / ".codex/config.toml").symlink_to("/dev/zero")
    os.mkfifo(repo / ".codex/hooks.json")
    os.mkfifo(repo / "AGENTS.md")
    os.mkfifo(repo / ".git")
    return repo


def test_a_turn_in_it_completes_and_the_daemon_ends(daemon: Daemon, trap: Path) -> None:
    client = daemon.client()
    thread = client.start_thread(cwd=str(trap), sandbox="workspace-write")
    assert client.run_turn(thread["id"], "use $one")["status"] == "completed"
    [entry] = client.call("skills/list", cwds=[str(trap)])["data"]
    assert [skill["name"] for skill in entry["skills"]] == ["one", "two"]
    peak = next(
        line for line in Path(f"/proc/{daemon.process.pid}/status").read_text().splitlines() if line.startswith("VmHWM")
    )
    assert int(peak.split()[1]) < 400 << 10
    file = daemon.home / "config.toml"
    file.write_text(f'{file.read_text()}\n[projects."{trap}"]\ntrust_level = "trusted"\n')
    assert "Not a regular file" in client.refusal("thread/start", cwd=str(trap)).message
    assert client.run_turn(client.start_thread()["id"], "hello")["status"] == "completed"
    daemon.signal(signal.SIGTERM)
    assert daemon.wait() == 0
