"""What a recording leaves out: secrets, and what differs from one machine or run to another."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, cast

from attrs import frozen

HIDDEN: Final = "***"
_SHORTEST_SECRET: Final = 8
_SECRET_NAMES: Final = re.compile(r"key|token|secret|passw|credential|auth|cookie", re.IGNORECASE)
_SECRET_MEMBERS: Final = re.compile(
    r"(proxy-)?authorization|(set-)?cookie|(x-)?api[-_]?key|.*(access|refresh|id)[-_]?token|.*secret|passw(or)?d",
    re.IGNORECASE,
)
_SECRETS: Final = tuple(
    re.compile(pattern)
    for pattern in (
        r"(?i)(?<=\bbearer )\s*[\w.~+/=-]{8,}",
        r"(?i)(?<=\bbasic )\s*[\w+/=]{12,}",
        r"\b(?:sk|pk|rk)-[\w-]{8,}",
        r"\bgh[pousr]_\w{20,}|\bgithub_pat_\w{20,}|\bxox[abprs]-[\w-]{10,}|\bAKIA[0-9A-Z]{16}\b",
        r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*",
        r"""(?i)(?<=api[-_]key["':= ])[\s"':=]*[\w.-]{8,}""",
    )
)
_MOMENTS: Final = tuple(
    (re.compile(pattern), name)
    for pattern, name in (
        (r"(?s)(?<=<shell>).*?(?=</shell>)", ""),
        (r"(?s)(?<=<timezone>).*?(?=</timezone>)", ""),
        (r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?", "<time>"),
        (r"\b\d{4}-\d\d-\d\d\b", "<date>"),
        (r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "<id>"),
        (r"(?<=Chunk ID: )\w+", "<id>"),
        (r"(?<=Wall time: )[\d.]+", "<seconds>"),
    )
)


@frozen
class Places:
    """Names for the folders of this machine, the deepest first: (path, name)."""

    names: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, texts: Iterable[str]) -> Places:
        """Those of a request: its working directories, the user's homes, pytest's folder for temporary files."""
        found = {cwd: "<cwd>" for text in texts for cwd in re.findall(r"(?s)<cwd>(.*?)</cwd>", text)}
        base = re.escape(os.path.realpath(tempfile.gettempdir()))
        for path in tuple(found):
            if shared := re.match(rf"{base}/pytest-of-[^/]+/pytest-\d+", os.path.realpath(path)):
                found.setdefault(shared[0], "<tmp>")
        for variable, name in (("CODEX_HOME", "<codex-home>"), ("HOME", "<home>")):
            if value := os.environ.get(variable):
                found.setdefault(value, name)
        found.setdefault(str(Path.home()), "<home>")
        named = {spelling: name for path, name in found.items() for spelling in (path, os.path.realpath(path)) if len(path) > 1}
        return cls(tuple(sorted(named.items(), key=lambda place: -len(place[0]))))

    def hide(self, text: str) -> str:
        """`text` with the names in place of the folders."""
        for path, name in self.names:
            text = text.replace(path, name)
        return re.sub(r"/(?:home|Users)/[\w.-]+", "<home>", text)

    def show(self, text: str) -> str:
        """`text` with the folders in place of the names."""
        for path, name in self.names:
            text = text.replace(name, path)
        return text


def scrub(value: Any, environ: Mapping[str, str]) -> Any:
    """JSON without secrets: what looks like a key, what a header or a member of such a name holds, and the values of
    `environ` whose names say that they are secret.
    """
    known = sorted(
        (secret for name, secret in environ.items() if _SECRET_NAMES.search(name) and len(secret) >= _SHORTEST_SECRET),
        key=len,
        reverse=True,
    )

    def hide(text: str) -> str:
        for secret in known:
            text = text.replace(secret, HIDDEN)
        for pattern in _SECRETS:
            text = pattern.sub(HIDDEN, text)
        return text

    return mapped(value, hide, _SECRET_MEMBERS)


def settle(text: str) -> str:
    """`text` without dates, ids, durations, and the machine's shell and time zone."""
    for pattern, name in _MOMENTS:
        text = pattern.sub(name, text)
    return text


def mapped(value: Any, change: Callable[[str], str], hidden: re.Pattern[str] | None = None) -> Any:
    """JSON with each of its texts changed. The texts of members with a name that `hidden` matches are hidden."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        members = cast("Mapping[str, Any]", value)
        return {
            name: HIDDEN if hidden and isinstance(member, str) and hidden.fullmatch(name) else mapped(member, change, hidden)
            for name, member in members.items()
        }
    if isinstance(value, list | tuple):
        return [mapped(member, change, hidden) for member in cast("list[Any]", value)]
    return value
