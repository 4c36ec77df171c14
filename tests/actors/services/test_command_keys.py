"""Keys that a command prints: cached, renewed, and what is said when there is none."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from spindle.actors.services.command_keys import CommandKey
from spindle.actors.tools.commands.process import Warden, open_warden
from spindle.rpc.model.model_errors import ModelError
from spindle.rpc.model.own_headers import RenewableKey
from spindle.rpc.model.provider import AuthCommand, Provider

COUNTING = 'echo x >> runs; echo "  key-$(wc -l < runs | tr -d " ")  "'


@pytest.fixture
async def warden() -> AsyncIterator[Warden]:
    async with open_warden() as warden:
        yield warden


def key_of(warden: Warden, folder: Path, script: str, **settings: Any) -> CommandKey:
    auth = AuthCommand(command="/bin/sh", args=["-c", script], **settings)
    return CommandKey(Provider(name="Mine", base_url="http://x", auth=auth), auth, warden, str(folder))


def runs(folder: Path) -> int:
    return (folder / "runs").read_text().count("x")


async def test_the_key_is_cached_until_its_time_is_over(warden: Warden, tmp_path: Path, mock_clock: Any) -> None:
    key = key_of(warden, tmp_path, COUNTING, refresh_interval_ms=60_000)
    assert isinstance(key, RenewableKey)
    assert [await key(), await key()] == ["key-1", "key-1"]
    mock_clock.jump(59.9)
    assert await key() == "key-1"
    mock_clock.jump(0.2)
    assert [await key(), await key()] == ["key-2", "key-2"]


async def test_without_an_interval_only_a_refusal_renews_it(warden: Warden, tmp_path: Path, mock_clock: Any) -> None:
    key = key_of(warden, tmp_path, COUNTING, refresh_interval_ms=0)
    assert await key() == "key-1"
    mock_clock.jump(10**6)
    assert await key() == "key-1"
    await key.renew("key-1")
    assert await key() == "key-2"
    await key.renew("key-1")  # of a request that was sent before
    assert await key() == "key-2"


async def test_requests_at_the_same_time_run_it_once(warden: Warden, tmp_path: Path) -> None:
    key, got = key_of(warden, tmp_path, COUNTING), list[str]()

    async def ask() -> None:
        got.append(await key())

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(ask)
    assert (got, runs(tmp_path)) == (["key-1"] * 5, 1)


async def test_it_runs_where_its_settings_say(warden: Warden, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    assert await key_of(warden, tmp_path, "basename $PWD", cwd="sub")() == "sub"
    assert await key_of(warden, tmp_path, "basename $PWD")() == tmp_path.name


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("echo secret; echo oops >&2; exit 3", "exit status 3: oops"),
        ("exit 4", "exit status 4"),
        ("echo", "its output is not one line with a key"),
        ("printf 'a\\nb\\n'", "its output is not one line with a key"),
        ("printf 'a\\377'", "its output is not one line with a key"),
        ("head -c 70000 /dev/zero | tr '\\0' x", "its output is not one line with a key"),
    ],
)
async def test_without_a_key_the_request_fails(warden: Warden, tmp_path: Path, script: str, why: str) -> None:
    with pytest.raises(ModelError) as caught:
        await key_of(warden, tmp_path, script)()
    assert caught.value.message == f"the command for the key of the provider Mine has failed: {why}"
    assert not caught.value.retryable


async def test_a_command_that_does_not_end_is_killed(warden: Warden, tmp_path: Path, mock_clock: Any) -> None:
    failed: list[str] = []

    async def ask() -> None:
        with pytest.raises(ModelError) as caught:
            await key_of(warden, tmp_path, "touch begun; exec sleep 1000", timeout_ms=500)()
        failed.append(caught.value.message)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        while not (tmp_path / "begun").exists():
            await trio.lowlevel.checkpoint()
        mock_clock.jump(0.6)
    assert failed == ["the command for the key of the provider Mine has failed: it did not end within 500 ms"]
    assert warden.running() == []


async def test_a_missing_command_is_named(warden: Warden, tmp_path: Path) -> None:
    auth = AuthCommand(command="/none/such")
    key = CommandKey(Provider(name="Mine", base_url="http://x", auth=auth), auth, warden, str(tmp_path))
    with pytest.raises(ModelError, match=r"has failed: .*No such file"):
        await key()
