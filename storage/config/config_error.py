"""The error of an invalid configuration, and the words of its messages."""

from pathlib import Path

from spindle.rpc.protocol.errors import Error


class ConfigError(Error):
    """A configuration is invalid.

    `str()` is a full sentence with the place (`FILE:LINE:COLUMN: …`); `reason` is the sentence without it. `line` and
    `column` count from 1; they are None if the fault is not in a file, or its place is unknown.
    """

    def __init__(
        self, reason: str, path: Path | None = None, line: int | None = None, column: int | None = None
    ) -> None:
        place = "".join(f"{part}:" for part in (path, line, column) if part is not None)
        super().__init__(f"{place} {reason}" if place else reason)
        self.reason = reason
        self.path = path
        self.line = line
        self.column = column


def describe(value: object) -> str:
    """A value as error messages name it."""
    match value:
        case bool():
            return f"boolean `{str(value).lower()}`"
        case int():
            return f"integer `{value}`"
        case float():
            return f"floating point `{value}`"
        case str():
            return f'string "{value}"'
        case list():
            return "sequence"
        case None:
            return "null"
        case _:
            return "map"
