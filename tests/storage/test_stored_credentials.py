"""auth.json."""

import json
from pathlib import Path

import pytest

from spindle.storage.credentials import Credentials, CredentialStore
from spindle.storage.home import Home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_there_is_no_login_at_first(home: Home) -> None:
    store = CredentialStore(home, {"OPENAI_API_KEY": " "})
    assert store.read() is None
    assert store.api_key() is None
    assert store.logout() is False


def test_the_key_of_the_environment_is_no_login_and_is_used_without_one(home: Home) -> None:
    store = CredentialStore(home, {"OPENAI_API_KEY": "sk-env"})
    assert (store.read(), store.api_key()) == (None, "sk-env")
    store.login_api_key("sk-1")
    assert store.api_key() == "sk-1"
    home.auth_file.write_text('{"tokens": {"a": 1}}')
    assert store.api_key() is None
    store.logout()
    assert store.api_key() == "sk-env"


def test_the_variable_of_codex_exec_is_not_read(home: Home) -> None:
    """Codex's app-server ignores `CODEX_API_KEY`, with and without a login."""
    store = CredentialStore(home, {"CODEX_API_KEY": "sk-codex"})
    assert (store.read(), store.api_key()) == (None, None)
    store = CredentialStore(home, {"CODEX_API_KEY": "sk-codex", "OPENAI_API_KEY": "sk-env"})
    assert store.api_key() == "sk-env"
    store.login_api_key("sk-1")
    assert store.api_key() == "sk-1"


def test_a_key_is_stored_in_a_private_file(home: Home) -> None:
    home.auth_file.write_text("{}")
    home.auth_file.chmod(0o644)
    store = CredentialStore(home)
    assert store.read() is None
    store.login_api_key("sk-1")
    assert json.loads(home.auth_file.read_text()) == {"auth_mode": "apikey", "OPENAI_API_KEY": "sk-1"}
    assert home.auth_file.stat().st_mode & 0o777 == 0o600
    assert store.read() == CredentialStore(home).read() == Credentials("apikey", api_key="sk-1")
    assert [path.name for path in home.path.iterdir()] == ["auth.json"]


def test_a_later_login_replaces_the_key(home: Home) -> None:
    store = CredentialStore(home)
    store.login_api_key("sk-1")
    assert store.api_key() == "sk-1"
    store.login_api_key("sk-2")
    assert store.api_key() == "sk-2"


def test_a_key_in_memory_is_written_nowhere(home: Home) -> None:
    store = CredentialStore(home, {})
    store.hold_api_key("sk-held")
    assert store.api_key() == "sk-held"
    assert not home.auth_file.exists()
    assert CredentialStore(home, {}).api_key() is None
    assert store.logout() is True
    assert store.api_key() is None


def test_logout_removes_the_file(home: Home) -> None:
    store = CredentialStore(home)
    store.login_api_key("sk-1")
    assert store.api_key() == "sk-1"
    assert store.logout() is True
    assert not home.auth_file.exists()
    assert store.read() is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"OPENAI_API_KEY": "sk-old"}', Credentials("apikey", api_key="sk-old")),
        ('{"auth_mode": "chatgpt", "tokens": {"a": 1}}', Credentials("chatgpt", tokens={"a": 1})),
        ('{"OPENAI_API_KEY": null, "tokens": {"a": 1}}', Credentials("chatgpt", tokens={"a": 1})),
        ('{"auth_mode": "apikey"}', None),
        ("{broken", None),
        ("[]", None),
    ],
)
def test_files_of_other_programs(home: Home, text: str, found: Credentials | None) -> None:
    home.auth_file.write_text(text)
    assert CredentialStore(home).read() == found


def test_secrets_are_not_shown(home: Home) -> None:
    assert "sk-1" not in repr(Credentials("apikey", api_key="sk-1"))
    assert "tok" not in repr(Credentials("chatgpt", tokens={"id_token": "tok"}))
