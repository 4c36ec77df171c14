"""What the head of a rollout says about its thread: enough for every list, without reading the conversation."""

import os
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from attrs import evolve, frozen

from spindle.storage.home import Home
from spindle.storage.rollout.lines import Line, decode_line
from spindle.storage.threads.errors import EmptyRollout, NoSessionMeta
from spindle.storage.threads.metadata import latest_meta
from spindle.storage.threads.names import read_names

# Editors put what is open in front of what was asked, under a heading of its own.
_REQUEST_HEADING = "## My request for Codex:"
# The first question comes after instructions and context, rarely beyond 100 KB; this bounds the reading of odd files.
_HEAD_LIMIT = 16 * 1024 * 1024
_SOURCES = {"cli": "cli", "vscode": "vscode", "exec": "exec", "mcp": "appServer", "appServer": "appServer"}


@frozen
class StoredGit:
    """The state of the repository when the thread began."""

    sha: str | None
    branch: str | None
    origin_url: str | None


@frozen
class ThreadSummary:
    """A stored thread without its turns.

    `created_at` and `updated_at` are Unix seconds, the latter the file's modification time. `source` is JSON in the
    words of the protocol (`"cli"`, `"appServer"`, `{"subAgent": …}`), `history_mode` `"legacy"` or `"paginated"`.
    `has_user_message` tells whether anybody asked anything.
    """

    id: str
    session_id: str
    forked_from_id: str | None
    preview: str
    has_user_message: bool
    model_provider: str
    created_at: int
    updated_at: int
    path: Path
    cwd: str
    cli_version: str
    originator: str | None
    source: object
    thread_source: str | None
    history_mode: str
    agent_nickname: str | None
    agent_role: str | None
    git: StoredGit | None
    name: str | None


@frozen
class Head:
    """The part of a summary that is read from the first lines; everything as stored, but `source`."""

    id: str
    session_id: str
    forked_from_id: str | None
    model_provider: str | None
    created_at: int | None
    cwd: str
    cli_version: str
    originator: str | None
    source: object
    thread_source: str | None
    history_mode: str
    agent_nickname: str | None
    agent_role: str | None
    git: StoredGit | None
    preview: str
    has_user_message: bool


class SummaryCache:
    """Heads already read, and the names, each kept as long as its file is unchanged. May be shared by worker threads.

    Holds at most `size` heads (about 1 KiB each); the ones read longest ago go first.
    """

    def __init__(self, size: int = 50_000) -> None:
        self._size = size
        self._heads: dict[str, tuple[tuple[int, int, int], Head]] = {}
        self._names: tuple[tuple[int, int, int] | None, Mapping[str, str]] = (None, {})
        self._lock = threading.Lock()

    def head(self, path: str, stat: os.stat_result) -> Head:
        """As `read_head`, from memory where the file is the same."""
        signature = _signature(stat)
        with self._lock:
            known = self._heads.get(path)
        if known is not None and known[0] == signature:
            return known[1]
        head = read_head(path)
        with self._lock:
            self._heads.pop(path, None)
            if len(self._heads) >= self._size:
                del self._heads[next(iter(self._heads))]
            self._heads[path] = (signature, head)
        return head

    def names(self, home: Home) -> Mapping[str, str]:
        """As `read_names`, from memory where the index is the same."""
        try:
            signature = _signature(os.stat(home.path / "session_index.jsonl"))
        except FileNotFoundError:
            return {}
        with self._lock:
            known, names = self._names
        if known != signature:
            names = read_names(home)
            with self._lock:
                self._names = (signature, names)
        return names


def read_summary(
    path: Path,
    *,
    names: Mapping[str, str] | None = None,
    default_provider: str = "openai",
    cache: SummaryCache | None = None,
) -> ThreadSummary:
    """Read the head of a rollout.

    `names` are the home's thread names; without them they are looked up in the home the file lies in, if any.
    `default_provider` stands in for files that name no provider. Raises EmptyRollout, NoSessionMeta, OSError.
    """
    stat = os.stat(path)
    head = cache.head(str(path), stat) if cache is not None else read_head(str(path))
    if names is None:
        home = _home_of(path)
        names = {} if home is None else cache.names(home) if cache is not None else read_names(home)
    return with_latest_git(summarize(head, path, stat, names, default_provider))


def with_latest_git(summary: ThreadSummary) -> ThreadSummary:
    """The summary with the repository as a client has set it since, if one has. Raises OSError."""
    latest = latest_meta(summary.path, summary.id)
    return summary if latest is None else evolve(summary, git=_git(latest.get("git")))


def summarize(
    head: Head, path: Path, stat: os.stat_result, names: Mapping[str, str], default_provider: str
) -> ThreadSummary:
    """Join what the head says with what the file system and the index say."""
    updated_at = int(stat.st_mtime)
    return ThreadSummary(
        id=head.id,
        session_id=head.session_id,
        forked_from_id=head.forked_from_id,
        preview=head.preview,
        has_user_message=head.has_user_message,
        model_provider=head.model_provider or default_provider,
        created_at=updated_at if head.created_at is None else head.created_at,
        updated_at=updated_at,
        path=path,
        cwd=head.cwd,
        cli_version=head.cli_version,
        originator=head.originator,
        source=head.source,
        thread_source=head.thread_source,
        history_mode=head.history_mode,
        agent_nickname=head.agent_nickname,
        agent_role=head.agent_role,
        git=head.git,
        name=names.get(head.id),
    )


def read_head(path: str) -> Head:
    """Read lines until the first user message. Raises EmptyRollout, NoSessionMeta, OSError.

    Lines that cannot be decoded are skipped; the first that can must be the session_meta.
    """
    meta: Mapping[str, Any] | None = None
    blank = True
    seen = 0
    with open(path, "rb", buffering=1 << 16) as file:
        for raw in file:
            seen += len(raw)
            if meta is None:
                blank = blank and not raw.strip()
                line = decode_line(raw)
                if line is None:
                    continue
                if line.type != "session_meta" or not isinstance(line.payload.get("id"), str):
                    raise NoSessionMeta(Path(path))
                meta = line.payload
            elif b"user_message" in raw or b"UserMessage" in raw:
                line = decode_line(raw)
                text = None if line is None else _asked(line)
                if text is not None:
                    return _head(meta, text)
            if seen > _HEAD_LIMIT:
                break
    if meta is None:
        raise (EmptyRollout if blank else NoSessionMeta)(Path(path))
    return _head(meta, None)


def _asked(line: Line) -> str | None:
    """The text of a user message line ("" if it is only images), None for any other line."""
    payload: Mapping[str, Any] = line.payload
    if line.type != "event_msg":
        return None
    if payload.get("type") == "user_message":
        return _text(payload, "message") or ""
    item: object = payload.get("item")
    if payload.get("type") != "item_completed" or not isinstance(item, dict):
        return None
    members = cast("dict[str, object]", item)
    content = members.get("content")
    if members.get("type") != "UserMessage" or not isinstance(content, list):
        return None
    parts = [cast("dict[str, object]", part) for part in cast("list[object]", content) if isinstance(part, dict)]
    return "\n".join(text for part in parts if (text := _text(part, "text")) is not None)


def _head(meta: Mapping[str, Any], asked: str | None) -> Head:
    thread_id: str = meta["id"]
    nickname, role = _text(meta, "agent_nickname"), _text(meta, "agent_role")
    return Head(
        id=thread_id,
        session_id=_text(meta, "session_id") or thread_id,
        forked_from_id=_text(meta, "forked_from_id"),
        model_provider=_text(meta, "model_provider"),
        created_at=_seconds(meta.get("timestamp")),
        cwd=_text(meta, "cwd") or "/",
        cli_version=_text(meta, "cli_version") or "",
        originator=_text(meta, "originator"),
        thread_source=_text(meta, "thread_source"),
        history_mode="paginated" if meta.get("history_mode") == "paginated" else "legacy",
        source=protocol_source(meta.get("source"), nickname, role),
        agent_nickname=nickname,
        agent_role=role,
        git=_git(meta.get("git")),
        preview="" if asked is None else asked.rpartition(_REQUEST_HEADING)[2].strip(),
        has_user_message=asked is not None,
    )


def protocol_source(stored: object, nickname: str | None = None, role: str | None = None) -> object:
    """A stored session source in the protocol's words: `mcp` is `appServer`, `subagent` is `subAgent`."""
    if stored is None:
        return "vscode"
    if isinstance(stored, str):
        return _SOURCES.get(stored, "unknown")
    if not isinstance(stored, dict):
        return "unknown"
    members = cast("dict[str, object]", stored)
    if isinstance(members.get("custom"), str):
        return {"custom": members["custom"]}
    if "subagent" not in members:
        return "unknown"
    kind = members["subagent"]
    spawn = cast("dict[str, object]", kind).get("thread_spawn") if isinstance(kind, dict) else None
    if not isinstance(spawn, dict):
        return {"subAgent": members["subagent"]}
    full: dict[str, object] = {
        "parent_thread_id": None,
        "depth": 0,
        "agent_path": None,
        "agent_nickname": nickname,
        "agent_role": role,
    }
    told = {key: value for key, value in cast("dict[str, object]", spawn).items() if value is not None}
    return {"subAgent": {"thread_spawn": full | told}}


def _git(stored: object) -> StoredGit | None:
    if not isinstance(stored, dict):
        return None
    members = cast("dict[str, object]", stored)
    git = StoredGit(_text(members, "commit_hash"), _text(members, "branch"), _text(members, "repository_url"))
    return None if git == StoredGit(None, None, None) else git


def _text(members: Mapping[str, object], key: str) -> str | None:
    value = members.get(key)
    return value if isinstance(value, str) else None


def _seconds(stamp: object) -> int | None:
    if not isinstance(stamp, str):
        return None
    try:
        at = datetime.fromisoformat(stamp)
    except ValueError:
        return None
    return int((at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp())


def _signature(stat: os.stat_result) -> tuple[int, int, int]:
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def _home_of(path: Path) -> Home | None:
    for folder in path.parents:
        if folder.name in ("sessions", "archived_sessions"):
            return Home(folder.parent)
    return None
