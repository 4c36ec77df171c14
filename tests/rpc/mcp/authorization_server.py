"""An MCP server over HTTP that needs a token, and the authorization server that gives it, on loopback."""

import base64
import hashlib
import itertools
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import orjson
import trio

from .web_server import Answer, WebServer, as_json

PROTECTED = "/.well-known/oauth-protected-resource"
SERVER = "/.well-known/oauth-authorization-server"


def page(status: int, value: object = None, **headers: str) -> Answer:
    return Answer(status, [orjson.dumps(value)], headers={name.replace("_", "-"): text for name, text in headers.items()})


class AuthorizingServer(WebServer):
    """`documents` are its metadata, by path. `tokens` are the valid access tokens, `refreshing` the refresh tokens.

    A code, and a refresh token, can be used once. `broken` answers instead of the normal answer at a path.
    """

    def __init__(self) -> None:
        super().__init__()
        self.broken: dict[str, Answer] = {}
        self.documents: dict[str, Any] = {}
        self.tokens: set[str] = set()
        self.refreshing: set[str] = set()
        self.clients: dict[str, Any] = {}
        self.codes: dict[str, dict[str, str]] = {}
        self.seconds: Any = 3600
        self.anonymous = False
        self._numbers = itertools.count(1)

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def open(self) -> None:
        """Publish its metadata."""
        self.documents = {
            f"{PROTECTED}/mcp": {
                "resource": self.url, "authorization_servers": [self.origin], "scopes_supported": ["a", "b"],
            },
            SERVER: {
                "issuer": self.origin,
                "authorization_endpoint": f"{self.origin}/authorize",
                "token_endpoint": f"{self.origin}/token",
                "registration_endpoint": f"{self.origin}/register",
                "code_challenge_methods_supported": ["S256"],
            },
        }  # fmt: skip

    def asked(self, path: str) -> list[dict[str, str]]:
        """The forms that were sent to a path."""
        return [dict(parse_qsl(one.body.decode())) for one in self.requests if one.target == path]

    def authorize(self, url: str, **answer: str) -> str:
        """The user agrees on the page: where the browser is sent to."""
        asked = dict(parse_qsl(urlsplit(url).query))
        code = f"code-{next(self._numbers)}"
        self.codes[code] = asked
        return f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']} | answer)}"

    def answer(self, request):
        path = urlsplit(request.target).path
        if path in self.broken:
            return self.broken[path]
        if path in self.documents:
            return page(200, self.documents[path])
        if path == "/register":
            client = f"client-{next(self._numbers)}"
            self.clients[client] = request.json
            return page(201, {**request.json, "client_id": client})
        if path == "/token":
            return self._token(dict(parse_qsl(request.body.decode())))
        if path != "/mcp":
            return page(404)
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if token not in self.tokens and not self.anonymous:
            return page(401, www_authenticate=f'Bearer resource_metadata="{self.origin}{PROTECTED}/mcp"')
        if request.json and request.json.get("method", "").startswith("resources/"):
            return as_json({"id": request.json["id"], "error": {"code": -32601, "message": "no resources"}})
        return super().answer(request)

    def _token(self, form):
        if form["grant_type"] == "authorization_code":
            asked = self.codes.pop(form["code"], None)
            digest = hashlib.sha256(form["code_verifier"].encode()).digest()
            if asked is None or base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != asked["code_challenge"]:
                return page(400, {"error": "invalid_grant"})
        elif form["refresh_token"] not in self.refreshing:
            return page(400, {"error": "invalid_grant", "error_description": "used\x1b[2J"})
        else:
            self.refreshing.discard(form["refresh_token"])
        number = next(self._numbers)
        self.tokens.add(f"access-{number}")
        self.refreshing.add(f"refresh-{number}")
        granted = {"access_token": f"access-{number}", "token_type": "Bearer", "refresh_token": f"refresh-{number}"}
        return page(200, granted | ({} if self.seconds is None else {"expires_in": self.seconds}))


async def browse(url: str) -> tuple[int, str]:
    """What a browser gets at a URL of loopback: status and text."""
    parts = urlsplit(url)
    assert parts.port is not None
    stream = await trio.open_tcp_stream("127.0.0.1", parts.port)
    async with stream:
        await stream.send_all(f"GET {parts.path}?{parts.query} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode())
        data = b""
        while piece := await stream.receive_some():
            data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    return int(head.split(b" ")[1]), body.decode()
