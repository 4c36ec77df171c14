"""Homes with rollouts as other programs write them, each with an index."""

import json
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from spindle.storage.home import Home
from spindle.storage.index import ThreadIndex
from spindle.storage.threads.query import ThreadQuery

Write = Callable[..., Path]


def write_rollout(
    home: Home,
    text: str | None,
    stamp: str = "2025-01-05T12-00-00",
    *,
    archived: bool = False,
    segment: str | None = None,
    **meta: Any,
) -> Path:
    """One rollout; `text` is the first message, None for none. The file's time is that of its name.

    With `segment` the file is a segment of that id, and with the history mode "paginated" its lines are numbered.
    """
    thread_id = meta.pop("id", None) or str(uuid.uuid4())
    folder = home.archived_sessions if archived else home.sessions / stamp[:10].replace("-", "/")
    folder.mkdir(parents=True, exist_ok=True)
    head = {"id": thread_id, "timestamp": "2025-01-05T12:00:00Z", "cwd": "/", "source": "cli", "model_provider": "openai"}
    lines: list[dict[str, Any]] = [{"timestamp": "", "type": "session_meta", "payload": head | meta}]
    if text is not None:
        lines.append({"timestamp": "", "type": "event_msg", "payload": {"type": "user_message", "message": text}})
    if meta.get("history_mode") == "paginated":
        lines = [{"timestamp": "", "ordinal": place, **line} for place, line in enumerate(lines)]
    path = folder / f"rollout-{stamp}-{thread_id}{f'_{segment}' if segment else ''}.jsonl"
    path.write_text("".join(json.dumps(entry) + "\n" for entry in lines))
    at = int(stamp[8:10]) * 86400 + int(stamp[11:13]) * 3600 + int(stamp[14:16]) * 60 + int(stamp[17:19])
    os.utime(path, (at, at))
    return path


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


@pytest.fixture
def write(home: Home) -> Write:
    def write(*args: Any, **kwargs: Any) -> Path:
        return write_rollout(home, *args, **kwargs)

    return write


@pytest.fixture
def index(home: Home) -> Iterator[ThreadIndex]:
    index = ThreadIndex(home)
    yield index
    index.close()


@pytest.fixture
def listed(index: ThreadIndex) -> Callable[..., list[str]]:
    """The first messages of a page."""

    def listed(**query: Any) -> list[str]:
        page = index.page(ThreadQuery(**query))
        assert page is not None
        return [thread.preview for thread in page.data]

    return listed


@pytest.fixture
def writing() -> Callable[[Home], Write]:
    """Rollouts in another home."""
    return lambda home: lambda *args, **kwargs: write_rollout(home, *args, **kwargs)
