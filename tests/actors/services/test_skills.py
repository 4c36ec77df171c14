"""Skills in turns: announced once, added when mentioned, cached until `forget`."""

import os

import pytest

from spindle.actors.services.skills import Listed, SkillCatalog, announcement
from spindle.rpc.protocol.user_input import SkillInput, TextInput
from spindle.storage.home import Home


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path / "home")


def write(home, name, body="The body."):
    path = home.path / "skills" / name / "SKILL.md"
    path.parent.mkdir(parents=True)
    path.write_text(f"---\nname: {name}\ndescription: about {name}\n---\n{body}\n")
    return path


def texts(messages):
    return [message["content"][0]["text"] for message in messages]


@pytest.mark.parametrize(
    "text", ["use $singer now", "$singer.", "($singer) and $singer", "first $nobody, then $singer"]
)
def test_a_dollar_name_adds_the_skill_once(home, tmp_path, text):
    path = write(home, "singer")
    [said] = texts(SkillCatalog(home).mentioned([TextInput(text)], str(tmp_path), {}))
    assert said.startswith(f"<skill>\n<name>singer</name>\n<path>{path}</path>\n---\n")
    assert said.endswith("The body.\n\n</skill>")


@pytest.mark.parametrize("text", ["the singer", "$singers", "$ singer", "US$ 5"])
def test_other_words_add_no_skill(home, tmp_path, text):
    write(home, "singer")
    assert SkillCatalog(home).mentioned([TextInput(text)], str(tmp_path), {}) == []


def test_an_input_part_names_a_skill_by_its_path(home, tmp_path):
    path = write(home, "singer")
    part = SkillInput(name="whatever", path=str(path))
    assert len(SkillCatalog(home).mentioned([part], str(tmp_path), {})) == 1


def test_a_disabled_skill_is_neither_announced_nor_added(home, tmp_path):
    write(home, "singer")
    off = {"skills": {"config": [{"name": "singer", "enabled": False}]}}
    catalog = SkillCatalog(home)
    assert catalog.enabled(str(tmp_path), off) == []
    assert catalog.mentioned([TextInput("$singer")], str(tmp_path), off) == []


def test_the_skills_that_codex_bundles_can_be_left_out(home, tmp_path):
    write(home, "singer")
    write(home, ".system/dancer")
    catalog = SkillCatalog(home)
    assert {skill.scope for skill in catalog.enabled(str(tmp_path), {})} == {"user", "system"}
    off = {"skills": {"bundled": {"enabled": False}}}
    assert [skill.scope for skill in catalog.enabled(str(tmp_path), off)] == ["user"]


@pytest.mark.parametrize("fault", ["gone", "pipe", "large", "binary"])
def test_the_model_gets_the_reason_why_a_skill_cannot_be_read(home, tmp_path, fault):
    path = write(home, "singer")
    catalog = SkillCatalog(home)
    catalog.find(Listed(str(tmp_path)))
    match fault:
        case "large":
            os.truncate(path, 600 << 20)
        case "binary":
            path.write_bytes(b"---\n\xff")
        case _:
            path.unlink()
    if fault == "pipe":
        os.mkfifo(path)
    [said] = texts(catalog.mentioned([TextInput("$singer")], str(tmp_path), {}))
    reason = {
        "gone": "No such file or directory",
        "pipe": "Not a regular file",
        "large": "the file is larger than 1048576 bytes",
        "binary": "the file is not UTF-8",
    }[fault]
    assert f"This skill could not be read: {reason}\n" in said


def test_the_skills_found_stay_cached_until_forget(home, tmp_path):
    catalog = SkillCatalog(home)
    assert not catalog.find(Listed(str(tmp_path))).skills
    write(home, "late")
    assert not catalog.find(Listed(str(tmp_path))).skills
    catalog.forget()
    assert [skill.name for skill in catalog.find(Listed(str(tmp_path))).skills] == ["late"]


def test_the_announcement_has_names_and_paths(home, tmp_path):
    path = write(home, "singer", "A secret.")
    said = announcement(SkillCatalog(home).enabled(str(tmp_path), {}))
    assert said is not None
    assert f"- singer: about singer (file: {path})" in said
    assert "A secret." not in said
    assert announcement([]) is None
