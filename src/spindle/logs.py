"""The log of the command, on standard error: each message is one line of text, or one JSON object."""

from __future__ import annotations

import logging
import math
import os
import sys
from datetime import UTC, datetime
from typing import Any, Final

from spindle.actors.tasks.log_ids import ids_of_task

FORMATS: Final = ("text", "json")
"""Values of `--log-format`."""
LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
"""Levels that `SPINDLE_LOG` may name."""
PARTS: Final = ("thread", "turn", "model", "tool", "question", "mcp", "command", "journal")
"""Parts that `SPINDLE_LOG` may name. The logger of a part is `spindle.<part>`."""

_LOGGED = 64 * 1024
"""Longest message in the log, in characters."""
_OURS = "spindle"
_ALIASES: Final = {"warn": "warning"}
_OF_RECORDS: Final = frozenset((*vars(logging.makeLogRecord({})), "asctime", "message", "taskName"))
"""What each record has; other members are fields that the caller has added."""


class LogIds(logging.Filter):
    """Adds `thread_id` and `turn_id` of the task that logs to records that have none."""

    def filter(self, record: logging.LogRecord) -> bool:
        """See logging.Filter."""
        thread_id, turn_id = ids_of_task()
        if thread_id is not None and "thread_id" not in vars(record):
            vars(record)["thread_id"] = thread_id
            if turn_id is not None:
                vars(record)["turn_id"] = turn_id
        return True


class LogFormat(logging.Formatter):
    """Writes each message as one line, with the ids of its turn and its thread. Text from outside in it is escaped."""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        """See logging.Formatter: RFC 3339 in UTC, with milliseconds."""
        return _time(record)

    def formatMessage(self, record: logging.LogRecord) -> str:
        """See logging.Formatter."""
        from spindle.rpc.protocol.values import one_line

        message = super().formatMessage(record)
        ids = [(what, str(vars(record).get(f"{what}_id", ""))) for what in ("turn", "thread")]
        missing = " of ".join(f"{what} {id}" for what, id in ids if id and id not in message)
        return one_line(message, _LOGGED) + (f" ({missing})" if missing else "")

    def formatException(self, ei: Any) -> str:
        """See logging.Formatter; a traceback keeps its lines."""
        from spindle.rpc.protocol.values import readable

        return readable(super().formatException(ei), _LOGGED)


class JsonFormat(logging.Formatter):
    """Writes each message as one JSON object on one line, with the fields that a logger of Spindle has added."""

    def format(self, record: logging.LogRecord) -> str:
        """See logging.Formatter."""
        import json

        from spindle.rpc.protocol.values import clean

        members: dict[str, object] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": clean(record.getMessage()[:_LOGGED]),
        }
        added = {name: value for name, value in vars(record).items() if name not in _OF_RECORDS}
        if record.name.partition(".")[0] == _OURS:
            members |= {name: _plain(value) for name, value in added.items() if name not in members}
        if record.exc_info:
            members["exception"] = clean(self.formatException(record.exc_info)[:_LOGGED])
        return json.dumps(members, allow_nan=False)


def start_logging(handler: logging.Handler | None = None, form: str | None = None) -> None:
    """Log to standard error, or to a given handler, what `$SPINDLE_LOG` says; without it, warnings.

    form: one of `FORMATS`; by default text, or JSON if `$LOG_FORMAT` is `json`, which is Codex's variable. What is wrong in
    `$SPINDLE_LOG` is logged as a warning and has no effect.
    """
    form = form or os.environ.get("LOG_FORMAT", "").strip().lower()
    handler = logging.StreamHandler(sys.stderr) if handler is None else handler
    handler.setFormatter(JsonFormat() if form == "json" else LogFormat("%(asctime)s %(levelname)s %(message)s"))
    handler.addFilter(LogIds())
    levels, wrong = read_levels(os.environ.get("SPINDLE_LOG", ""))
    logging.basicConfig(handlers=[handler], level=levels.pop("", logging.WARNING))
    for part, level in levels.items():
        logging.getLogger(f"{_OURS}.{part}").setLevel(level)
    for name in ("httpx", "httpcore"):  # below WARNING they log whole URLs and headers, with keys in them
        logging.getLogger(name).setLevel(logging.WARNING)
    for text in wrong:
        logging.getLogger(_OURS).warning("%s", text)


def read_levels(value: str) -> tuple[dict[str, int], list[str]]:
    """(the level of each part in a value of `SPINDLE_LOG`, what is wrong with it)

    The value is a level, `PART=LEVEL`, or several of these with commas between. The part "" is everything else.
    """
    levels: dict[str, int] = {}
    wrong: list[str] = []
    for piece in filter(None, map(str.strip, value.split(","))):
        part, equals, name = piece.rpartition("=")
        part, name = part.strip().lower().removeprefix(f"{_OURS}."), name.strip().lower()
        level = LEVELS.get(_ALIASES.get(name, name))
        if level is None:
            wrong.append(f"SPINDLE_LOG: {piece!r} names no level; the levels are {', '.join(LEVELS)}")
        elif equals and part not in PARTS:
            wrong.append(f"SPINDLE_LOG: {piece!r} names no part; the parts are {', '.join(PARTS)}")
        else:
            levels[part] = level
    return levels, wrong


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _plain(value: object) -> object:
    if value is None or isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    from spindle.rpc.protocol.values import clean

    return clean(str(value))
