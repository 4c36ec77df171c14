"""Credentials in the home's `auth.json`, in Codex's format: `{"auth_mode": "apikey", "OPENAI_API_KEY": "…"}`."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

import orjson
from attrs import field

from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.values import loads
from spindle.storage.durable import make_folder, replace, sync_folder
from spindle.storage.home import Home
from spindle.storage.outside import TEXT
from spindle.storage.parsed_files import ParsedFiles

if TYPE_CHECKING:
    from spindle.storage.passed_tokens import PassedTokens

AskForTokens: TypeAlias = "Callable[[PassedTokens], Awaitable[PassedTokens]]"


@frozen
class Credentials:
    """The stored login. `tokens` are those of a ChatGPT login; Spindle neither obtains nor refreshes them."""

    auth_mode: Literal["apikey", "chatgpt"]
    api_key: str | None = field(default=None, repr=False)
    tokens: Mapping[str, Any] | None = field(default=None, repr=False)


class CredentialStore:
    """Reads and writes one home's credentials. Blocks for microseconds; may be shared by worker threads.

    A key in `OPENAI_API_KEY` is not a login, but the key of a home without one.
    """

    def __init__(self, home: Home, environ: Mapping[str, str] = os.environ) -> None:
        self._path = home.auth_file
        self._environ = environ
        self.passed: PassedTokens | None = None
        """Tokens that a client has passed in. They have precedence over what is stored."""
        self.ask_for_tokens: AskForTokens | None = None
        """Asks that client for others. Raises what a model raises."""
        self._in_memory: str | None = None
        self._files = ParsedFiles(TEXT, lambda _, data: _parse(data))

    def read(self) -> Credentials | None:
        """The stored credentials, None if there are none or the file is not valid. Raises OSError.

        The file is parsed again only when it changed, so this may be called per request.
        """
        try:
            return self._files.read(self._path)
        except FileNotFoundError:
            return None

    def api_key(self) -> str | None:
        """OpenAI's key: the stored one, that of the environment if there is no login, None for another kind of login.

        None with tokens that a client has passed in. Raises OSError.
        """
        if self.passed is not None:
            return None
        if self._in_memory is not None:
            return self._in_memory
        found = self.read()
        if found is None:
            return self._environ.get("OPENAI_API_KEY", "").strip() or None
        return found.api_key if found.auth_mode == "apikey" else None

    def login_api_key(self, api_key: str) -> None:
        """Replace the credentials by an API key. The file is replaced atomically, and only its owner can read it.

        Raises OSError.
        """
        content = orjson.dumps({"auth_mode": "apikey", "OPENAI_API_KEY": api_key}, option=orjson.OPT_INDENT_2)
        make_folder(self._path.parent)
        replace(self._path, content)

    def hold_api_key(self, api_key: str) -> None:
        """Use this key until the logout, whatever is stored. It is written nowhere."""
        self._in_memory = api_key

    def pass_in(self, tokens: PassedTokens, ask: AskForTokens) -> None:
        """Use these tokens; `ask` is called for others when a provider refuses them."""
        self.passed, self.ask_for_tokens = tokens, ask

    def logout(self) -> bool:
        """Remove the credentials and forget passed tokens; False if there were none. Raises OSError."""
        had = self.passed is not None or self._in_memory is not None
        self.passed = self.ask_for_tokens = self._in_memory = None
        try:
            self._path.unlink()
        except FileNotFoundError:
            return had
        sync_folder(self._path.parent)
        return True


def _parse(data: bytes) -> Credentials | None:
    try:
        value: object = loads(data)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(value, dict):
        return None
    members = cast("dict[str, object]", value)
    key, tokens, mode = members.get("OPENAI_API_KEY"), members.get("tokens"), members.get("auth_mode")
    # Files of older versions have no mode.
    if isinstance(key, str) and mode in (None, "apikey"):
        return Credentials("apikey", api_key=key)
    if isinstance(tokens, dict) and mode in (None, "chatgpt"):
        return Credentials("chatgpt", tokens=cast("dict[str, Any]", tokens))
    return None
