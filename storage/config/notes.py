"""Warnings about a valid configuration: settings without effect."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from spindle.rpc.lazy_class import frozen
from spindle.rpc.lenient import mapping
from spindle.storage.config.keys import SCOPED, Standing, judged, misspelt

if TYPE_CHECKING:
    from spindle.storage.config.layers import Layer
    from spindle.storage.config.project import LeftOut

MOST: Final = 20
"""The most settings of one file that are named; a last note says that there are more."""

Place: TypeAlias = tuple[int, int]
"""Line and column, from 1."""


@frozen(kw_only=True)
class Note:
    """A setting without effect. `path` is its file, None for overrides; `place` is its start, if known."""

    text: str
    path: Path | None = None
    place: Place | None = None

    @property
    def where(self) -> str:
        """The file and the line."""
        if self.path is None:
            return "overrides"
        return f"{self.path}" if self.place is None else f"{self.path}:{self.place[0]}"


def notes(
    table: Mapping[str, Any],
    path: Path | None,
    find: Callable[[tuple[str, ...]], Place | None],
    left_out: Sequence[LeftOut] = (),
) -> Sequence[Note]:
    """The notes of one layer, with those of its ignored settings; `find` gives the place of a key."""
    found = list(islice(chain(((each.keys, each.text) for each in left_out), _texts(table)), MOST + 1))
    shown = [Note(text=text, path=path, place=find(keys)) for keys, text in found[:MOST]]
    if len(found) > MOST:
        shown.append(Note(text="There are more settings that are ignored.", path=path))
    return tuple(shown)


def untrusted(layers: Sequence[Layer]) -> Note | None:
    """The `.codex` folders of a project that have no effect because the user does not trust it; None if there are none."""
    folders = [layer for layer in layers if layer.disabled_reason is not None]
    if not folders:
        return None
    listed = "\n".join(f"  {layer.source['dotCodexFolder']}: {layer.disabled_reason}" for layer in folders)
    return Note(text=f"The settings and hooks in these folders have no effect; skills and AGENTS.md have:\n{listed}")


def summary(notes: Sequence[Note]) -> str:
    """All notes as one text, for a thread's client."""
    return "\n".join(["Some settings have no effect:", *(f"  {note.where}: {note.text}" for note in notes)])


def _texts(table: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], str]]:
    for keys, standing in judged(table):
        if standing is Standing.UNKNOWN:
            yield keys, f"`{'.'.join(keys)}` is not a known setting and is ignored.{misspelt(keys) or ' Check its spelling.'}"
        elif standing is Standing.REFUSED and keys[0] in SCOPED and (hint := misspelt(keys)) is not None:
            yield keys, f"`{'.'.join(keys)}` is not a known setting, so `{'.'.join(keys[:2])}` cannot be used.{hint}"
        elif standing is Standing.UNSERVED:
            yield keys, f"`{'.'.join(keys)}` is not supported and is ignored."
    for key in ("trace_exporter", "metrics_exporter"):
        if mapping(table.get("otel")).get(key) == "statsig":
            yield ("otel", key), f'`otel.{key} = "statsig"` is not supported and is ignored.'
