"""The log of the command: each message is one line, even if its text has line breaks."""

import logging
import sys

from spindle.logs import LogFormat


def record(message: str, *args: object, exc_info: bool = False) -> logging.LogRecord:
    caught = sys.exc_info() if exc_info else None
    return logging.LogRecord("spindle", logging.WARNING, "here", 1, message, args, caught)


def test_a_message_is_one_line() -> None:
    line = LogFormat("%(levelname)s %(message)s").format(record("file %s", "a\nERROR forged\x1b[2J"))
    assert line == "WARNING file a\\nERROR forged\\x1b[2J"


def test_a_traceback_keeps_its_lines_and_drives_no_terminal() -> None:
    try:
        raise ValueError("bad\x1b[2J")
    except ValueError:
        lines = LogFormat("%(message)s").format(record("failed", exc_info=True)).splitlines()
    assert (lines[0], lines[1], lines[-1]) == ("failed", "Traceback (most recent call last):", "ValueError: bad\\x1b[2J")
