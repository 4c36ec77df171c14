"""Encode and decode one line of a rollout: `{"timestamp", "type", "payload"}`, in newer files with an `ordinal` after
the timestamp.

The format is that of Codex 0.124; Codex 0.169 numbers the lines of "paginated" histories from 0.124 writes; Codex 0.169
numbers the lines of its "paginated" histories from 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from spindle.rpc.lazy_class import frozen
from spindle.rpc.lenient import is_mapping
from spindle.rpc.protocol.values import DEPTH_OF_RECORDS, loads
from spindle.storage.regular import regular


@frozen
class Line:
    """A decoded line. `timestamp` is ISO 8601 in UTC as written ("" if absent), `ordinal` None in unnumbered files."""

    timestamp: str
    type: str
    payload: dict[str, Any]
    ordinal: int | None = None


def stamp(moment: datetime | None = None) -> str:
    """A time (default: now) in the format of rollouts: UTC, milliseconds, `Z`. A naive time counts as UTC."""
    if moment is None:
        moment = datetime.now(UTC)
    elif moment.tzinfo is not None:
        moment = moment.astimezone(UTC)
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def encode_line(type: str, payload: object, timestamp: datetime | None = None, ordinal: int | None = None) -> bytes:
    """Encode one line, with its newline. `payload` is a dict, or an `orjson.Fragment` with encoded JSON.

    Raises TypeError (orjson's) for a payload that is not JSON.
    """
    body: dict[str, object] = {"timestamp": stamp(timestamp)}
    if ordinal is not None:
        body["ordinal"] = ordinal
    body["type"] = type
    body["payload"] = payload
    return orjson.dumps(body, option=orjson.OPT_APPEND_NEWLINE)


def decode_line(data: bytes) -> Line | None:
    """Decode the line in `data`, with or without its newline; None if it is not a whole, valid line."""
    try:
        value: object = loads(data, DEPTH_OF_RECORDS)
    except orjson.JSONDecodeError:
        return None
    if not is_mapping(value):
        return None
    kind, payload, timestamp, ordinal = map(value.get, ("type", "payload", "timestamp", "ordinal"))
    if not isinstance(kind, str) or not is_mapping(payload):
        return None
    return Line(
        timestamp if isinstance(timestamp, str) else "",
        kind,
        payload,
        ordinal if type(ordinal) is int else None,
    )


_OPENING = b'{"timestamp":"'


def repair(data: bytes) -> bytes | None:
    """The valid line in `data`, repaired if that needs no guess; None if there is none.

    A record after half a record (a writer died, the next one appended) is used, NUL bytes (blocks left unwritten by a
    crash) are removed, and invalid UTF-8 becomes U+FFFD.
    """
    if decode_line(data) is not None:
        return data
    data = data.replace(b"\0", b"")
    at = data.rfind(_OPENING)
    for start in (0, at) if at > 0 else (0,):
        for candidate in (data[start:], data[start:].decode("utf-8", "replace").encode()):
            if decode_line(candidate) is not None:
                return candidate
    return None


def salvage(data: bytes) -> Line | None:
    """The line in `data`, repaired if needed; None if it cannot be read."""
    line = decode_line(data)
    if line is not None:
        return line
    repaired = repair(data)
    return None if repaired is None else decode_line(repaired)


def iter_lines(path: Path, start: int = 0) -> Iterator[tuple[int, Line | None]]:
    """The lines of a file from byte `start` on, each with the offset of its first byte.

    A line that cannot be read (garbage, or a torn last line) is None; blank lines are skipped. The longest line bounds
    the memory. Only b"\\n" separates lines: JSON text may contain U+2028.

    Raises OSError.
    """
    with open(path, "rb", buffering=1 << 20, opener=regular) as file:
        file.seek(start)
        offset = start
        for data in file:
            if not data.isspace():
                yield offset, decode_line(data)
            offset += len(data)
