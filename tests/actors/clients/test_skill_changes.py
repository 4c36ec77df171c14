"""skills/changed, and folders of skills that a client adds."""

from typing import Any

import pytest
import trio

from spindle.actors.services import skill_changes, watches
from spindle.actors.services.skills import Listed, SkillCatalog
from spindle.storage import watching
from spindle.storage.skills import FoundSkills


@pytest.fixture(autouse=True)
def settle(monkeypatch):
    monkeypatch.setattr(skill_changes, "SETTLE", 0)


def write(root, name, description="d"):
    path = root / name / "SKILL.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"---\nname: {name}\ndescription: {description}\n---\nbody\n")
    return path


async def listed(client, cwd, **more):
    [entry] = (await client.call("skills/list", cwds=[str(cwd)], **more))["data"]
    return {skill["name"]: skill["description"] for skill in entry["skills"]}


async def changed(client):
    assert await client.notification("skills/changed") == {}


async def watched(client):
    """Wait until everything that was listed is watched."""
    changes = client.services.skill_changes
    with trio.fail_after(60):
        while not changes._watched or changes._wake.is_set():
            await trio.lowlevel.checkpoint()


@pytest.fixture
def home(client):
    return client.services.home.path


async def test_a_changed_skill_is_announced_and_listed(client, home, tmp_path):
    path = write(home / "skills", "one")
    assert await listed(client, tmp_path) == {"one": "d"}
    await watched(client)
    path.write_text(path.read_text().replace("description: d", "description: other"))
    await changed(client)
    assert await listed(client, tmp_path) == {"one": "other"}


async def test_skills_and_their_roots_come_and_go(client, home, tmp_path):
    (tmp_path / ".git").mkdir()
    assert await listed(client, tmp_path) == {}
    await watched(client)
    path = write(tmp_path / ".codex/skills", "late")
    await changed(client)
    assert await listed(client, tmp_path) == {"late": "d"}
    path.unlink()
    await changed(client)
    assert await listed(client, tmp_path) == {}


async def test_a_change_of_a_body_is_announced_and_of_another_file_is_not(client, home, tmp_path):
    path = write(home / "skills", "one")
    await listed(client, tmp_path)
    await watched(client)
    (path.parent / "script.py").write_text("x")
    write(home / "skills", "two")
    await changed(client)
    assert await listed(client, tmp_path) == {"one": "d", "two": "d"}
    path.write_text(path.read_text() + "more\n")
    await changed(client)


async def test_nothing_is_watched_before_a_list(client, tmp_path, monkeypatch):
    real, opened = watching.open_watcher, []

    def open_watcher():
        opened.append(real())
        return opened[-1]

    monkeypatch.setattr(watches, "open_watcher", open_watcher)
    thread = (await client.call("thread/start", cwd=str(tmp_path)))["thread"]["id"]
    await client.call("turn/start", threadId=thread, input=[{"type": "text", "text": "hello"}])
    await client.notification("turn/completed")
    assert opened == []
    await listed(client, tmp_path)
    await watched(client)
    assert len(opened) == 1


async def test_what_changed_before_it_was_watched_is_found(client, home, tmp_path, monkeypatch):
    real, late = SkillCatalog.find, []

    def find(self, listed):
        found = real(self, listed)
        late.append(write(home / "skills", "late"))
        return found

    monkeypatch.setattr(SkillCatalog, "find", find)
    assert await listed(client, tmp_path) == {}
    await changed(client)


async def test_folders_of_a_client(client, tmp_path):
    path = write(tmp_path / "extra", "more")
    assert await listed(client, tmp_path) == {}
    assert await client.call("skills/extraRoots/set", extraRoots=[f"{tmp_path}/x/../extra"]) == {}
    await changed(client)
    assert await listed(client, tmp_path) == {"more": "d"}
    with trio.fail_after(60):
        while str(path.parent) not in client.services.skill_changes._watched:
            await trio.lowlevel.checkpoint()
    path.write_text(path.read_text().replace("description: d", "description: other"))
    await changed(client)
    assert await listed(client, tmp_path) == {"more": "other"}
    assert await client.call("skills/extraRoots/set", extraRoots=[]) == {}
    assert await listed(client, tmp_path) == {}
    assert "without a base path" in (await client.call("skills/extraRoots/set", extraRoots=["rel"]))["message"]
    assert await client.call("skills/extraRoots/set", extraRoots=["/x"] * 101) == {
        "code": -32600, "message": "too many extraRoots: limit is 100"}  # fmt: skip


async def test_lists_that_are_kept_are_bounded(client, tmp_path, monkeypatch):
    monkeypatch.setattr(skill_changes, "LISTS", 2)
    for name in "abc":
        await listed(client, tmp_path / name)
    assert [listed.cwd for listed in client.services.skill_changes._lists] == [f"{tmp_path}/b", f"{tmp_path}/c"]


async def test_searches_that_take_long_are_rare(nursery, autojump_clock):
    searches = []

    class Slow:
        def search(self, listed):
            searches.append(trio.from_thread.run_sync(trio.current_time))
            trio.from_thread.run(trio.sleep, 3)
            return FoundSkills([], [])

    slow: Any = Slow()
    changes = skill_changes.SkillChanges(slow, watches.Watches(nursery), nursery, lambda: None)
    changes.listed(Listed("/"), FoundSkills([], []))
    while len(searches) < 2:
        changes.forget()
        await trio.sleep(1)
    assert searches[1] - searches[0] >= 3 * skill_changes.REST
