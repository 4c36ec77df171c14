"""The hello of a process, and what the daemon makes of the hello of another one."""

import json
import os
import resource
import sys
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import evolve
from trio.testing import MockClock, memory_stream_pair, wait_all_tasks_blocked

import spindle
from spindle.rpc.relay import hello as hellos
from spindle.rpc.relay.hello import HARMLESS, HARMLESS_PREFIXES, hello, version
from spindle.rpc.relay.opening import HELLO_SECONDS, answer_hello, receive_hello
from spindle.rpc.relay.verdict import Hello, UnreadableHello, read_hello, refusal

OURS = Hello("1", "/a", {"model": "m"}, {"PATH": "/bin", "KEY": "k"}, {"nofile": [1, 2]}, 0o22)


def said(**changes: Any) -> str:
    """A hello as it is sent, with some members changed; None leaves one out."""
    members = {**hello([]), **changes}
    return json.dumps({name: value for name, value in members.items() if value is not None})


def test_the_hello_of_a_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "environ", {"PATH": "/bin", "TERM": "x", "VSCODE_PID": "1", "ODD": "\udcff"})
    read = read_hello(json.dumps(hello(["a.b = 1=2", "c", "a.b=3"], [("on", True), ("off", False)])))
    assert read.cwd == str(tmp_path)
    assert read.environment == {"PATH": "/bin", "ODD": "\udcff"}
    assert read.overrides == {"a.b": "3", "c": "", "features.on": "true", "features.off": "false"}
    assert read.limits["nofile"] == list(resource.getrlimit(resource.RLIMIT_NOFILE))
    umask = os.umask(0o77)
    os.umask(umask)
    assert read.umask == umask


def test_the_version_is_that_of_the_metadata(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert version().partition(" in ")[0] == spindle.__version__
    (tmp_path / "spindle-9.8.dist-info").mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path / "missing"), str(tmp_path)])
    monkeypatch.setattr(hellos, "__file__", str(tmp_path / "spindle" / "rpc" / "relay" / "hello.py"))
    assert version() == "9.8"
    monkeypatch.setattr(hellos, "__file__", "/src/spindle/rpc/relay/hello.py")
    assert version() == "9.8 in /src/spindle"


def test_an_equal_process_is_accepted_in_any_directory() -> None:
    assert refusal(OURS, OURS) is None
    assert refusal(OURS, evolve(OURS, cwd="/b")) is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"version": "2"}, "it is Spindle 1, and this is Spindle 2"),
        ({"overrides": {"model": "x"}}, "it was started with other values of -c, --enable or --disable (model)"),
        ({"overrides": {}}, "it was started with other values of -c, --enable or --disable (model)"),
        ({"environment": {"PATH": "/x", "NEW": "n"}}, "it was started with other environment variables (KEY, NEW, PATH)"),
        ({"environment": {**OURS.environment, "A\nB": ""}}, "it was started with other environment variables (A\\nB)"),
        ({"limits": {"nofile": [1, 3]}}, "it was started with other resource limits (nofile)"),
        ({"umask": 0}, "it was started with another umask"),
        ({"umask": 0, "limits": {}}, "it was started with other resource limits (nofile); another umask"),
    ],
)
def test_a_difference_is_refused_by_name(changes: dict[str, Any], reason: str) -> None:
    assert refusal(OURS, evolve(OURS, **changes)) == reason


def test_many_names_are_cut() -> None:
    many = {f"NAME_{n:04}": "x" for n in range(1000)} | {"X" * 1_000_000: "x"}
    reason = refusal(evolve(OURS, environment={}), evolve(OURS, environment=many))
    assert reason is not None
    assert reason.endswith("NAME_0019 and 981 more)")


@pytest.mark.parametrize(
    "line",
    [
        "",
        "GET / HTTP/1.1",
        "[" * 100_000,
        "[]",
        said(form=2),
        *(said(**{member: None}) for member in ("version", "cwd", "overrides", "environment", "limits", "umask")),
        said(cwd="relative"),
        said(cwd="/\0"),
        said(cwd="/\udcff"),
        said(environment={"A": 1}),
        said(umask="022"),
    ],
)
def test_what_is_no_hello_is_refused(line: str) -> None:
    with pytest.raises(UnreadableHello):
        read_hello(line)


def test_each_variable_that_may_differ_is_documented() -> None:
    page = (Path(__file__).parents[3] / "docs/daemon-sharing.md").read_text(encoding="utf-8")
    missing = [name for name in (*HARMLESS, *(f"{prefix}*" for prefix in HARMLESS_PREFIXES)) if f"`{name}`" not in page]
    assert missing == []


async def test_a_hello_in_pieces_is_read_and_answered() -> None:
    here, there = memory_stream_pair()
    line = said().encode() + b"\n"
    read: list[Hello | None] = []

    async def receive() -> None:
        read.append(await receive_hello(here))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(receive)
        await there.send_all(line[:100])
        await wait_all_tasks_blocked()
        await there.send_all(line[100:])
    assert read == [read_hello(line)]
    assert await answer_hello(here, accepted=True)
    assert await there.receive_some() == b'{"accepted": true}\n'


@pytest.mark.parametrize("rest", [b'{"id":1}\n', b"x"])
async def test_nothing_may_follow_before_the_answer(rest: bytes) -> None:
    here, there = memory_stream_pair()
    await there.send_all(said().encode() + b"\n" + rest)
    with pytest.raises(UnreadableHello):
        await receive_hello(here)


async def test_a_hello_is_bounded_in_bytes_and_time(monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock) -> None:
    here, there = memory_stream_pair()
    start = trio.current_time()
    await there.send_all(b"{")
    assert await receive_hello(here) is None
    assert trio.current_time() - start == pytest.approx(HELLO_SECONDS)
    await there.aclose()
    assert await receive_hello(here) is None
    here, there = memory_stream_pair()
    monkeypatch.setattr("spindle.rpc.relay.opening.LONGEST", 1000)
    await there.send_all(b" " * 1001)
    with pytest.raises(UnreadableHello, match="more than 1000 bytes"):
        await receive_hello(here)
