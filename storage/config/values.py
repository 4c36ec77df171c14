"""Configured values: what an error message calls them, and their hashes."""

import hashlib

import orjson


def hash_of(value: object) -> str:
    """A hash of the content, as Codex makes it: the order of keys does not change it."""
    return f"sha256:{hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()}"


def describe(value: object) -> str:
    """A value as an error message names it."""
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
