"""Server-sent events, bytes in and `data` payloads out.

Written here rather than taken from httpx-sse because that one decodes every line to `str` and makes an object per
event, which costs more than parsing the JSON inside; payloads stay bytes until orjson sees them. The format is the
WHATWG HTML standard's "event stream"; of its fields only `data` is of use to a model's answer.
"""

from typing import Final

EVENT_BYTES: Final = 64 << 20
"""Bytes of an event at most."""
_BOM = b"\xef\xbb\xbf"


class EventTooLong(Exception):
    """An event is longer than the reader allows; `str()` says so."""


class EventSplitter:
    """Cuts a byte stream into events. Sans-IO: feed it what arrives, in pieces of any size.

    `most` bounds the bytes of an event; `feed` and `take` raise EventTooLong for a longer one, whether it ends or not.
    """

    def __init__(self, most: int = EVENT_BYTES) -> None:
        self._most = most
        self._buffer = bytearray()
        self._started = False
        self._skip_newline = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """The payloads that `chunk` completes; several `data` lines of one event are joined by newlines."""
        return payloads(self.take(chunk))

    def take(self, chunk: bytes) -> bytes:
        """The whole events that `chunk` completes, as they came; `payloads` are what is in them."""
        if b"\r" in chunk or self._skip_newline:
            chunk = self._normalised(chunk)
        buffer = self._buffer
        searched = max(len(buffer) - 1, 0)
        buffer += chunk
        if not self._started:
            if len(buffer) < len(_BOM) and _BOM.startswith(buffer):
                return b""
            if buffer.startswith(_BOM):
                del buffer[: len(_BOM)]
            self._started = True
        end = buffer.rfind(b"\n\n", searched)
        if end < 0:
            if len(buffer) > self._most:
                buffer.clear()
                raise EventTooLong(f"an event is longer than {self._most} bytes")
            return b""
        with memoryview(buffer) as view:
            whole = bytes(view[:end])
        del buffer[: end + 2]
        return whole

    def finish(self) -> list[bytes]:
        """The payloads left when the stream ends. Providers that omit the last blank line are forgiven."""
        return payloads(self.rest())

    def rest(self) -> bytes:
        """The same, as they came."""
        whole = bytes(self._buffer)
        self._buffer.clear()
        return whole

    def _normalised(self, chunk: bytes) -> bytes:
        if self._skip_newline and chunk.startswith(b"\n"):
            chunk = chunk[1:]
            self._skip_newline = False
        if chunk:
            # A lone CR ends a line too; should LF follow in the next chunk, it belongs to this line end.
            self._skip_newline = chunk.endswith(b"\r")
        return chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def payloads(events: bytes) -> list[bytes]:
    """What whole events say."""
    found: list[bytes] = []
    for event in events.split(b"\n\n"):
        name, _, rest = event.partition(b"\n")
        if rest.startswith(b"data: ") and b"\n" not in rest and not name.startswith(b"data"):
            found.append(rest[6:])  # what every provider sends: one `event` line, one `data` line
            continue
        lines = [line[5:] for line in event.split(b"\n") if line.startswith(b"data:")]
        data = [line.removeprefix(b" ") for line in lines]
        if data:
            found.append(b"\n".join(data))
    return found
