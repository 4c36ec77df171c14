"""The pytest plugin: fixtures `home model runtime agent_clock`, and the mark `spindle`.

    @pytest.mark.spindle(model=ScriptedModel(say("hello")), config={"approval_policy": "never"})
    async def test_it_greets(runtime): ...

It needs pytest-trio, in trio mode or with the mark `trio`. Importing it imports only pytest, so it costs nothing where it is
not used.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import pytest

if TYPE_CHECKING:
    from spindle.actors.embedding.runtime import Runtime
    from spindle.rpc.model.interface import Model
    from spindle.testing.clock import AgentClock

F = TypeVar("F", bound=Callable[..., object])

_SECRET_PARTS = ("API_KEY", "ACCESS_TOKEN")
_ARGUMENTS = ("model", "config", "options")
_MODEL = pytest.StashKey[object]()


def pytest_configure(config: pytest.Config) -> None:
    """Register the mark."""
    config.addinivalue_line(
        "markers",
        "spindle(model, config, options): for the fixture `runtime`: its model, overrides of config.toml (a mapping of dotted "
        "keys), further keywords of `open_runtime`.",
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """After a test that has passed, the model of its runtime must be satisfied."""
    result = yield
    if (check := getattr(item.stash.get(_MODEL, None), "assert_done", None)) is not None:
        check()
    return result


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty Codex home, and a user's home beside it. HOME and CODEX_HOME lead there; no key of a provider is set."""
    user, codex = tmp_path / "user", tmp_path / "home"
    user.mkdir()
    codex.mkdir()
    for name in os.environ:
        if name.endswith(_SECRET_PARTS):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(user))
    monkeypatch.setenv("CODEX_HOME", str(codex))
    return codex


@pytest.fixture
def model(request: pytest.FixtureRequest) -> Model:
    """The model of the mark `spindle`, else an empty `ScriptedModel`: `model.script(…)`. Override it to use another."""
    given = _marked(request, "model")
    if given is not None:
        return cast("Model", given)
    from spindle.testing.scripted import ScriptedModel

    return ScriptedModel()


@pytest.fixture
def agent_clock() -> AgentClock:
    """An `AgentClock` for the test."""
    from spindle.testing.clock import AgentClock

    return AgentClock()


def _of_trio(function: F) -> F:
    """What `pytest_trio.trio_fixture` does; to import that would import trio. No other plugin takes the fixture for its own."""
    vars(function)["_force_trio_fixture"] = True
    return function


@pytest.fixture
@_of_trio
def runtime(home: Path, model: Model, request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[Runtime]:
    """A runtime in `home`, with `model`, in an empty working directory.

    When it has closed, nothing may be left (`nothing_left`). If the test has passed, its model must be satisfied
    (`assert_done`).
    """
    request.node.stash[_MODEL] = model
    work = tmp_path / "work"
    work.mkdir()
    overrides: Mapping[str, Any] | Sequence[tuple[str, Any]] = _marked(request, "config") or ()
    config = list(overrides.items()) if isinstance(overrides, Mapping) else list(overrides)
    options: dict[str, Any] = {"home": home, "cwd": work, "model": model, "config": config}
    return _opened(home, options | (_marked(request, "options") or {}))


async def _opened(home: Path, options: dict[str, Any]) -> AsyncGenerator[Runtime]:
    from spindle import open_runtime
    from spindle.testing.leftovers import nothing_left

    async with nothing_left(home=home), open_runtime(**options) as opened:
        yield opened


def _marked(request: pytest.FixtureRequest, name: str) -> Any:
    """An argument of the nearest mark `spindle` that has it."""
    marks = [*request.node.iter_markers("spindle")]
    for mark in marks:
        if wrong := [*map(repr, mark.args), *(key for key in mark.kwargs if key not in _ARGUMENTS)]:
            raise pytest.UsageError(f"the mark spindle takes no {wrong[0]}; its keywords are {', '.join(_ARGUMENTS)}")
    return next((mark.kwargs[name] for mark in marks if name in mark.kwargs), None)
