"""Editing config.toml: comments and order are kept, the file is replaced atomically."""

import os
import tomllib

import pytest

from spindle.storage.config import ConfigError
from spindle.storage.config.editing import edit, set_values
from spindle.storage.home import Home
from spindle.storage.skills import switch


def set_model(document):
    document["model"] = "new"


def test_the_users_text_is_kept(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text('# mine\nmodel = "old" # why\n\n[features]\nx = true\n')
    edit(path, set_model)
    assert path.read_text() == '# mine\nmodel = "new" # why\n\n[features]\nx = true\n'


def test_a_missing_file_is_created(tmp_path):
    edit(tmp_path / "deep" / "config.toml", set_model)
    assert (tmp_path / "deep" / "config.toml").read_text() == 'model = "new"\n'


def test_a_file_that_is_not_toml_is_not_changed(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text("model = \n")
    with pytest.raises(ConfigError):
        edit(path, set_model)
    assert path.read_text() == "model = \n"


def test_a_failed_change_leaves_the_file_and_no_other_file(tmp_path, monkeypatch):
    path = tmp_path / "config.toml"
    path.write_text('model = "old"\n')

    def fail(*_):
        raise OSError("full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="full"):
        edit(path, set_model)
    assert path.read_text() == 'model = "old"\n'
    assert {entry.name for entry in tmp_path.iterdir()} == {"config.toml", "config.toml.lock"}


def test_a_link_stays_a_link_and_the_mode_is_kept(tmp_path):
    real, link = tmp_path / "real.toml", tmp_path / "config.toml"
    real.write_text("")
    real.chmod(0o640)
    link.symlink_to(real)
    edit(link, set_model)
    assert link.is_symlink()
    assert real.read_text() == 'model = "new"\n'
    assert real.stat().st_mode & 0o777 == 0o640


def test_skills_are_disabled_with_an_entry_and_enabled_without_one(tmp_path):
    home = Home(tmp_path)
    home.config_file.write_text("# mine\n")
    switch(home, "path", "/a/SKILL.md", False)
    switch(home, "name", "b", False)
    switch(home, "name", "b", False)
    assert home.config_file.read_text().count("[[skills.config]]") == 2
    switch(home, "path", "/a/SKILL.md", True)
    assert "/a/SKILL.md" not in home.config_file.read_text()
    switch(home, "name", "b", True)
    assert home.config_file.read_text().strip() == "# mine"


KEYS = ("hooks", "state", '/a "b" \u00e9.toml:stop:0:0', "trusted_hash")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# mine\n[hooks.state]\n[features] # why\nx = true\n",
        '[[hooks.Stop]]\nhooks = []\n[features]\nx = true\n[hooks.state."k"]\nenabled = false\n[z]\n[hooks.state."l"]\n',
        'hooks = { Stop = [], state = { k = { enabled = true } } } # mine\n[features]\nx = true\n',
        "hooks = { Stop = [] }\n",
        'hooks.state."k".enabled = true\nprojects."/a".trust_level = "x"\n',
        f'[hooks.state.{KEYS[2]!r}]\nenabled = false\ntrusted_hash = "old"\n[z]\n[hooks.state."l"]\n',
    ],
)
def test_a_value_is_set_however_the_file_is_written(tmp_path, text):
    path = tmp_path / "config.toml"
    path.write_text(text)
    wanted = tomllib.loads(text)
    wanted.setdefault("hooks", {}).setdefault("state", {}).setdefault(KEYS[2], {})["trusted_hash"] = "new"
    wanted.setdefault("projects", {})["/p"] = {"trust_level": "trusted"}
    set_values(path, {KEYS: "new", ("projects", "/p", "trust_level"): "trusted"})
    assert tomllib.loads(path.read_text()) == wanted
    assert ("# mine" in path.read_text()) == ("# mine" in text)


@pytest.mark.parametrize(("text", "reason"), [("hooks = 1\n", "non-table parent: `hooks` is"), ("[broken", ":1:8: ")])
def test_a_file_that_cannot_have_the_value_is_not_changed(tmp_path, text, reason):
    path = tmp_path / "config.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=reason):
        set_values(path, {KEYS: "new"})
    assert path.read_text() == text


def test_if_a_value_cannot_be_set_the_error_says_what_to_write(tmp_path, monkeypatch):
    path = tmp_path / "config.toml"
    path.write_text("hooks = { Stop = [] }\n")  # a table at the end would declare it twice
    monkeypatch.setattr("spindle.storage.config.editing._in_place", lambda *_: "hooks = { }")
    with pytest.raises(ConfigError, match=r'cannot change; set `hooks.state = {k = "new"}` yourself'):
        set_values(path, {("hooks", "state", "k"): "new"})
    assert path.read_text() == "hooks = { Stop = [] }\n"
