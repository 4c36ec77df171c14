"""A headless Chromium, driven over the DevTools protocol on its standard input and output."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import trio

NAMES = ("chromium", "chromium-browser", "google-chrome")
SECONDS = 60
_OPTIONS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run")
_LATER = """
new Promise(done => {
  const look = () => { if (%s) { observer.disconnect(); done(true); } };
  const observer = new MutationObserver(look);
  observer.observe(document, {subtree: true, childList: true, characterData: true, attributes: true});
  look();
})
"""


def program() -> str | None:
    """The browser's program; None if there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """The connection to a browser. `problems` is what pages have logged as errors, and their exceptions."""

    def __init__(self, process: trio.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._in, self._out = process.stdin, process.stdout
        self._results: dict[int, Any] = {}
        self._arrived: dict[int, trio.Event] = {}
        self._loads: dict[str, trio.Event] = {}
        self.problems: list[str] = []

    async def ask(self, method: str, session: str | None = None, **params: Any) -> Any:
        """Send a command, and return its result."""
        id = len(self._arrived)
        self._arrived[id] = trio.Event()
        message = {"id": id, "method": method, "params": params} | ({"sessionId": session} if session else {})
        await self._in.send_all(json.dumps(message).encode() + b"\0")
        with trio.fail_after(SECONDS):
            await self._arrived[id].wait()
        result = self._results.pop(id)
        assert "error" not in result, result
        return result["result"]

    async def tab(self, url: str) -> Tab:
        """Open a page."""
        target = (await self.ask("Target.createTarget", url="about:blank"))["targetId"]
        session = (await self.ask("Target.attachToTarget", targetId=target, flatten=True))["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            await self.ask(f"{domain}.enable", session)
        tab = Tab(self, session)
        await tab.loaded(partial(self.ask, "Page.navigate", session, url=url))
        return tab

    async def read(self) -> None:
        """Read what the browser says, until it ends."""
        rest = b""
        async for data in self._out:
            *messages, rest = (rest + data).split(b"\0")
            for each in messages:
                self._take(json.loads(each))

    def _take(self, message: dict[str, Any]) -> None:
        if "id" in message:
            self._results[message["id"]] = message
            self._arrived[message["id"]].set()
            return
        params = message["params"]
        match message["method"]:
            case "Page.loadEventFired":
                self._loads.setdefault(message["sessionId"], trio.Event()).set()
            case "Runtime.exceptionThrown":
                self.problems.append(json.dumps(params["exceptionDetails"]))
            case "Log.entryAdded" if params["entry"]["level"] == "error":
                self.problems.append(json.dumps(params["entry"]))
            case "Runtime.consoleAPICalled" if params["type"] in ("error", "assert"):
                self.problems.append(json.dumps(params["args"]))
            case _:
                pass

    async def loaded(self, session: str, begin: Callable[[], Any]) -> None:
        """Begin to load a page, and wait until it is loaded."""
        self._loads[session] = loaded = trio.Event()
        await begin()
        with trio.fail_after(SECONDS):
            await loaded.wait()


class Tab:
    """A page."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser, self._session = browser, session

    async def run(self, script: str) -> Any:
        """Evaluate JavaScript, wait if it is a promise, and return the value."""
        result = await self._browser.ask(
            "Runtime.evaluate", self._session, expression=script, awaitPromise=True, returnByValue=True, userGesture=True
        )
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    async def until(self, condition: str) -> None:
        """Wait until a condition is true, which may change with each change of the page."""
        await self.run(_LATER % condition)

    async def text(self) -> str:
        """The text of the conversation."""
        shown: str = await self.run("document.querySelector('main').innerText")
        return shown

    async def type(self, text: str) -> None:
        """Type a message and send it, as a user does."""
        await self.run("document.querySelector('form input').focus()")
        await self._browser.ask("Input.insertText", self._session, text=text)
        for kind in ("keyDown", "keyUp"):
            key = {"key": "Enter", "text": "\r", "windowsVirtualKeyCode": 13}
            await self._browser.ask("Input.dispatchKeyEvent", self._session, type=kind, **key)

    async def loaded(self, begin: Callable[[], Any]) -> None:
        """See `Browser.loaded`."""
        await self._browser.loaded(self._session, begin)

    async def reload(self) -> None:
        """Reload the page, and wait until it is loaded."""
        await self.loaded(partial(self._browser.ask, "Page.reload", self._session))

    async def close(self) -> None:
        """Close the tab."""
        await self._browser.ask("Page.close", self._session)


@asynccontextmanager
async def browser(profile: Path) -> AsyncGenerator[Browser]:
    """A browser for the length of the block."""
    name = program()
    assert name is not None
    # the browser reads commands from descriptor 3, and writes to 4
    command = ["sh", "-c", 'exec "$@" 3<&0 4>&1 1>&2', "sh", name, *_OPTIONS]
    command += ["--remote-debugging-pipe", f"--user-data-dir={profile}"]
    async with trio.open_nursery() as nursery:
        run = partial(trio.run_process, command, stdin=-1, stdout=-1, stderr=-3, check=False)
        connection = Browser(await nursery.start(run))
        nursery.start_soon(connection.read)
        yield connection
        await connection.ask("Browser.close")  # after an exception, the nursery ends the process
