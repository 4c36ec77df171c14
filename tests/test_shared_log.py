"""The log of a shared daemon is bounded."""

import logging
import os
from pathlib import Path

import pytest

from spindle.shared_log import SharedLog
from spindle.storage import shared_folder


def test_a_full_log_is_kept_and_another_one_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with os.fdopen(shared_folder.open_log(str(tmp_path)), "w") as stderr:
        monkeypatch.setattr("sys.stderr", stderr)
        handler = SharedLog(str(tmp_path), most=1000)
        for number in range(100):
            handler.emit(logging.LogRecord("spindle", logging.INFO, "", 0, f"line {number:03} {'x' * 90}", None, None))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "log.1"]
    kept = (tmp_path / "log.1").read_text() + (tmp_path / "log").read_text()
    assert (tmp_path / "log.1").stat().st_size == 1000
    assert [line[:8] for line in kept.splitlines()] == [f"line {number:03}" for number in range(100)][-len(kept) // 100 :]
