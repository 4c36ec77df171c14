"""The web chat, in a browser: what one tab does, all tabs of the thread see."""

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import trio
from tests.examples.chromium import NAMES, browser, program
from tests.examples.loading import loaded

from spindle.testing import ScriptedModel, call, hang, say

EXAMPLE = Path(__file__).resolve().parents[2] / "examples/web_chat/server.py"
needs_browser = pytest.mark.skipif(program() is None, reason=f"no {' or '.join(NAMES)} is installed")


@pytest.fixture
def server() -> Any:
    return loaded(EXAMPLE)


def says(text: str) -> str:
    return f"document.querySelector('main').innerText.includes({text!r})"


def click(button: str) -> str:
    return f"[...document.querySelectorAll('main button')].find(each => each.innerText === {button!r}).click()"


ASKED = "document.querySelectorAll('.question').length"
HERE = "document.querySelector('nav .here')?.innerText"
IDLE = "document.querySelector('#stop').hidden"


@needs_browser
async def test_two_tabs_see_one_thread(server, home, nursery, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where commands run
    more = trio.Event()
    model = ScriptedModel(
        say("Here is ") + hang(more) + say("a haiku."),
        call("exec_command", cmd="mkdir build"),
        say("There is a folder now."),
        call("exec_command", cmd="rm -r build"),
        say("It stays."),
        say("This takes ") + hang(),
    )
    (home / "config.toml").write_text('sandbox_mode = "danger-full-access"\n')
    with trio.fail_after(100):
        address = await nursery.start(server.main, model)
        async with browser(tmp_path / "profile") as chromium:
            first = await chromium.tab(address)
            await first.until("location.hash && document.querySelector('nav a')")
            second = await chromium.tab(address + await first.run("location.hash"))
            # an answer, while it comes
            await first.type("Write a haiku")
            for tab in (first, second):
                await tab.until(says("Here is"))
                assert "haiku." not in await tab.text()
            late = await chromium.tab(address + await first.run("location.hash"))
            await late.until(f"{says('Here is')} && !({IDLE})")
            more.set()
            for tab in (first, second, late):
                await tab.until(f"{says('Here is a haiku.')} && {IDLE}")
                assert (await tab.text()).split() == ["Write", "a", "haiku", "Here", "is", "a", "haiku."]
            # a question, in every tab until one of them answers
            await second.type("Make a folder")
            for tab in (first, second):
                await tab.until(f"{ASKED} === 1")
                assert "The agent asks to run the command `mkdir build`" in await tab.text()
            await late.reload()
            await late.until(f"{ASKED} === 1")
            await first.run(click("Accept"))
            for tab in (first, second, late):
                await tab.until(f"{says('There is a folder now.')} && {ASKED} === 0 && {IDLE}")
                assert "$ /bin/bash -lc 'mkdir build'" in await tab.text()
            await first.type("Remove it")
            await second.until(f"{ASKED} === 1")
            await second.run(click("Decline"))
            await first.until(f"{says('It stays.')} && {ASKED} === 0 && {IDLE}")
            assert (tmp_path / "build").is_dir()
            assert "the user said no" in [*model.requests[-1].tool_outputs.values()][-1]
            assert await late.run(HERE) == await first.run(HERE) == "Write a haiku"
            # what was said is there after a reload, also if no tab was left
            before = await first.text()
            await second.close()
            await late.close()
            await first.reload()
            await first.until(says("It stays."))
            assert await first.text() == before
            # a turn is interrupted from another tab
            second = await chromium.tab(address + await first.run("location.hash"))
            await second.until(f"{HERE} === 'Write a haiku'")
            await first.type("Take your time")
            await second.until(f"{says('This takes')} && !({IDLE})")
            await second.run("document.querySelector('#stop').click()")
            await first.until(f"{says('interrupted')} && {IDLE}")
            assert chromium.problems == []
        nursery.cancel_scope.cancel()
    model.assert_done()


@pytest.mark.parametrize(
    ("target", "headers"),
    [
        ("/", {}),
        ("/?token=", {}),
        ("/?token=a", {}),
        ("/socket?token=a", {"Upgrade": "websocket", "Connection": "Upgrade"}),
        ("/?token={token}", {"Host": "evil.example"}),
        ("/socket?token={token}", {"Origin": "http://evil.example", "Upgrade": "websocket", "Connection": "Upgrade"}),
    ],
)
async def test_nothing_is_served_to_others(target, headers, server, home, nursery):
    url = urlsplit(await nursery.start(server.main, ScriptedModel()))
    stream = await trio.open_tcp_stream("127.0.0.1", url.port or 0)
    lines = [f"GET {target.format(token=url.query.removeprefix('token='))} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in ({"Host": url.netloc} | headers).items()]
    await stream.send_all("\r\n".join([*lines, "", ""]).encode())
    with trio.fail_after(10):
        assert (await stream.receive_some()).startswith(b"HTTP/1.1 403 ")
    await stream.aclose()
    nursery.cancel_scope.cancel()
