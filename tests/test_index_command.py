"""`spindle index`."""

import json
import logging
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from spindle.cli import main
from spindle.storage.home import Home
from spindle.storage.index import ThreadIndex
from spindle.storage.threads.query import ThreadQuery


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    """Restore the level of the log, which the command sets."""
    log = logging.getLogger("spindle")
    level = log.level
    yield
    log.setLevel(level)


def run() -> object:
    with pytest.raises(SystemExit) as exited:
        main(["index"])
    return exited.value.code


def test_it_updates_the_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CODEX_HOME", str(tmp_path))
    folder = tmp_path / "sessions/2025/01/05"
    folder.mkdir(parents=True)
    for number in range(150):
        id = str(uuid.uuid4())
        lines = [
            {"type": "session_meta", "payload": {"id": id, "source": "cli", "model_provider": "openai"}},
            {"type": "event_msg", "payload": {"type": "user_message", "message": f"t{number}"}},
        ]
        (folder / f"rollout-2025-01-05T12-00-00-{id}.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines))
    assert run() == 0
    assert "150 new rollouts read" in capsys.readouterr().err
    assert run() == 0
    assert "0 new rollouts read" in capsys.readouterr().err
    index = ThreadIndex(Home(tmp_path))
    page = index.page(ThreadQuery(search_term="t149"))
    assert page is not None
    assert [thread.preview for thread in page.data] == ["t149"]
    index.close()


def test_a_home_that_does_not_exist(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CODEX_HOME", str(tmp_path / "nowhere"))
    assert run() == 1
    assert "nowhere" in capsys.readouterr().err
