"""A home with hooks, and threads whose model is scripted."""

import json

import pytest

from .hooked import FREE


@pytest.fixture
def home(tmp_path):
    """home(hooks, config="") writes the configuration: (event, command or group) pairs."""

    def write(*hooks, config=""):
        events: dict[str, list[object]] = {}
        for event, hook in hooks:
            group = hook if isinstance(hook, dict) else {"hooks": [{"type": "command", "command": hook}]}
            events.setdefault(event, []).append(group)
        (tmp_path / "home").mkdir(exist_ok=True)
        (tmp_path / "home" / "hooks.json").write_text(json.dumps({"hooks": events}))
        (tmp_path / "home" / "config.toml").write_text(config)

    return write


@pytest.fixture
def threads(opened, scripted, tmp_path):
    """threads(*answers, config) -> a runtime to enter and its model."""

    def open_(*answers, config=FREE):
        model = scripted(*answers)
        return opened(model, config=[*config, ("features.apply_patch_freeform", True)]), model

    return open_
