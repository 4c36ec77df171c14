"""The log of the command: on standard error, each message on one line."""

from __future__ import annotations

import logging
import os
import sys
from typing import Any

_LOGGED = 64 * 1024
"""Longest message in the log, in characters."""


class LogFormat(logging.Formatter):
    """Writes each message as one line. Text of servers, files and models in it is escaped."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """See logging.Formatter."""
        from spindle.rpc.protocol.values import one_line

        return one_line(super().formatMessage(record), _LOGGED)

    def formatException(self, ei: Any) -> str:
        """See logging.Formatter; a traceback keeps its lines."""
        from spindle.rpc.protocol.values import readable

        return readable(super().formatException(ei), _LOGGED)


def start_logging(handler: logging.Handler | None = None) -> None:
    """Log what is at least as serious as `$SPINDLE_LOG` says, by default warnings; to standard error, or a given handler."""
    handler = logging.StreamHandler(sys.stderr) if handler is None else handler
    handler.setFormatter(LogFormat("%(levelname)s %(message)s"))
    logging.basicConfig(handlers=[handler], level=os.environ.get("SPINDLE_LOG", "WARNING").upper())
    for name in ("httpx", "httpcore"):  # below WARNING they log whole URLs and headers, with keys in them
        logging.getLogger(name).setLevel(logging.WARNING)
