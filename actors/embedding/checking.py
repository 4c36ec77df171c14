"""Checks of what a program gives to a runtime and its threads, besides the options that are the protocol's."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import trio

from spindle.actors.embedding.failures import InvalidOption

T = TypeVar("T")


def check_text(option: str, value: object) -> None:
    """Raise InvalidOption unless `value` is a text."""
    if not isinstance(value, str):
        raise InvalidOption(option, f"must be a text, not {value!r}")


def check_mapping(option: str, value: object) -> None:
    """Raise InvalidOption unless `value` is a mapping."""
    if not isinstance(value, Mapping):
        raise InvalidOption(option, f"must be a mapping, not {value!r}")


def check_path(option: str, value: object) -> None:
    """Raise InvalidOption unless `value` is a path, or None."""
    if value is not None and not isinstance(value, str | os.PathLike):
        raise InvalidOption(option, f"must be a path, not {value!r}")


def check_model(model: object) -> None:
    """Raise InvalidOption unless it is a model, or None."""
    if isinstance(model, str):
        raise InvalidOption("model", f"must be a spindle.Model; the name `{model}` is the `model` of start_thread")
    if missing := [name for name in ("stream", "aclose") if model is not None and not hasattr(model, name)]:
        raise InvalidOption("model", f"must be a spindle.Model, and {model!r} has no {' and no '.join(missing)}")


def check_instrument(instrument: object) -> None:
    """Raise InvalidOption unless it is an instrument."""
    from spindle.actors.services.instruments import Instrument

    if not isinstance(instrument, Instrument):
        raise InvalidOption("instruments", f"must be instances of spindle.Instrument, not {instrument!r}")


def check_callback(on_question: T) -> T:
    """The callback, or None. Raises InvalidOption for what cannot be called."""
    if on_question is not None and not callable(on_question):
        raise InvalidOption("on_question", f"must be an async function, not {on_question!r}")
    return on_question


def check_count(option: str, value: object, most: int) -> None:
    """Raise InvalidOption unless `value` is a whole number between 1 and `most`, or None."""
    if value is not None and not (isinstance(value, int) and 1 <= value <= most):
        raise InvalidOption(option, f"must be a number between 1 and {most}, not {value!r}")


async def check_folder(cwd: str | os.PathLike[str] | None, base: str) -> None:
    """Raise InvalidOption unless `cwd`, relative to `base`, is a folder, or None."""
    if cwd is not None and not await trio.to_thread.run_sync(
        os.path.isdir, os.path.join(base, cwd), abandon_on_cancel=True
    ):
        raise InvalidOption("cwd", f"`{os.fspath(cwd)}` is not a folder")


def listed(option: str, value: Any) -> Sequence[Any]:
    """The elements of a list. Raises InvalidOption for anything else, a text too."""
    if isinstance(value, str | bytes | Mapping) or not hasattr(value, "__iter__"):
        raise InvalidOption(option, f"must be a list, not {value!r}")
    return [*value]


def pairs(config: Any) -> list[tuple[str, Any]]:
    """Overrides of config.toml, by dotted key. Raises InvalidOption."""
    found: list[tuple[str, Any]] = []
    for one in listed("config", [*config.items()] if isinstance(config, Mapping) else config):
        match one:
            case (str() as key, value):
                found.append((key, value))
            case _:
                raise InvalidOption("config", f"must be a mapping of dotted keys, or (key, value) pairs; {one!r} is none")
    return found
