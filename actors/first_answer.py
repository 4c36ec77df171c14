"""The answer to `initialize`, written before the program is imported.

A client writes `initialize` as soon as it has started the process, and waits for the answer. Importing trio, attrs and the
protocol takes several times as long as Python's own start. So the answer comes first, where the request has the usual form.
Everything else is left alone.

Nothing is decided here. The connection gets every byte that was read, handles `initialize` by its own rules, and its transport
omits what was written already. So this module only has to give the same bytes, or none. It uses only modules of the standard
library, and of ours that do the same.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeAlias, TypeVar, cast

from spindle.rpc.protocol.user_agent import PLATFORM_FAMILY, PROTOCOL_VERSION, is_header_value, platform_os, user_agent
from spindle.rpc.protocol.vocabulary import HARMLESS
from spindle.storage.home_path import HomeError, home_path

LONGEST = 8 * 1024
"""Bytes that are read here at most. A usual request has some hundred."""

T = TypeVar("T")
Check: TypeAlias = Callable[[object], bool]


class FirstAnswer:
    """What was read from standard input and written to standard output before there was a connection."""

    def __init__(self, stdin: int = 0, stdout: int = 1) -> None:
        """The descriptors."""
        self._stdin, self._stdout = stdin, stdout
        self.received = b""
        self.sent = b""

    def attempt(self) -> bool:
        """Read what has arrived, and answer it if it is `initialize`. Returns whether there is nothing more to attempt.

        Never waits: neither for the client to write nor for it to read.
        """
        try:
            if os.isatty(self._stdin):
                return True  # its end of input is reported once, and a person types no `initialize` in time
            chunk = _without_waiting(self._stdin, lambda: os.read(self._stdin, LONGEST - len(self.received)))
        except BlockingIOError:
            return False
        except OSError:
            return True  # the transport will report it
        self.received += chunk
        line, newline, _ = self.received.partition(b"\n")
        if chunk and not newline and len(self.received) < LONGEST:
            return False
        answer = _answer(line) if newline else None
        if answer is not None:
            with suppress(OSError):  # the transport will write it, or report the error
                self.sent = answer[: _without_waiting(self._stdout, lambda: os.write(self._stdout, answer))]
        return True


def _without_waiting(descriptor: int, call: Callable[[], T]) -> T:
    """Raises BlockingIOError where it would have to wait. The descriptor's mode is restored: other processes may share it."""
    mode = os.get_blocking(descriptor)
    os.set_blocking(descriptor, False)
    try:
        return call()
    finally:
        os.set_blocking(descriptor, mode)


def _answer(line: bytes) -> bytes | None:
    try:
        home = home_path(os.environ)
    except (HomeError, OSError):
        return None
    # One that does not exist yet may turn out to be impossible to create, and paths in another form are rewritten.
    if not os.path.isdir(home) or home != os.path.normpath(home) or not home.startswith("/") or home.startswith("//"):
        return None
    return answer_to(line, home)


def answer_to(line: bytes, home: str) -> bytes | None:
    """The answer to `initialize` with its newline, as the connection would give it; None for a request of any other form."""
    if b"\\" in line:
        return None  # lone surrogates can only be escaped
    try:
        home.encode()
        request: Any = json.loads(line.decode(), object_pairs_hook=_distinct)
    except (ValueError, RecursionError):
        return None
    if not _is_request(request):
        return None
    client = request["params"]["clientInfo"]
    result = {
        "userAgent": user_agent(client["name"], client["version"]),
        "codexHome": home,
        "platformFamily": PLATFORM_FAMILY,
        "platformOs": platform_os(),
        "serverInfo": {"name": client["name"], "version": PROTOCOL_VERSION},
    }
    return (
        json.dumps({"id": request["id"], "result": result}, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
    )


def _distinct(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member comes twice")  # the first one may be a value that is not valid
    return members


def _fits(value: object, required: Mapping[str, Check], optional: Mapping[str, Check]) -> bool:
    if not isinstance(value, dict):
        return False
    members = cast("dict[str, object]", value)
    known = {**required, **optional}
    return required.keys() <= members.keys() <= known.keys() and all(known[key](members[key]) for key in members)


def _is_request(value: object) -> bool:
    return _fits(value, {"id": _is_id, "method": _is_initialize, "params": _is_params}, {"jsonrpc": _is_text})


def _is_initialize(value: object) -> bool:
    return value == "initialize"


def _is_params(value: object) -> bool:
    return _fits(value, {"clientInfo": _is_client}, {"capabilities": _is_capabilities})


def _is_client(value: object) -> bool:
    return _fits(value, {"name": _is_name, "version": _is_text}, {"title": _is_text_or_null})


def _is_capabilities(value: object) -> bool:
    return value is None or _fits(value, {}, _CAPABILITIES)


def _is_id(value: object) -> bool:
    return isinstance(value, str) or (type(value) is int and -(2**63) <= value < 2**63)


def _is_name(value: object) -> bool:
    return isinstance(value, str) and is_header_value(value)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_text_or_null(value: object) -> bool:
    return value is None or isinstance(value, str)


def _is_flag_or_null(value: object) -> bool:
    return value is None or isinstance(value, bool)


def _is_texts_or_null(value: object) -> bool:
    return value is None or (isinstance(value, list) and all(map(_is_text, cast("list[object]", value))))


_CAPABILITIES: Mapping[str, Check] = {
    "experimentalApi": _is_flag_or_null,
    "optOutNotificationMethods": _is_texts_or_null,
    **dict.fromkeys(HARMLESS["InitializeCapabilities"], _is_flag_or_null),
}
