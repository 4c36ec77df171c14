"""All readers of files from outside, with a pipe, a device and a file of 600 MB: refused or skipped, at once."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from spindle.storage.agents_md import read_instructions
from spindle.storage.config import ConfigError
from spindle.storage.config.hooks import hook_config
from spindle.storage.config.loader import ConfigLoader
from spindle.storage.config.model_catalog import CatalogFiles
from spindle.storage.config.texts import TextFiles
from spindle.storage.credentials import CredentialStore
from spindle.storage.home import Home
from spindle.storage.model_lists import read_list
from spindle.storage.outside import TEXT
from spindle.storage.skills import switch
from spindle.storage.threads.names import NAMES_FILE, read_name, read_names

LARGE = 600 << 20


@pytest.fixture
def home(tmp_path: Path) -> Home:
    (tmp_path / "home").mkdir()
    return Home(tmp_path / "home")


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    (tmp_path / "repo/.git").mkdir(parents=True)
    (tmp_path / "repo/.codex").mkdir()
    return tmp_path / "repo"


def spoil(path: Path, kind: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "device":
            path.symlink_to("/dev/zero")
        case _:
            path.touch()
            os.truncate(path, LARGE)


def config(home: Home) -> ConfigLoader:
    return ConfigLoader(home, system_file=home.path / "etc/config.toml")


def trust(home: Home, repo: Path) -> None:
    home.config_file.write_text(f'[projects."{repo}"]\ntrust_level = "trusted"\n')


READERS: dict[str, tuple[str, Callable[[Home], object]]] = {
    "the user's configuration": ("config.toml", lambda home: config(home).load()),
    "the system's configuration": ("etc/config.toml", lambda home: config(home).load()),
    "requirements": ("etc/requirements.toml", lambda home: config(home).load()),
    "a change to the configuration": ("config.toml", lambda home: switch(home, "name", "one", False)),
    "a catalogue": ("models.json", lambda home: CatalogFiles().read(home.path / "models.json")),
    "a text": ("text.md", lambda home: TextFiles().read(home.path / "text.md", "text")),
    "credentials": ("auth.json", lambda home: CredentialStore(home).read()),
    "a name": (NAMES_FILE, lambda home: read_name(home, "00000000-0000-4000-8000-000000000000")),
    "names": (NAMES_FILE, read_names),
}


@pytest.mark.parametrize("kind", ["pipe", "device", "large"])
@pytest.mark.parametrize("reader", READERS)
def test_it_is_refused(home: Home, reader: str, kind: str) -> None:
    name, read = READERS[reader]
    spoil(home.path / name, kind)
    with pytest.raises((OSError, ConfigError), match=r"[Nn]ot a regular file" if kind != "large" else r"larger than \d+ bytes"):
        read(home)


@pytest.mark.parametrize("kind", ["pipe", "device", "large"])
def test_a_trusted_project_is_refused_and_another_is_loaded_without_its_file(home: Home, repo: Path, kind: str) -> None:
    spoil(repo / ".codex/config.toml", kind)
    loaded = config(home).load(repo)
    assert [layer.config for layer in loaded.layers if layer.source["type"] == "project"] == [{}]
    trust(home, repo)
    with pytest.raises(OSError, match=r"config\.toml"):
        config(home).load(repo)


@pytest.mark.parametrize("kind", ["pipe", "device", "large"])
def test_hooks_are_named_in_a_warning(home: Home, repo: Path, kind: str) -> None:
    trust(home, repo)
    spoil(repo / ".codex/hooks.json", kind)
    [warning] = hook_config(config(home).load(repo)).warnings
    assert f"failed to read hooks config {repo / '.codex/hooks.json'}" in warning


@pytest.mark.parametrize("kind", ["pipe", "device", "large"])
def test_instructions_are_cut_or_skipped(home: Home, repo: Path, kind: str) -> None:
    for folder in (home.path, repo):
        spoil(folder / "AGENTS.md", kind)
    found = read_instructions(home, repo)
    if kind == "large":
        assert found.text is not None
        assert len(found.text) < TEXT + (64 << 10)
    else:
        assert (found.text, found.sources) == (None, ())


@pytest.mark.parametrize("kind", ["pipe", "device", "large"])
def test_an_unreadable_list_of_models_is_fetched_again(home: Home, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr("spindle.storage.model_lists._path", lambda home, provider: home.path / "list.json")
    spoil(home.path / "list.json", kind)
    assert read_list(home, "provider", "1") is None
