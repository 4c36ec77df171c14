"""Read server-sent events: bytes in, `data` payloads out.

httpx-sse is not used: it decodes each line to `str` and makes an object per event, which costs more than parsing the
JSON. Here payloads stay bytes until orjson reads them. The format is the "event stream" of the WHATWG HTML standard;
only the field `data` is needed.
"""

from typing import Final

EVENT_BYTES: Final = 64 << 20
"""The most bytes of an event."""
_BOM = b"\xef\xbb\xbf"


class EventTooLong(Exception):
    """An event is longer than the bound; `str()` names the bound."""


class EventSplitter:
    """Splits a byte stream into events. Sans-IO: feed it chunks of any size.

    `most` bounds the bytes of an event. `feed` and `take` raise EventTooLong for a longer one, also before its end.
    """

    def __init__(self, most: int = EVENT_BYTES) -> None:
        self._most = most
        self._buffer = bytearray()
        self._started = False
        self._skip_newline = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """The payloads of the events that `chunk` completes. Several `data` lines of one event are joined by newlines."""
        return payloads(self.take(chunk))

    def take(self, chunk: bytes) -> bytes:
        """The events that `chunk` completes, undecoded; `payloads` decodes them."""
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
        """The payloads left at the end of the stream, for providers that omit the last blank line."""
        return payloads(self.rest())

    def rest(self) -> bytes:
        """The same, undecoded."""
        whole = bytes(self._buffer)
        self._buffer.clear()
        return whole

    def _normalised(self, chunk: bytes) -> bytes:
        if self._skip_newline and chunk.startswith(b"\n"):
            chunk = chunk[1:]
            self._skip_newline = False
        if chunk:
            # A lone CR also ends a line; an LF at the start of the next chunk belongs to it.
            self._skip_newline = chunk.endswith(b"\r")
        return chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def payloads(events: bytes) -> list[bytes]:
    """The payloads of complete events."""
    found: list[bytes] = []
    for event in events.split(b"\n\n"):
        name, _, rest = event.partition(b"\n")
        if rest.startswith(b"data: ") and b"\n" not in rest and not name.startswith(b"data"):
            found.append(rest[6:])  # the usual form: one `event` line, one `data` line
            continue
        lines = [line[5:] for line in event.split(b"\n") if line.startswith(b"data:")]
        data = [line.removeprefix(b" ") for line in lines]
        if data:
            found.append(b"\n".join(data))
    return found
