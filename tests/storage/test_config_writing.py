"""Writing the user's config.toml: which keys, which values, which version, and what overrides them."""

from __future__ import annotations

import tomllib
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from spindle.storage.config import ConfigError, ConfigLoader
from spindle.storage.config.editing import follow
from spindle.storage.config.programs import hash_of
from spindle.storage.config.tables import filled, put
from spindle.storage.config.writing import Edit, WriteRefused, check_file, key_path, write
from spindle.storage.home import Home

TEXT = """# mine
model = "m" # why
[mcp_servers.one]
command = "x" # cmd
args = ["a"]
[sandbox_workspace_write]
network_access = true
"""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    (tmp_path / "config.toml").write_text(TEXT)
    return Home(tmp_path)


def loads(home: Home, *overrides: tuple[str, Any]) -> ConfigLoader:
    return ConfigLoader(home, overrides, system_file=home.path / "system.toml")


def edit(path: str, value: object, upsert: bool = False) -> Edit:
    return Edit(key_path(path), value, upsert)


def refused(home: Home, *edits: Edit, expected: str | None = None) -> tuple[str, str]:
    before = home.config_file.read_text()
    with pytest.raises(WriteRefused) as caught:
        write(loads(home), edits, expected)
    assert home.config_file.read_text() == before
    return caught.value.code, caught.value.reason


@pytest.mark.parametrize(
    ("path", "keys"),
    [
        ("model", ["model"]),
        ("a.b.c", ["a", "b", "c"]),
        ('projects."/x/y.z".trust_level', ["projects", "/x/y.z", "trust_level"]),
        ("projects./x/y", ["projects", "/x/y"]),
        ('"model"', ["model"]),
        (r'a."x\"y\\z".b', ["a", 'x"y\\z', "b"]),
        (" a.b ", [" a", "b "]),
    ],
)
def test_a_path_has_keys_between_dots_and_in_quotes(path: str, keys: list[str]) -> None:
    assert list(key_path(path)) == keys


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("", "keyPath must not be empty"),
        (" ", "keyPath must not be empty"),
        (".model", "keyPath segments must not be empty"),
        ("model.", "keyPath segments must not be empty"),
        ("a..b", "keyPath segments must not be empty"),
        ('a."".b', "keyPath segments must not be empty"),
        ('a."x', "unterminated quoted keyPath segment"),
        ('a."x\\', "unterminated quoted keyPath segment"),
        ('a.x"y".b', "invalid quoted keyPath segment"),
        ('a."x"y.b', "invalid quoted keyPath segment"),
        pytest.param("a." * 2000 + "a", "recursion limit exceeded", id="too deep"),
    ],
)
def test_an_invalid_path_is_refused(path: str, reason: str) -> None:
    with pytest.raises(WriteRefused) as caught:
        key_path(path)
    assert (caught.value.code, caught.value.reason) == ("configValidationError", reason)


@pytest.mark.parametrize(
    ("path", "value", "upsert", "text"),
    [
        ("model", "n", False, TEXT.replace('"m"', '"n"')),
        ("model", None, False, TEXT.replace('model = "m" # why\n', "")),
        ("mcp_servers.one.command", "y", True, TEXT.replace('"x"', '"y"')),
        ("mcp_servers.one", {"command": "y"}, True, TEXT.replace('"x"', '"y"')),
        ("mcp_servers.one", {"command": "y"}, False, TEXT.replace('"x"', '"y"').replace('args = ["a"]\n', "")),
        ("nothing.here.at_all", None, False, TEXT),
        ("mcp_servers.one", None, False, TEXT.replace('[mcp_servers.one]\ncommand = "x" # cmd\nargs = ["a"]\n', "")),
        ("tui.theme", "dark", False, f'{TEXT}\n[tui]\ntheme = "dark"\n'),
    ],
)
def test_only_the_value_changes(home: Home, path: str, value: object, upsert: bool, text: str) -> None:
    written = write(loads(home), [edit(path, value, upsert)])
    assert home.config_file.read_text() == text
    assert written.version == hash_of(tomllib.loads(text))
    assert written.override is None


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        ("model", 1, "Invalid configuration: invalid type: integer `1`, expected a string\nin `model`\n"),
        ("features.x", 1, "Invalid configuration: invalid type: integer `1`, expected a boolean\nin `features.x`\n"),
        ("model.sub", "x", 'cannot set value on non-table parent: `model` is string "m"'),
        ("x", {"a": None}, "invalid value: invalid type: null, expected any valid TOML value"),
        ("x", [2**63], "invalid value: u64 value was too large"),
    ],
)
def test_an_invalid_value_is_refused(home: Home, path: str, value: object, reason: str) -> None:
    assert refused(home, edit(path, value)) == ("configValidationError", reason)


def test_a_batch_is_written_whole_or_not_at_all(home: Home) -> None:
    refused(home, edit("model", "n"), edit("sandbox_mode", "nope"))
    write(loads(home), [edit("model", "a"), edit("model", "b"), edit("new", [1, {"a": "b"}])])
    content = tomllib.loads(home.config_file.read_text())
    assert (content["model"], content["new"]) == ("b", [1, {"a": "b"}])


def test_the_file_must_have_the_expected_version(home: Home) -> None:
    version = hash_of(tomllib.loads(TEXT))
    assert refused(home, edit("model", "n"), expected="sha256:no")[0] == "configVersionConflict"
    home.config_file.write_text(f"# a comment is no change\n{TEXT}")
    after = write(loads(home), [edit("model", "n")], version).version
    assert refused(home, edit("model", "o"), expected=version)[0] == "configVersionConflict"
    write(loads(home), [edit("model", "o")], after)


def test_without_edits_nothing_is_written(home: Home) -> None:
    home.config_file.write_text("sandbox_mode = 'nope'\n")
    at = home.config_file.stat()
    assert write(loads(home), []).version == hash_of({"sandbox_mode": "nope"})
    assert home.config_file.stat() == at


def test_a_broken_file_is_left(home: Home) -> None:
    home.config_file.write_text("model = [")
    with pytest.raises(ConfigError) as caught:
        write(loads(home), [edit("model", "m")])
    assert not isinstance(caught.value, WriteRefused)
    assert home.config_file.read_text() == "model = ["


def test_only_the_users_file_is_written(home: Home) -> None:
    (home.path / "link.toml").symlink_to(home.config_file)
    for file in (None, home.config_file, home.path / "link.toml"):
        check_file(loads(home), file)
    for file in (Path("/etc/codex/config.toml"), home.path / "other.toml"):
        with pytest.raises(WriteRefused) as caught:
            check_file(loads(home), file)
        assert caught.value.code == "configLayerReadonly"


@pytest.mark.parametrize(
    ("path", "value", "effective"),
    [
        ("model", "n", "flag"),
        ("model", None, "flag"),
        ("tools", {"view_image": False}, {"view_image": True}),
        ("tools.view_image", False, True),
    ],
)
def test_a_stronger_layer_overrides(home: Home, path: str, value: object, effective: object) -> None:
    loader = loads(home, ("model", "flag"), ("tools.view_image", True))
    override = write(loader, [edit("model_verbosity", "low"), edit(path, value)]).override
    assert override is not None
    assert (override.message, override.value) == ("Overridden by session flags", effective)
    assert override.layer.source == {"type": "sessionFlags"}


def test_the_same_value_in_a_stronger_layer_overrides_nothing(home: Home) -> None:
    assert write(loads(home, ("model", "flag")), [edit("model", "flag")]).override is None


def test_a_removed_value_may_be_that_of_the_system(home: Home) -> None:
    (home.path / "system.toml").write_text('model = "theirs"\n')
    assert write(loads(home), [edit("model", "n")]).override is None
    override = write(loads(home), [edit("model", None)]).override
    assert override is not None
    assert (override.message, override.value) == (f"Overridden by {home.path / 'system.toml'}", "theirs")


PIECES = (
    '[[skills.config]]\npath = "/x"\n[z]\nq = 1\n[[skills.config]]\npath = "/y"\n',
    'a = { b = 1, c = { d = 2 } } # cc\n[e.f]\n',
    'a.b = 1\na.c.d = 2 # x\n[e]\n[e.f]\ng = [1, 2]\n',
    "[a.c]\nd = 1\n[x]\n[a]\nb = 2\n[e.f]\n",
    '"a"."b" = 1\n[e."f"]\n"g h" = 1\n',
    "",
)
KEYS = st.lists(st.sampled_from(("a", "b", "c", "d", "e", "f", "g h", "skills", "config")), min_size=1, max_size=3)
SCALARS = st.one_of(st.booleans(), st.integers(-5, 5), st.text("ab\n\"'\\é", max_size=3), st.floats(0, 1))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abx"), inner, max_size=2),
    max_leaves=4,
)


@example(PIECES[2], [(["a", "a", "a"], [], False), (["a", "b"], None, False)])  # works one by one only
@given(st.sampled_from(PIECES), st.lists(st.tuples(KEYS, st.none() | VALUES, st.booleans()), max_size=3))
def test_the_text_gets_what_is_wanted_however_it_is_written(
    text: str, edits: list[tuple[list[str], object, bool]]
) -> None:
    wanted: dict[str, Any] = tomllib.loads(text)
    for keys, value, upsert in edits:
        with suppress(ConfigError):  # a value on the way is no table
            wanted = put(wanted, keys, value, upsert=upsert)
    made = follow(text, wanted, Path("config.toml"))
    assert hash_of(filled(tomllib.loads(made))) == hash_of(filled(wanted))
