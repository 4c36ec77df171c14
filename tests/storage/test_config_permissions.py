"""The permission profile of config.toml, in the protocol's form."""

import tomllib

import pytest

from spindle.actors.settings.permissions import split
from spindle.storage.config.config_error import ConfigError
from spindle.storage.config.layers import Layer, merge_layers
from spindle.storage.config.permissions import chosen, named

FULL = """
default_permissions = "mine"
[permissions.mine.filesystem]
":root" = "read"
":tmpdir" = "write"
"/data/secret" = "none"
"/data/keys/*.pem" = "none"
"/srv/**" = "read"
glob_scan_max_depth = 3
[permissions.mine.filesystem.":project_roots"]
"." = "write"
"docs" = "read"
"**/.env" = "none"
[permissions.mine.filesystem."/opt"]
"tools" = "write"
[permissions.mine.network]
enabled = true
"""


def special(kind, access, **more):
    return {"path": {"type": "special", "value": {"kind": kind, **more}}, "access": access}


def test_a_profile_in_full():
    found = named(tomllib.loads(FULL), "mine")
    assert found["network"] == {"enabled": True}
    assert found["fileSystem"]["globScanMaxDepth"] == 3
    assert found["fileSystem"]["entries"] == [
        special("root", "read"),
        special("tmpdir", "write"),
        {"path": {"type": "path", "path": "/data/secret"}, "access": "none"},
        {"path": {"type": "glob_pattern", "pattern": "/data/keys/*.pem"}, "access": "none"},
        {"path": {"type": "path", "path": "/srv"}, "access": "read"},
        special("project_roots", "write"),
        special("project_roots", "read", subpath="docs"),
        {"path": {"type": "glob_pattern", "pattern": "**/.env"}, "access": "none"},
        {"path": {"type": "path", "path": "/opt/tools"}, "access": "write"},
    ]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ('"relative" = "read"', "must be absolute"),
        ('"/a/*" = "write"', "only supports `none` access"),
        ('"/a" = "some"', "unknown variant `some`"),
        ('"/a" = { ".." = "read" }', "must be a descendant path"),
        ('":root" = { "a" = "read" }', "does not support nested entries"),
        ("glob_scan_max_depth = 0", "must be at least 1"),
    ],
)
def test_an_invalid_profile_is_refused(files, said):
    with pytest.raises(ConfigError, match=said):
        named(tomllib.loads(f"[permissions.mine.filesystem]\n{files}"), "mine")


def test_the_words_of_later_versions_have_the_same_meaning():
    text = '[permissions.mine.filesystem]\n"/data/*.pem" = "deny"\n[permissions.mine.filesystem.":workspace_roots"]\n'
    found = named(tomllib.loads(text + '"." = "write"\n"a" = "deny"\n'), "mine")
    assert found["fileSystem"]["entries"] == [
        {"path": {"type": "glob_pattern", "pattern": "/data/*.pem"}, "access": "none"},
        special("project_roots", "write"),
        special("project_roots", "none", subpath="a"),
    ]


@pytest.mark.parametrize("name", [":read-only", ":workspace", ":danger-full-access"])
def test_profiles_that_are_built_in_are_sandbox_modes(name):
    policy, profile = split(dict(named({}, name)))
    assert profile is None
    assert name == {"readOnly": ":read-only", "workspaceWrite": ":workspace"}.get(policy.type, ":danger-full-access")


def layers(*texts):
    """Strongest first."""
    return [Layer({"type": "user"}, tomllib.loads(text)) for text in texts]


PROFILES = '[permissions.mine.filesystem]\n":root" = "read"\n'
ASKED = f'default_permissions = "mine"\n{PROFILES}'


@pytest.mark.parametrize(
    ("texts", "decides"),
    [
        ([ASKED], True),
        ([f'sandbox_mode = "read-only"\n{ASKED}'], True),
        (['sandbox_mode = "read-only"', ASKED], False),
        ([ASKED, 'sandbox_mode = "read-only"'], True),
        ([f'sandbox_mode = "read-only"\n{PROFILES}'], False),
        ([""], False),
    ],
)
def test_the_strongest_layer_with_a_value_decides(texts, decides):
    given = layers(*texts)
    assert (chosen(merge_layers(given), given) is not None) == decides


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (PROFILES, "does not set `default_permissions`"),
        ('default_permissions = "mine"', r"requires a `\[permissions\]` table"),
        (f'default_permissions = "other"\n{PROFILES}', "undefined profile `other`"),
    ],
)
def test_a_configuration_that_names_no_profile_is_refused(text, said):
    given = layers(text)
    with pytest.raises(ConfigError, match=said):
        chosen(merge_layers(given), given)
