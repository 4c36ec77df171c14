"""Summarise a thread from the head of its rollout: enough for lists, without reading the conversation."""

import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from attrs import evolve

from spindle.rpc.lazy_class import frozen
from spindle.rpc.lenient import Json, is_mapping, is_sequence, mapping, objects, text, text_or_none
from spindle.storage.home import Home
from spindle.storage.rollout import records
from spindle.storage.rollout.compressed import existing, is_compressed, open_rollout, plain_path
from spindle.storage.rollout.lines import Line, salvage
from spindle.storage.threads.locate import RolloutName, locate_file
from spindle.storage.threads.metadata import latest_meta
from spindle.storage.threads.names import read_name
from spindle.storage.threads.thread_errors import EmptyRollout, NoSessionMeta, StoredThreadError, is_passing

# Editors put context before the user's request; this heading separates them.
_REQUEST_HEADING = "## My request for Codex:"
# The first user message follows instructions and context, usually within 100 KB; this bounds unusual files.
_HEAD_LIMIT = 16 * 1024 * 1024
# Bytes at the end of a file that are searched for changed metadata.
_TAIL = 256 * 1024
_ID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_USER_MESSAGE = records.USER_MESSAGE.encode()
_SOURCES = {"cli": "cli", "vscode": "vscode", "exec": "exec", "mcp": "appServer", "appServer": "appServer"}


@frozen
class StoredGit:
    """The state of the repository when the thread was created."""

    sha: str | None
    branch: str | None
    origin_url: str | None


@frozen
class ThreadSummary:
    """A stored thread without its turns.

    `created_at` and `updated_at` are Unix seconds, the latter the file's modification time. `source` is JSON in the
    protocol's form (`"cli"`, `"appServer"`, `{"subAgent": …}`), `history_mode` `"legacy"` or `"paginated"`.
    `has_user_message` is whether there is a user message. `parent_thread_id` is the thread that spawned this one,
    `path` the plain name also of a compressed file.
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
    parent_thread_id: str | None


@frozen
class Head:
    """The part of a summary from the first lines. All values are as stored, except `source`."""

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


def read_summary(
    path: Path,
    *,
    names: Mapping[str, str] | None = None,
    default_provider: str = "openai",
) -> ThreadSummary:
    """Read the head of a rollout, plain or compressed.

    `names` are the home's thread names; without them the name is read from the home of the file, if any.
    `default_provider` is used for files without a provider. Raises EmptyRollout, NoSessionMeta, OSError.
    """
    path = existing(path)
    stat = os.stat(path)
    head = with_later_git(read_head(str(path)), path, stat.st_size)
    home = _home_of(path)
    if names is not None:
        name = names.get(head.id)
    else:
        name = None if home is None else read_name(home, head.id)
    return summarize(head, path, stat.st_mtime_ns, name, default_provider)


def with_later_git(head: Head, path: Path, size: int, start: int | None = None) -> Head:
    """The head with the repository that a client has set later, searched from `start` on, by default near the end only.

    `size` is the file's. Raises OSError.
    """
    if is_compressed(path):
        return head
    latest = latest_meta(path, head.id, max(0, size - _TAIL) if start is None else start)
    return head if latest is None else evolve(head, git=git_of(latest))


def summarize(head: Head, path: Path, mtime_ns: int, name: str | None, default_provider: str) -> ThreadSummary:
    """Combine the head, the file's times and the name."""
    updated_at = mtime_ns // 1_000_000_000
    return ThreadSummary(
        id=head.id,
        session_id=head.session_id,
        forked_from_id=head.forked_from_id,
        preview=head.preview,
        has_user_message=head.has_user_message,
        model_provider=head.model_provider or default_provider,
        created_at=updated_at if head.created_at is None else head.created_at,
        updated_at=updated_at,
        path=plain_path(path),
        cwd=head.cwd,
        cli_version=head.cli_version,
        originator=head.originator,
        source=head.source,
        thread_source=head.thread_source,
        history_mode=head.history_mode,
        agent_nickname=head.agent_nickname,
        agent_role=head.agent_role,
        git=head.git,
        name=name,
        parent_thread_id=parent_of(head.source),
    )


def read_head(path: str) -> Head:
    """Read lines until the first user message. Raises EmptyRollout, NoSessionMeta, OSError.

    Damaged lines are skipped; the first other line must be the session_meta. If the history starts in another file
    (Codex 0.169: forks, and segments of reverted threads), the first message is read there. A thread reverted to its
    start keeps its first message.
    """
    head, base = _own_head(path)
    name = RolloutName.parse(os.path.basename(path))
    if base is None and not head.has_user_message and name is not None and name.segment is not None:
        base = _Base(name.thread_id, None)
    seen: set[str] = set()
    home = None if base is None else _home_of(Path(path))
    while home is not None and base is not None and base.rollout_id not in seen:
        seen.add(base.rollout_id)
        try:
            if (source := locate_file(home, base.rollout_id)) is None:
                break
            earlier, base = _own_head(str(source), base.end)
        except (StoredThreadError, OSError) as error:
            if is_passing(error):
                raise
            break
        if earlier.has_user_message:
            head = evolve(head, preview=earlier.preview, has_user_message=True)
    return head


@frozen
class _Base:
    """The file in which a history starts, and how many of its bytes belong to it; None for all."""

    rollout_id: str
    end: int | None


def _own_head(path: str, end: int | None = None) -> tuple[Head, _Base | None]:
    """The head in the file's own first `end` bytes, and the file in which its history starts, if it is another."""
    meta: Mapping[str, Any] | None = None
    blank = True
    seen = 0
    asked: str | None = None
    with open_rollout(path) as file:
        for raw in file:
            if end is not None and seen >= end:
                break
            seen += len(raw)
            if meta is None:
                blank = blank and not raw.strip()
                line = salvage(raw)
                if line is None:
                    continue
                id = _id(line.payload.get("id"))
                if line.type != records.SESSION_META or id is None:
                    raise NoSessionMeta(Path(path))
                meta = line.payload | {"id": id}
            elif _USER_MESSAGE in raw or b"UserMessage" in raw:
                line = salvage(raw)
                asked = None if line is None else _asked(line)
                if asked is not None:
                    break
            if seen > _HEAD_LIMIT:
                break
    if meta is None:
        raise (EmptyRollout if blank else NoSessionMeta)(Path(path))
    return _head(meta, asked), _base_of(meta)


def history_base(path: str) -> str | None:
    """The rollout id of the file in which the history at `path` starts, if it is another file. Raises OSError."""
    with open_rollout(path) as file:
        line = salvage(file.readline())
    base = None if line is None else _base_of(line.payload)
    return None if base is None else base.rollout_id


def _base_of(meta: Mapping[str, Any]) -> _Base | None:
    base: object = meta.get("history_base")
    members = mapping(base)
    id, end = text_or_none(members.get("thread_id")), members.get("end_byte_offset")
    return None if id is None else _Base(id, end if isinstance(end, int) else None)


def _asked(line: Line) -> str | None:
    """The text of a user message line ("" if it has only images), None for other lines."""
    payload: Mapping[str, Any] = line.payload
    if line.type != records.EVENT_MSG:
        return None
    if payload.get("type") == records.USER_MESSAGE:
        return text(payload.get("message"))
    item = mapping(payload.get("item"))
    content: object = item.get("content")
    if payload.get("type") != records.ITEM_COMPLETED or item.get("type") != "UserMessage" or not is_sequence(content):
        return None
    return "\n".join(words for part in objects(content) if (words := text_or_none(part.get("text"))) is not None)


def _head(meta: Mapping[str, Any], asked: str | None) -> Head:
    thread_id: str = meta["id"]
    nickname, role = text_or_none(meta.get("agent_nickname")), text_or_none(meta.get("agent_role"))
    return Head(
        id=thread_id,
        session_id=text_or_none(meta.get("session_id")) or thread_id,
        forked_from_id=text_or_none(meta.get("forked_from_id")),
        model_provider=text_or_none(meta.get("model_provider")),
        created_at=_seconds(meta.get("timestamp")),
        cwd=text_or_none(meta.get("cwd")) or "/",
        cli_version=text_or_none(meta.get("cli_version")) or "",
        originator=text_or_none(meta.get("originator")),
        thread_source=text_or_none(meta.get("thread_source")),
        history_mode="paginated" if meta.get("history_mode") == "paginated" else "legacy",
        source=protocol_source(meta.get("source"), nickname, role),
        agent_nickname=nickname,
        agent_role=role,
        git=git_of(meta),
        preview="" if asked is None else asked.rpartition(_REQUEST_HEADING)[2].strip(),
        has_user_message=asked is not None,
    )


def protocol_source(stored: object, nickname: str | None = None, role: str | None = None) -> object:
    """A stored session source in the protocol's form: `mcp` is `appServer`, `subagent` is `subAgent`."""
    if stored is None:
        return "vscode"
    if isinstance(stored, str):
        return _SOURCES.get(stored, "unknown")
    if not is_mapping(stored):
        return "unknown"
    if isinstance(stored.get("custom"), str):
        return {"custom": stored["custom"]}
    if "subagent" not in stored:
        return "unknown"
    spawn: object = mapping(stored["subagent"]).get("thread_spawn")
    if not is_mapping(spawn):
        return {"subAgent": stored["subagent"]}
    full: dict[str, object] = {
        "parent_thread_id": None,
        "depth": 0,
        "agent_path": None,
        "agent_nickname": nickname,
        "agent_role": role,
    }
    known = {key: value for key, value in spawn.items() if value is not None}
    return {"subAgent": {"thread_spawn": full | known}}


def parent_of(source: object) -> str | None:
    """The thread that spawned a thread with this protocol source, if any."""
    parent = _spawn(source).get("parent_thread_id")
    return parent if isinstance(parent, str) else None


def depth_of(source: object) -> int:
    """The depth in the tree of spawned threads of a thread with this protocol source; 0 if it was not spawned."""
    depth = _spawn(source).get("depth")
    return depth if isinstance(depth, int) else 0


def _spawn(source: object) -> Json:
    return mapping(mapping(mapping(source).get("subAgent")).get("thread_spawn"))


def git_of(meta: Mapping[str, Any]) -> StoredGit | None:
    """The repository in a `session_meta` payload."""
    stored = mapping(meta.get("git"))
    git = StoredGit(*(text_or_none(stored.get(name)) for name in ("commit_hash", "branch", "repository_url")))
    return None if git == StoredGit(None, None, None) else git


def _id(value: object) -> str | None:
    """A UUID in lower case, None for anything else: a thread's id becomes part of paths."""
    return value.lower() if isinstance(value, str) and _ID.fullmatch(value) else None


def _seconds(stamp: object) -> int | None:
    if not isinstance(stamp, str):
        return None
    try:
        at = datetime.fromisoformat(stamp)
    except ValueError:
        return None
    return int((at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp())


def _home_of(path: Path) -> Home | None:
    for folder in path.parents:
        if folder.name in ("sessions", "archived_sessions"):
            return Home(folder.parent)
    return None
