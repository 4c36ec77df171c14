"""Providers' lists of models: requested in the background, used while old, and never waited for long."""

import json
from types import SimpleNamespace
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from spindle.actors.services.model_lists import AGAIN, FRESH, PATIENCE, ModelLists
from spindle.rpc.model.interface import ModelError
from spindle.storage.config import Config
from spindle.storage.home import Home

BIG = {"slug": "big", "context_window": 50_000, "supports_parallel_tool_calls": True, "priority": 1}
RAW = {"model_providers": {"p": {"name": "P", "base_url": "http://p", "lists_models": True}, "q": {"name": "Q"}}}
CONFIG = Config(raw=RAW, merged=RAW, layers=[], cwd=None, trust=None)


class Lister:
    """A provider. `answers` are lists, None for "as before", errors, and events to wait for before an empty list."""

    def __init__(self, *answers):
        self.answers, self.etags = list(answers), []

    async def list_models(self, client_version, etag):
        self.etags.append(etag)
        await trio.lowlevel.checkpoint()
        answer = self.answers.pop(0)
        if isinstance(answer, trio.Event):
            await answer.wait()
            answer = []
        if isinstance(answer, Exception):
            raise answer
        return None if answer is None else (answer, f"etag {len(self.etags)}")


class Lists(ModelLists):
    """The lists of a runtime that asks `lister`; `time` is what its clock shows."""

    def __init__(self, home, lister, background):
        models: Any = SimpleNamespace(get=lambda provider_id, config: lister)
        super().__init__(home, models, "1", background, lambda: self.time)
        self.time = 1000.0


async def settled(lists):
    """Wait until no request is under way and each answer is written."""
    while any(known.asking is not None for known in lists._known.values()):
        await trio.lowlevel.checkpoint()


@pytest.fixture
async def lists(tmp_path):
    """lists(lister) -> its lists."""
    async with trio.open_nursery() as background:
        yield lambda lister: Lists(Home(tmp_path), lister, background)
        background.cancel_scope.cancel()


async def test_the_first_list_is_waited_for_and_then_fresh_for_some_time(lists):
    lister = Lister([BIG, "odd"], None)
    known = lists(lister)
    assert known.entries("p", CONFIG) == ()
    for wait, etags in ((0, [None]), (FRESH, [None]), (1, [None, "etag 1"]), (FRESH, [None, "etag 1"])):
        known.time += wait
        await known.ready("p", CONFIG)
        assert known.entries("p", CONFIG) == [BIG]
        await settled(known)
        assert lister.etags == etags


async def test_an_old_list_is_used_while_a_new_one_is_asked_for(lists):
    answered = trio.Event()
    lister = Lister([BIG], answered)
    known = lists(lister)
    await known.ready("p", CONFIG)
    await settled(known)
    known.time += FRESH + 1
    for _ in range(2):
        await known.ready("p", CONFIG)
        await wait_all_tasks_blocked()
        assert known.entries("p", CONFIG) == [BIG]
        assert len(lister.etags) == 2  # asked once
    answered.set()
    await settled(known)
    assert known.entries("p", CONFIG) == []


async def test_a_list_is_kept_between_runs(lists):
    first = lists(Lister([BIG]))
    await first.ready("p", CONFIG)
    await settled(first)
    lister = Lister()
    again = lists(lister)
    await again.ready("p", CONFIG)
    assert again.entries("p", CONFIG) == [BIG]
    await settled(again)
    assert lister.etags == []


async def test_a_provider_that_fails_is_not_asked_again_for_some_time(lists):
    lister = Lister(ModelError("away"), [BIG])
    known = lists(lister)
    for _ in range(2):
        await known.ready("p", CONFIG)
        await settled(known)
        assert known.entries("p", CONFIG) == ()
    known.time += AGAIN
    await known.ready("p", CONFIG)
    assert known.entries("p", CONFIG) == [BIG]


async def test_a_turn_does_not_wait_long_for_a_list(lists, mock_clock):
    lister = Lister(trio.Event())
    known = lists(lister)
    over = trio.Event()

    async def wait():
        await known.ready("p", CONFIG)
        over.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        while not lister.etags:  # the disk is read first
            await trio.lowlevel.checkpoint()
        mock_clock.jump(PATIENCE - 0.1)
        await wait_all_tasks_blocked()
        assert not over.is_set()
        mock_clock.jump(0.1)
        await over.wait()


async def test_a_provider_is_asked_only_if_it_lists_models_and_there_is_no_catalogue(lists):
    lister = Lister()
    known = lists(lister)
    given = Config(raw=RAW, merged=RAW, layers=[], cwd=None, trust=None, model_catalog=[{"slug": "a"}])
    for provider, config in (("q", CONFIG), ("p", given), ("missing", CONFIG)):
        await known.ready(provider, config)
        assert known.entries(provider, config) == ()
    await lists(object()).ready("p", CONFIG)
    assert lister.etags == []


async def test_a_turn_uses_its_providers_list(opened, scripted, tmp_path):
    model = scripted(tokens=45_000)
    model.list_models = Lister([BIG]).list_models
    (tmp_path / "home").mkdir()
    provider = '[model_providers.p]\nname = "P"\nbase_url = "http://p"\nlists_models = true\n'
    (tmp_path / "home" / "config.toml").write_text(f'model_provider = "p"\n{provider}')
    async with opened(model) as runtime:
        async with runtime.start_thread(model="big") as thread:
            await thread.run("one")
            await thread.run("two")
        assert [request.raw.parallel_tool_calls for request in model.requests] == [True, True, True]  # one summarises
        await settled(runtime._backend.services.model_lists)
        [kept] = (tmp_path / "home" / "spindle" / "models").iterdir()
        assert json.loads(await trio.Path(kept).read_text())["models"] == [BIG]


async def test_a_turn_that_is_interrupted_while_a_list_is_waited_for_keeps_its_input(opened, scripted, tmp_path):
    model, lister = scripted(), Lister(trio.Event())
    model.list_models = lister.list_models
    (tmp_path / "home").mkdir()
    provider = '[model_providers.p]\nname = "P"\nbase_url = "http://p"\nlists_models = true\n'
    (tmp_path / "home" / "config.toml").write_text(f'model_provider = "p"\n{provider}')
    async with opened(model) as runtime, runtime.start_thread() as thread:
        async with thread.turn("one") as turn:
            while not lister.etags:
                await trio.lowlevel.checkpoint()
            await turn.interrupt()
            methods = [event.METHOD async for event in turn]
        assert turn.result.status == "interrupted"
        assert methods[0] == "turn/started"
        await thread.run("two")
        assert model.conversation() == ["one", "two"]
