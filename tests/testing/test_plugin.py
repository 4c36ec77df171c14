"""The plugin in test suites of applications, each run by a pytest of its own."""

import subprocess
import sys
from textwrap import dedent

import pytest

APPLICATION = dedent(
    '''
    import os
    from pathlib import Path

    import pytest
    import trio

    from spindle.testing import FunctionModel, ScriptedModel, call, say


    @pytest.fixture(autouse=True)
    def _impatient(monkeypatch):
        monkeypatch.setattr("spindle.testing.leftovers.PATIENCE", 0.1)


    async def test_passes(runtime, model, home):
        model.script("hello")
        async with runtime.start_thread() as thread:
            assert (await thread.run("hi")).text == "hello"
        assert Path(os.environ["CODEX_HOME"]) == home == runtime.home
        assert Path.home() == home.parent / "user"
        assert "OPENAI_API_KEY" not in os.environ


    @pytest.mark.spindle(model=FunctionModel(lambda request: request.prompt), config={"model": "gpt-5.1"})
    async def test_is_marked(runtime, model):
        async with runtime.start_thread() as thread:
            assert (await thread.run("echo")).text == "echo"
        assert model.requests[0].model == "gpt-5.1"


    class TestWithItsOwnModel:
        @pytest.fixture
        def model(self):
            return ScriptedModel("own")

        async def test_overrides(self, runtime):
            async with runtime.start_thread() as thread:
                assert (await thread.run("hi")).text == "own"


    async def test_runs_on_the_clock(runtime, agent_clock):
        await trio.sleep(3600)


    async def test_does_not_use_up_its_script(runtime, model):
        model.script("one", call("weather", city="Oslo"))
        async with runtime.start_thread() as thread:
            await thread.run("hi")


    async def test_leaves_a_task(runtime, nursery):
        trio.lowlevel.spawn_system_task(trio.sleep_forever, name="left behind")


    async def test_fails_by_itself(runtime, model):
        model.script("never asked for")
        raise ZeroDivisionError
    '''
)
MISSPELT = dedent(
    '''
    import pytest


    @pytest.mark.spindle(modell="x")
    async def test_is_misspelt(runtime): ...


    @pytest.mark.spindle("gpt-5.4")
    async def test_has_no_keyword(runtime): ...
    '''
)
OTHER = dedent(
    '''
    import pytest
    import trio

    pytestmark = []


    def test_uses_nothing_of_it(home):
        assert home.is_dir()


    @pytest.mark.anyio
    async def test_of_another_plugin():
        import anyio

        await anyio.sleep(0)


    @pytest.mark.trio
    async def test_is_marked_by_hand(runtime, model):
        model.script("hello")
        async with runtime.start_thread() as thread:
            assert (await thread.run("hi")).text == "hello"
    '''
)


@pytest.fixture
def suite(tmp_path, monkeypatch):
    """suite(tests, settings) -> the output of pytest on these tests of an application."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-developer")

    def run(tests, *settings):
        (tmp_path / "pytest.ini").write_text("\n".join(["[pytest]", "filterwarnings = error", *settings]))
        (tmp_path / "test_application.py").write_text(tests)
        options = ["-q", "--tb=short", "--color=no", "-p", "no:cacheprovider", "--strict-markers"]
        ended = subprocess.run(
            [sys.executable, "-m", "pytest", *options], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        return ended.stdout + ended.stderr

    return run


def test_an_application_tests_itself_in_trio_mode(suite, monkeypatch):
    said = suite(APPLICATION, "trio_mode = true")
    assert "3 failed, 4 passed" in said
    assert "the script has 1 more answer(s) after request 1:\nE   call('weather', city='Oslo')" in said
    assert "the task 'left behind', started at " in said
    assert "ZeroDivisionError" in said
    assert "never asked for" not in said.replace('model.script("never asked for")', "")


def test_a_misspelt_keyword_of_the_mark_is_named(suite):
    said = suite(MISSPELT, "trio_mode = true")
    assert "the mark spindle takes no modell; its keywords are model, config, options" in said
    assert "the mark spindle takes no 'gpt-5.4'; its keywords are" in said
    assert "passed" not in said


def test_it_is_no_hindrance_to_other_tests(suite):
    said = suite(OTHER)
    assert "failed" not in said
    assert "passed" in said


def test_importing_it_imports_only_pytest():
    heavy = ("trio", "httpx", "cattrs", "orjson", "spindle.actors", "spindle.rpc", "spindle.storage")
    script = f"import sys, spindle.testing.plugin; print([name for name in {heavy} if name in sys.modules])"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ended.stdout == "[]\n"
