"""The credentials and the environment, poisoned: a turn completes or fails, and the runtime serves the next thread."""

from __future__ import annotations

import json
import os

import pytest

from .poisons import POISONS, drawn, leaves, marked, put

CREDENTIALS = (
    {"auth_mode": "apikey", "OPENAI_API_KEY": "key"},
    {
        "auth_mode": "chatgpt",
        "OPENAI_API_KEY": None,
        "tokens": {"id_token": "a.b.c", "access_token": "a", "refresh_token": "r", "account_id": "i"},
        "last_refresh": "2026-01-01T00:00:00Z",
    },
)

VARIABLES = (
    *("SHELL", "TZ", "LANG", "PATH", "HOME", "TMPDIR", "USER", "PWD", "TERM", "EDITOR", "KEY"),
    *("http_proxy", "https_proxy", "all_proxy", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR", "XDG_CONFIG_HOME"),
    *("OPENAI_API_KEY", "OPENAI_BASE_URL", "CODEX_API_KEY", "CODEX_SANDBOX", "RUST_LOG", "PYTHONPATH"),
    *("GIT_DIR", "GIT_CONFIG_COUNT", "COLUMNS", "NO_COLOR"),
)
ODD = {
    "empty": b"",
    "no UTF-8": b"a\xff\xfe",
    "surrogate": "\ud800".encode("utf-8", "surrogatepass"),
    "long": b"x" * 100_000,
    "newlines": b"a\nb\r\n",
    "a number": b"99999999999999999999",
    "a folder": b"/",
    "a device": b"/dev/null",
    "a missing file": b"/no/such/file",
    "format": b"%s {} $HOME ${x} `id`",
    "URL": b"http://[::1",
}


async def test_poisoned_credentials_fail_only_what_needs_them(opened, connect, tracebacks, tmp_path) -> None:
    every = [(stored, way, name) for stored in CREDENTIALS for way in leaves(stored) for name in POISONS]
    async with opened() as runtime:
        client = await connect(runtime)
        for stored, way, name in drawn(every, 200):
            path = tmp_path / "home" / "auth.json"
            path.write_bytes(put(marked(stored, way), POISONS[name]))
            for method in ("account/read", "getAuthStatus", "model/list"):
                answer = await client.ask(method, b'{"includeToken":true}' if method == "getAuthStatus" else b"{}")
                assert "internal error" not in json.dumps(answer), (way, name)
        path.unlink()
        thread = await client.start_thread()
        assert (await client.run_turn(thread))["status"] == "completed"
    assert set(client.answers.values()) == {1}
    if faults := tracebacks():
        pytest.fail("\n".join(faults))


async def test_a_poisoned_environment_fails_only_a_turn(opened, connect, tracebacks, monkeypatch) -> None:
    every = [(variable, name) for variable in VARIABLES for name in ODD]
    async with opened() as runtime:
        client = await connect(runtime)
        for variable, name in drawn(every, 60):
            with monkeypatch.context() as patched:
                patched.setenv(variable, os.fsdecode(ODD[name]))
                thread = await client.start_thread()
                assert (await client.run_turn(thread))["status"] in ("completed", "failed"), (variable, name)
                await client.call("thread/unsubscribe", threadId=thread)
        thread = await client.start_thread()
        assert (await client.run_turn(thread))["status"] == "completed"
    assert set(client.answers.values()) == {1}
    if faults := tracebacks():
        pytest.fail("\n".join(faults))
