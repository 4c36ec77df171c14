"""The signals that end a daemon, caught from before its first byte is served until its process has exited.

Between two handlers a signal would kill the process with a turn unrecorded. So there is one handler, set before anything is
loaded, that only counts; at the end the signals are ignored, which, unlike a handler, lasts until the interpreter is gone.
"""

from __future__ import annotations

import signal
from collections.abc import Callable

CAUGHT = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class EndSignals:
    """How many of SIGTERM, SIGINT and SIGHUP have come since `catch`. For the main thread."""

    def __init__(self) -> None:
        self.count = 0
        self._wake: Callable[[], object] | None = None

    def catch(self) -> None:
        """From now on count them. A SIGHUP that is ignored, as under nohup, stays so."""
        for number in CAUGHT:
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._on_signal)

    def ignore(self) -> None:
        """From now on have none of them do anything: the process is about to exit."""
        for number in CAUGHT:
            signal.signal(number, signal.SIG_IGN)

    def _on_signal(self, number: int, frame: object) -> None:
        self.count += 1
        if self._wake is not None:
            self._wake()

    async def wait(self, count: int) -> None:
        """Return when so many have come in all. One task at a time."""
        import trio  # a signal may come while it is being imported

        token = trio.lowlevel.current_trio_token()
        try:
            while self.count < count:
                more = trio.Event()
                self._wake = lambda more=more: token.run_sync_soon(more.set)
                if self.count < count:
                    await more.wait()
        finally:
            self._wake = None
