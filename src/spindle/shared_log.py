"""The log of a shared daemon: its standard error, which is a file in the home's shared folder."""

from __future__ import annotations

import logging
import os
import sys
from typing import Any, Final

from spindle.storage import shared_folder

LOG_BYTES: Final = 1024 * 1024
"""Bytes of a log from which on another one is begun. One earlier log is kept."""


class SharedLog(logging.StreamHandler[Any]):
    """Writes to standard error, which is the log in `folder`, and begins another log when one is full."""

    def __init__(self, folder: str, most: int = LOG_BYTES) -> None:
        super().__init__(sys.stderr)
        self._folder, self._most = folder, most

    def emit(self, record: logging.LogRecord) -> None:
        """See logging.Handler."""
        super().emit(record)
        try:
            if os.fstat(self.stream.fileno()).st_size >= self._most:
                self._begin_another()
        except OSError:
            self.handleError(record)

    def _begin_another(self) -> None:
        fresh = shared_folder.begin_log(self._folder)
        try:
            os.dup2(fresh, self.stream.fileno())
        finally:
            os.close(fresh)
