"""`key=value` overrides of the configuration, and TOML data as JSON data.

A server parses its overrides before it answers `initialize`. So only what a value needs is imported.
"""

import tomllib
from datetime import date, time
from typing import cast


def plain(value: object) -> object:
    """TOML data as JSON data, with dates and times as ISO strings."""
    if isinstance(value, dict):
        return {key: plain(member) for key, member in cast("dict[str, object]", value).items()}
    if isinstance(value, list):
        return [plain(member) for member in cast("list[object]", value)]
    return value.isoformat() if isinstance(value, (date, time)) else value


def parse_override(text: str) -> tuple[str, object]:
    """Split `dotted.key=value`; a value that is not TOML is a string.

    Raises ValueError without `=` or key, and for an impossible value.
    """
    key, separator, value = text.partition("=")
    key, value = key.strip(), value.strip()
    if not separator or not key:
        raise ValueError(f"invalid override {text!r}: expected key=value")
    parsed: object
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
        parsed = value[1:-1] if quoted else value
    except RecursionError:
        from spindle.rpc.protocol.values import TOO_DEEP, clean

        raise ValueError(f"invalid override {clean(key)}: {TOO_DEEP}") from None
    if key.isascii() and (isinstance(parsed, bool) or (isinstance(parsed, str) and parsed.isascii())):
        return key, parsed  # the usual ones, which have no fault
    from spindle.rpc.protocol.values import clean, fault

    if (wrong := fault([key, parsed])) is not None:
        raise ValueError(f"invalid override {clean(key)}: {wrong.reason}")
    return key, plain(parsed)
