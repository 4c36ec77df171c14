"""The file of `model_catalog_json`: its path, and its errors."""

import json

import pytest

from spindle.storage.config import ConfigError, ConfigLoader
from spindle.storage.home import Home

MODELS = {"models": [{"slug": "a", "priority": 1}, {"slug": "b"}]}


@pytest.fixture
def loader(tmp_path):
    home = Home(tmp_path)
    home.config_file.write_text('model_catalog_json = "models.json"\n')
    return ConfigLoader(home, system_file=tmp_path / "system.toml")


def test_a_relative_path_starts_at_the_file_with_the_setting(loader, tmp_path):
    (tmp_path / "models.json").write_text(json.dumps(MODELS))
    first = loader.load().model_catalog
    assert first == MODELS["models"]
    assert loader.load().model_catalog is first
    (tmp_path / "models.json").write_text(json.dumps({"models": [{"slug": "another"}]}))
    assert loader.load().model_catalog == [{"slug": "another"}]


def test_a_relative_path_of_the_command_line_starts_at_the_home(loader, tmp_path):
    (tmp_path / "other.json").write_text(json.dumps(MODELS))
    assert loader.load(overrides=[("model_catalog_json", "other.json")]).model_catalog == MODELS["models"]


def test_without_the_setting_there_is_no_catalogue(tmp_path):
    assert ConfigLoader(Home(tmp_path), system_file=tmp_path / "system.toml").load().model_catalog is None


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file or directory (os error 2)"),
        ("{", "failed to parse"),
        ("[]", "missing field `models`"),
        ('{"models": []}', "must contain at least one model"),
        ('{"models": [{"slug": "a"}, {}]}', "models[1]: missing field `slug`"),
        ('{"models": ["a"]}', 'models[0]: invalid type: string "a", expected a map'),
        ('{"models": [{"slug": "a", "context_window": "b"}]}', "models[0]: context_window: invalid type"),
        ('{"models": [{"slug": "a", "truncation_policy": {"mode": "x"}}]}', "truncation_policy.mode: unknown variant `x`"),
        ('{"models": [{"slug": "a", "supported_reasoning_levels": ["low"]}]}', "missing field `effort`"),
    ],
)
def test_its_errors_have_its_path(loader, tmp_path, content, reason):
    if content is not None:
        (tmp_path / "models.json").write_text(content)
    with pytest.raises(ConfigError) as caught:
        loader.load()
    assert f"{tmp_path}/models.json" in str(caught.value)
    assert reason in str(caught.value)
