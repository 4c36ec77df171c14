"""OAuth tokens of MCP servers: `.credentials.json` of the home, in Codex's format, so that one login serves both programs.

The file has an entry for each pair of a server's name and URL. Only its owner can read it. Everything here blocks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

import orjson
from attrs import field

from spindle.rpc.lazy_class import frozen
from spindle.rpc.lenient import is_mapping, sequence, text, text_or_none
from spindle.rpc.protocol.values import loads
from spindle.storage.durable import make_folder, private_folder, replace
from spindle.storage.home import Home
from spindle.storage.locks import locked
from spindle.storage.outside import TEXT
from spindle.storage.parsed_files import ParsedFiles


@frozen(kw_only=True)
class McpTokens:
    """The tokens of one login. `expires_at` is in Unix milliseconds, None if the server did not say."""

    server_name: str
    server_url: str
    issuer: str | None
    client_id: str
    access_token: str = field(repr=False)
    expires_at: int | None
    refresh_token: str | None = field(repr=False)
    scopes: tuple[str, ...]

    def usable(self, now: float) -> bool:
        """Whether the access token is valid at `now` (Unix seconds)."""
        return self.expires_at is None or now * 1000 < self.expires_at


class McpTokenStore:
    """The tokens of one home. May be shared by worker threads."""

    def __init__(self, home: Home) -> None:
        self._file = home.path / ".credentials.json"
        self._locks = home.path / "mcp-oauth-locks"
        self._files = ParsedFiles(TEXT, lambda _, data: _parsed(data))

    def read(self, name: str, url: str) -> McpTokens | None:
        """The tokens for a server; None if there are none. Raises OSError."""
        try:
            entries = self._files.read(self._file)
        except FileNotFoundError:
            return None
        return _tokens(entries.get(_key(name, url)))

    def keep(self, tokens: McpTokens) -> None:
        """Store the tokens of a login, in place of the former ones of its server; fsynced. Raises OSError."""
        make_folder(self._file.parent)
        private_folder(self._locks)
        with locked(self._locks / "file-store.lock"):
            try:
                entries = dict(self._files.read(self._file))
            except FileNotFoundError:
                entries = {}
            entries[_key(tokens.server_name, tokens.server_url)] = {
                "server_name": tokens.server_name,
                "server_url": tokens.server_url,
                "issuer": tokens.issuer,
                "client_id": tokens.client_id,
                "access_token": tokens.access_token,
                "expires_at": tokens.expires_at,
                "refresh_token": tokens.refresh_token,
                "scopes": list(tokens.scopes),
            }
            replace(self._file, orjson.dumps(entries))

    @contextmanager
    def refreshing(self, name: str, url: str) -> Generator[None]:
        """Hold the lock with which processes refresh the tokens of a server one after the other.

        A refresh token is often valid once. Raises TimeoutError at once if another process holds it, OSError.
        """
        private_folder(self._locks)
        digest = hashlib.sha256(_key(name, url).encode()).hexdigest()
        with locked(self._locks / f"{digest}.lock", 0):
            yield


def _key(name: str, url: str) -> str:
    """The name of an entry: as Codex makes it, from the server's name and the JSON of its address."""
    address = orjson.dumps({"type": "http", "url": url, "headers": {}})
    return f"{name}|{hashlib.sha256(address).hexdigest()[:16]}"


def _parsed(data: bytes) -> Mapping[str, Any]:
    try:
        value: object = loads(data)
    except orjson.JSONDecodeError:
        return {}
    return value if is_mapping(value) else {}


def _tokens(entry: object) -> McpTokens | None:
    if not is_mapping(entry) or not text(entry.get("access_token")) or not text(entry.get("client_id")):
        return None
    expires: object = entry.get("expires_at")
    return McpTokens(
        server_name=text(entry.get("server_name")),
        server_url=text(entry.get("server_url")),
        issuer=text_or_none(entry.get("issuer")),
        client_id=entry["client_id"],
        access_token=entry["access_token"],
        expires_at=expires if isinstance(expires, int) and not isinstance(expires, bool) else None,
        refresh_token=text_or_none(entry.get("refresh_token")),
        scopes=tuple(one for one in sequence(entry.get("scopes")) if isinstance(one, str)),
    )
