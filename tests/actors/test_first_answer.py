"""The early answer to `initialize`: it is the connection's answer, byte for byte, and it never waits."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import memory_stream_one_way_pair

from spindle.actors.clients.connection import Connection
from spindle.actors.first_answer import LONGEST, FirstAnswer, answer_to
from spindle.actors.runtime import open_backend
from spindle.rpc.protocol.vocabulary import HARMLESS
from spindle.rpc.transports.lines import LineTransport

CLIENT = {"name": "codex_vscode", "title": "Codex VS Code Extension", "version": "0.1.0"}


def request(*, id: object = 1, method: object = "initialize", client: object = CLIENT, **others: Any) -> dict[str, Any]:
    return {"method": method, "id": id, "params": {"clientInfo": client, **others}}


def line_of(message: object) -> bytes:
    return json.dumps(message, ensure_ascii=False).encode("utf-8", "surrogatepass")


USUAL = {
    "a client with a title": request(),
    "a client without a title": request(client={"name": "n", "version": "1"}),
    "an empty title": request(client={**CLIENT, "title": None}),
    "an id that is a text": request(id="ü"),
    "the lowest id": request(id=-(2**63)),
    "the highest id": request(id=2**63 - 1),
    "JSON-RPC 2.0": {"jsonrpc": "2.0", **request()},
    "other scripts": request(client={"name": "clïent", "version": "\u2028\x7f😀", "title": "日本"}),
    "no capabilities": request(capabilities=None),
    "empty capabilities": request(capabilities={}),
    "the experimental interface": request(capabilities={"experimentalApi": True}),
    "notifications that are not wanted": request(
        capabilities={"experimentalApi": False, "optOutNotificationMethods": ["thread/started", "unknown"]}
    ),
    "all other capabilities": request(
        capabilities=dict.fromkeys(HARMLESS["InitializeCapabilities"], False) | {"optOutNotificationMethods": None}
    ),
}


async def ordinary(line: bytes, home: Path) -> bytes:
    """The first line that the connection writes, with its newline; b"" if there is none."""
    feed, receiving = memory_stream_one_way_pair()
    sending, sink = memory_stream_one_way_pair()
    await feed.send_all(line + b"\n")
    await feed.aclose()
    async with open_backend(home=home) as backend, trio.open_nursery() as nursery:
        await Connection(backend, LineTransport(receiving, sending)).run(lambda _: None)
        nursery.cancel_scope.cancel()
    await sending.aclose()
    written = b"".join([bytes(piece) async for piece in sink])
    first, newline, _ = written.partition(b"\n")
    return first + newline


@pytest.mark.parametrize("message", USUAL.values(), ids=USUAL)
async def test_usual_requests_get_the_answer_of_the_connection(message: object, tmp_path: Path) -> None:
    line = line_of(message)
    assert b"userAgent" in (early := answer_to(line, str(tmp_path)) or b"")
    assert early == await ordinary(line, tmp_path)


@pytest.mark.parametrize("name", ["ünï", 'a "quoted" \\ name', "\x01\x1f\x7f\n\t"])
async def test_homes_with_unusual_names(name: str, tmp_path: Path) -> None:
    home = tmp_path / name
    line = line_of(request())
    assert answer_to(line, str(home)) == await ordinary(line, home)


UNUSUAL: st.SearchStrategy[Any] = st.sampled_from(
    [
        *(None, True, 0, -0.0, 2**63, -(2**63) - 1, 2**64, 1e400, "", "\x00", "\ud800", "\n", "\u00fc", [], [1], ["a"]),
        *({}, [[]], {"a": 1}, {"name": "n", "version": "1"}, {"experimentalApi": None}),
    ]
)


@st.composite
def lines(draw: st.DrawFn) -> bytes:
    """A usual request, some of whose members have other values or names, are missing or doubled; then perhaps damaged."""
    message = json.loads(line_of(draw(st.sampled_from(list(USUAL.values())))))
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.sampled_from([message, message.get("params"), *_objects(message)]))
        if not isinstance(at, dict):
            continue
        key = draw(st.sampled_from([*at, "extra", "trace", "title", "capabilities", "experimentalApi"]))
        if draw(st.booleans()):
            at[key] = draw(UNUSUAL)
        else:
            at.pop(key, None)
    text = json.dumps(message, ensure_ascii=draw(st.booleans()), indent=None)
    if draw(st.booleans()):
        mark = draw(st.integers(0, len(text)))
        text = (
            text[:mark]
            + draw(
                st.sampled_from(['"id":NaN,', '"id":2,', " ", "\t", "\x0b", "\ufeff", "\x00", "{", "}", '"', "-", "0"])
            )
            + text[mark:]
        )
    return text.encode("utf-8", "surrogatepass").replace(b"\n", b" ")


def _objects(message: dict[str, Any]) -> Iterator[Any]:
    params = message.get("params")
    if isinstance(params, dict):
        yield params.get("clientInfo")
        yield params.get("capabilities")


@given(lines())
@settings(max_examples=150, deadline=None)
def test_any_request_gets_the_answer_of_the_connection_or_none(line: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        early = answer_to(line, os.path.realpath(folder))
        if early is not None:
            assert early == trio.run(ordinary, line, Path(folder).resolve())


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"[]",
        b"{}",
        b"\xff",
        b'{"id":1,"method":"initialize"',
        b"[" * 5000,
        line_of(request(method="thread/start")),
        line_of(request(id=True)),
        line_of(request(id=1.0)),
        line_of(request(id=2**63)),
        line_of(request(client={"name": "n"})),
        line_of(request(client={"name": "a\nb", "version": "1"})),
        line_of(request(client={"name": "\x81\ud800", "version": "1"})),
        line_of(request(client={"name": "", "version": "1"})),
        line_of(request(capabilities={"experimentalApi": 1})),
        line_of(request(capabilities={"unknown": [[]]})),
        line_of(request(capabilities={"optOutNotificationMethods": [1]})),
        json.dumps(request(client={**CLIENT, "title": "\ud800"})).encode(),
        json.dumps(request(client={**CLIENT, "version": "\ud800"})).encode(),
        line_of(request())[:-1] + b',"id":NaN}',
        b'{"id":NaN,' + line_of(request())[1:],
        b"\xef\xbb\xbf" + line_of(request()),
    ],
)
def test_other_requests_are_left_to_the_connection(line: bytes, tmp_path: Path) -> None:
    assert answer_to(line, str(tmp_path)) is None


def test_a_home_that_cannot_be_named_is_left_to_the_connection() -> None:
    assert answer_to(line_of(request()), "/home/\udcff") is None


class Ends:
    """Standard input and output as pipes."""

    def __init__(self) -> None:
        self.stdin, self.client = os.pipe()
        self.reader, self.stdout = os.pipe()
        self.first = FirstAnswer(self.stdin, self.stdout)

    def attempt(self, written: bytes = b"") -> bool:
        os.write(self.client, written)
        return self.first.attempt()

    def read(self) -> bytes:
        os.set_blocking(self.reader, False)
        try:
            return os.read(self.reader, 1 << 20)
        except BlockingIOError:
            return b""


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Ends]:
    monkeypatch.setenv("CODEX_HOME", str(tmp_path))
    ends = Ends()
    yield ends
    for descriptor in (ends.stdin, ends.client, ends.reader, ends.stdout):
        with contextlib.suppress(OSError):
            os.close(descriptor)


LINE = line_of(request()) + b"\n"


def test_what_was_read_and_written_is_known(ends: Ends, tmp_path: Path) -> None:
    assert ends.attempt(LINE + b'{"method":"initialized"}\n{"id":2')
    assert ends.first.received == LINE + b'{"method":"initialized"}\n{"id":2'
    assert ends.read() == ends.first.sent == answer_to(LINE, os.path.realpath(tmp_path))


def test_a_client_that_has_not_written_yet_is_not_waited_for(ends: Ends) -> None:
    assert not ends.attempt()
    assert not ends.attempt(LINE[:20])
    assert not ends.attempt()
    assert not ends.attempt(LINE[20:-1])
    assert ends.read() == b""
    assert ends.attempt(b"\n")
    assert ends.first.received == LINE
    assert ends.read() == ends.first.sent != b""


def test_only_the_first_line_is_looked_at(ends: Ends) -> None:
    assert ends.attempt(b"\n" + LINE)
    assert (ends.first.received, ends.first.sent, ends.read()) == (b"\n" + LINE, b"", b"")


def test_a_long_line_is_left_to_the_connection(ends: Ends) -> None:
    assert ends.attempt(b" " * LONGEST + LINE)
    assert (ends.first.received, ends.first.sent) == (b" " * LONGEST, b"")
    assert os.read(ends.stdin, 1000) == LINE


def test_the_end_of_the_input_ends_the_attempts(ends: Ends) -> None:
    os.close(ends.client)
    assert ends.first.attempt()
    assert (ends.first.received, ends.first.sent) == (b"", b"")


@pytest.mark.parametrize("room", [0, 4096])
def test_what_standard_output_does_not_take_is_left_to_the_transport(ends: Ends, room: int) -> None:
    os.set_blocking(ends.stdout, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(ends.stdout, b"x" * 4096)
    os.set_blocking(ends.stdout, True)
    if room:
        os.read(ends.reader, room)
    name = "n" * 1900  # three times in the answer, which makes it longer than what a pipe takes as a whole
    assert ends.attempt(line_of(request(client={"name": name, "version": "1"})) + b"\n")
    assert len(ends.first.sent) <= room
    assert ends.read().lstrip(b"x") == ends.first.sent


def test_a_client_that_reads_no_more_gets_no_answer(ends: Ends) -> None:
    os.close(ends.reader)
    assert ends.attempt(LINE)
    assert (ends.first.received, ends.first.sent) == (LINE, b"")


@pytest.mark.parametrize("closed", ["stdin", "stdout"])
def test_a_closed_descriptor_is_left_to_the_transport(ends: Ends, closed: str) -> None:
    os.write(ends.client, LINE)
    os.close(getattr(ends, closed))
    assert ends.first.attempt()
    assert ends.first.sent == b""


@pytest.mark.parametrize("blocking", [True, False])
def test_the_mode_of_the_descriptors_is_restored(ends: Ends, blocking: bool) -> None:
    for descriptor in (ends.stdin, ends.stdout):
        os.set_blocking(descriptor, blocking)
    assert not ends.attempt()
    assert ends.attempt(LINE)
    assert ends.first.sent
    assert [os.get_blocking(descriptor) for descriptor in (ends.stdin, ends.stdout)] == [blocking, blocking]


def test_a_terminal_is_left_to_the_transport(ends: Ends) -> None:
    """Its end of input is reported only once."""
    keyboard, terminal = os.openpty()
    try:
        os.write(keyboard, LINE)
        first = FirstAnswer(terminal, ends.stdout)
        assert first.attempt()
        assert (first.received, first.sent) == (b"", b"")
    finally:
        os.close(keyboard)
        os.close(terminal)


@pytest.mark.parametrize("home", ["missing", "file", "link/..", ""])
def test_a_home_that_may_turn_out_to_be_unusable_is_left_to_the_runtime(
    ends: Ends, home: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    if home == "link/..":
        (tmp_path / "real" / "below").mkdir(parents=True)
        (tmp_path / "real" / ".codex").mkdir()
        (tmp_path / "link").symlink_to("real/below")
        monkeypatch.delenv("CODEX_HOME")
        monkeypatch.setenv("HOME", str(tmp_path / home))
    else:
        monkeypatch.setenv("CODEX_HOME", home)
        monkeypatch.setenv("HOME", "relative")
        (tmp_path / "relative" / ".codex").mkdir(parents=True)
    assert ends.attempt(LINE)
    assert (ends.first.received, ends.first.sent) == (LINE, b"")
