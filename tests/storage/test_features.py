"""The list of features."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from spindle.storage.config import ConfigLoader
from spindle.storage.config.features import SERVED, SWITCHED, Feature, features
from spindle.storage.config.keys import KEYS, Standing
from spindle.storage.home import Home


def listed(tmp_path: Path, text: str = "", **switched: bool) -> dict[str, Feature]:
    (tmp_path / "config.toml").write_text(text)
    config = ConfigLoader(Home(tmp_path), system_file=tmp_path / "none").load()
    found = list(features(config, switched))
    assert len({one.name for one in found}) == len(found)
    return {one.name: one for one in found}


def test_a_feature_that_changes_nothing_has_the_stage_removed(tmp_path: Path) -> None:
    found = listed(tmp_path)
    assert {name for name, one in found.items() if one.stage != "removed"} == set(SERVED)
    for name in SERVED:
        assert KEYS[f"features.{name}"] is Standing.SERVED
    assert set(SWITCHED) <= set(found)
    assert "collab" not in found


def test_the_defaults_are_those_that_code_uses(tmp_path: Path) -> None:
    source = Path(__file__).parents[2]
    code = "\n".join(path.read_text() for path in (source / "actors").rglob("*.py"))
    code += "".join((source / f"storage/config/{name}.py").read_text() for name in ("hooks", "effective"))
    for name, (stage, default) in SERVED.items():
        assert f'features("{name}", {default})' in code or (name, stage) == ("web_search_cached", "deprecated"), name


def test_the_configuration_is_stronger_than_a_switch(tmp_path: Path) -> None:
    def on(name: str, text: str = "", **switched: Any) -> tuple[bool, bool]:
        one = listed(tmp_path, text, **switched)[name]
        return one.enabled, one.default

    assert on("memories") == (False, False)
    assert on("memories", memories=True) == (True, False)
    assert on("memories", "[features]\nmemories = false\n", memories=True) == (False, False)
    assert on("apps") == (True, True)
    assert on("multi_agent", "[features]\ncollab = false\n") == (False, True)
    assert on("network_proxy", "[features]\nnetwork_proxy = true\n") == (False, False)
