"""Whether the shared daemon is to a relay's client what a daemon of its own would be.

What cannot be given to each client must be equal. A difference is named, and no value is: variables and overrides hold secrets.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeGuard, cast

from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.values import is_clean, one_line

from .hello import FORM

_MOST_NAMES: Final = 20
_LONGEST_NAME: Final = 100


class UnreadableHello(ValueError):
    """What a peer has sent is no hello of this form; `str()` says why."""


@frozen
class Hello:
    """See `hello.hello`. `cwd` is the client's; all else is compared."""

    version: str
    cwd: str
    overrides: Mapping[str, str]
    environment: Mapping[str, str]
    limits: Mapping[str, Sequence[int]]
    umask: int


def read_hello(data: bytes | bytearray | str) -> Hello:
    """The hello in a line. Raises UnreadableHello."""
    try:
        given: object = json.loads(data)
    except (ValueError, RecursionError):
        raise UnreadableHello("not a hello") from None
    if not _is_table(given):
        raise UnreadableHello("not a hello")
    if given.get("form") != FORM:
        raise UnreadableHello(f"the form of the hello is not {FORM}: that is another version of Spindle")
    version, cwd, umask = given.get("version"), given.get("cwd"), given.get("umask")
    overrides, environment, limits = given.get("overrides"), given.get("environment"), given.get("limits")
    if not isinstance(version, str) or not isinstance(umask, int):
        raise UnreadableHello("no version or no umask")
    if not isinstance(cwd, str) or not cwd.startswith("/") or "\0" in cwd or not is_clean(cwd):
        raise UnreadableHello("no working directory, or one that is not valid UTF-8")
    if not _are_texts(overrides) or not _are_texts(environment) or not _is_table(limits):
        raise UnreadableHello("no overrides, environment or limits")
    return Hello(version, cwd, overrides, environment, limits, umask)


def refusal(ours: Hello, theirs: Hello) -> str | None:
    """Why the relay's client is not served, with the names of all that differs; None if nothing does."""
    if ours.version != theirs.version:
        return f"it is Spindle {_shown(ours.version)}, and this is Spindle {_shown(theirs.version)}"
    found = list(_differences(ours, theirs))
    return f"it was started with {'; '.join(found)}" if found else None


def _differences(ours: Hello, theirs: Hello) -> Iterator[str]:
    tables: tuple[tuple[str, Mapping[str, object], Mapping[str, object]], ...] = (
        ("other values of -c, --enable or --disable", ours.overrides, theirs.overrides),
        ("other environment variables", ours.environment, theirs.environment),
        ("other resource limits", ours.limits, theirs.limits),
    )
    for what, mine, other in tables:
        names = sorted(name for name in mine.keys() | other.keys() if mine.get(name) != other.get(name))
        if names:
            more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
            yield f"{what} ({', '.join(map(_shown, names[:_MOST_NAMES]))}{more})"
    if ours.umask != theirs.umask:
        yield "another umask"


def _shown(name: str) -> str:
    return one_line(name, _LONGEST_NAME)


def _is_table(value: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


def _are_texts(value: object) -> TypeGuard[dict[str, str]]:
    return isinstance(value, dict) and all(isinstance(text, str) for text in cast("dict[str, object]", value).values())
