"""Each system call fails once: the use fails or recovers, files stay whole, nothing is held, and the next use works.

Each call of each use fails in a run of its own. With SPINDLE_ALL_FAULTS it fails in all ways, otherwise in one way.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import zstandard
from attrs import field, frozen

from spindle.actors.tools.commands.rule_book import allow_prefix
from spindle.actors.tools.patch.on_path import programs
from spindle.storage.config import ConfigError, ConfigLoader
from spindle.storage.config.editing import edit
from spindle.storage.config.hooks import hook_config
from spindle.storage.config.trusting import approve, proposals
from spindle.storage.config.writing import Edit
from spindle.storage.config.writing import write as write_values
from spindle.storage.credentials import CredentialStore
from spindle.storage.home import Home
from spindle.storage.index import ThreadIndex
from spindle.storage.index.file import IndexUnavailable
from spindle.storage.mcp_tokens import McpTokens, McpTokenStore
from spindle.storage.model_lists import ModelList, keep_list, read_list
from spindle.storage.plugins.cache import PluginCache
from spindle.storage.plugins.plugin_ids import PluginError, PluginId
from spindle.storage.rollout.fork import UnknownTurn, segments, write_fork
from spindle.storage.rollout.journal import Journal, JournalError
from spindle.storage.rollout.lines import decode_line, encode_line
from spindle.storage.rollout.load import load
from spindle.storage.threads.archive import archive, unarchive
from spindle.storage.threads.lineage import lineage
from spindle.storage.threads.listing import list_threads
from spindle.storage.threads.locate import locate, locate_archived, locate_file
from spindle.storage.threads.metadata import append_to_stored
from spindle.storage.threads.names import read_names, record_name
from spindle.storage.threads.query import ThreadQuery
from spindle.storage.threads.removal import remove
from spindle.storage.threads.reverting import Revert, write_segment
from spindle.storage.threads.thread_errors import NoArchivedRollout, NoRollout

from .faults import FAULTS, SYNCS, WRITE_FAULTS, Faults, open_in
from .plugins.made import plugin

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="tells open files by /proc")

ALL = bool(os.environ.get("SPINDLE_ALL_FAULTS"))
A = "00000000-0000-7000-8000-00000000000a"
B = "00000000-0000-7000-8000-00000000000b"
S = "00000000-0000-7000-8000-00000000000c"
NAME = f"rollout-2025-01-05T12-00-00-{A}.jsonl"
AT = datetime(2025, 1, 5, 13)

META = {"id": A, "cwd": "/"}


def user_line(text: str) -> bytes:
    return encode_line("event_msg", {"type": "user_message", "message": text})


def rollout(home: Home) -> Path:
    return home.sessions / "2025/01/05" / NAME


def stored(home: Home, tail: bytes = b"", *, paginated: bool = False) -> None:
    """A thread with two turns, and `tail`."""
    path = rollout(home)
    path.parent.mkdir(parents=True)
    events = [
        {"type": kind, "turn_id": turn, "message": turn}
        for turn in ("t1", "t2")
        for kind in ("task_started", "user_message", "task_complete")
    ]
    meta = META | ({"history_mode": "paginated"} if paginated else {})
    entries = [("session_meta", meta), *(("event_msg", event) for event in events)]
    numbered = [encode_line(kind, payload, ordinal=n if paginated else None) for n, (kind, payload) in enumerate(entries)]
    path.write_bytes(b"".join(numbered) + tail)


def torn(home: Home) -> None:
    stored(home, user_line("cut off")[:-9])


def compressed(home: Home) -> None:
    stored(home)
    path = rollout(home)
    path.with_name(f"{NAME}.zst").write_bytes(zstandard.compress(path.read_bytes()))
    path.unlink()


def paginated(home: Home) -> None:
    stored(home, paginated=True)
    first = rollout(home)
    second = first.with_name(first.name.replace(".jsonl", f"_{S}.jsonl"))
    shutil.copy(first, second)


def archived(home: Home) -> None:
    paginated(home)
    home.archived_sessions.mkdir()
    for path in rollout(home).parent.iterdir():
        path.rename(home.archived_sessions / path.name)


def empty_home(home: Home) -> None:
    """An empty home."""


def write(home: Home, *, between: Callable[[Journal], object] = lambda journal: None) -> None:
    journal = Journal(rollout(home), home.lock_file(A))
    new = not rollout(home).exists()
    try:
        journal.begin([encode_line("session_meta", META)] if new else [])
        journal.append([user_line("one")])
        journal.sync()
        between(journal)
        journal.append([user_line("two")])
        journal.sync()
    finally:
        journal.end()


def write_in_two_turns(home: Home) -> None:
    def again(journal: Journal) -> None:
        journal.end()
        if not journal.begin_at_once():
            journal.begin()

    write(home, between=again)


def messages(path: Path | None) -> list[str]:
    lines = [] if path is None else [decode_line(line) for line in path.read_bytes().splitlines()]
    user_line = [line.payload for line in lines if line is not None and line.payload.get("type") in (None, "user_message")]
    return [payload["message"] for payload in user_line if "message" in payload]


def fork(home: Home) -> None:
    def close(unfinished: Path) -> list[bytes]:
        load(unfinished)
        return [user_line("closing")]

    target = home.sessions / "2025/02/01" / NAME.replace(A, B)
    write_fork(target, {"id": B}, segments(rollout(home), lambda _: None), close, lambda: None)


def delete(home: Home) -> None:
    record_name(home, A, "name")
    remove(home, A, missing_ok=True)


def revert(home: Home) -> None:
    path = locate(home, A)
    assert path is not None
    meta = META | {"history_mode": "paginated"}
    write_segment(home, Revert(A, path, meta, "t2", [user_line("reverted")]), AT, lambda: None)


def reverted(home: Home) -> bool:
    path = locate(home, A)
    assert path is not None
    return path.name != NAME and load(path, lambda id: locate_file(home, id)).replay.shown.turns[0].id == "t1"


def page(home: Home) -> None:
    index = ThreadIndex(home)
    try:
        index.catch_up()  # the part that was not read is read again
        found = index.page(ThreadQuery())
        assert found is not None
        if [thread.id for thread in found.data] != [A]:
            raise NotListed
    finally:
        index.close()


def log_out(home: Home) -> None:
    CredentialStore(home).logout()


def logged_in(home: Home) -> None:
    CredentialStore(home).login_api_key("old")


def set_model(home: Home) -> None:
    edit(home.config_file, lambda document: document.update(model="new"))


def old_config(home: Home) -> None:
    home.config_file.write_text('# mine\nmodel = "old"\n')


def unplugged(home: Home) -> None:
    source = home.path.parent / "source"
    if not source.exists():
        plugin(source, "alpha")


def plugged(home: Home) -> None:
    unplugged(home)
    PluginCache(home).install(PluginId("alpha", "mk"), home.path.parent / "source" / "alpha")


MCP_TOKENS = McpTokens(
    server_name="web", server_url="https://example.test/", issuer=None, client_id="c", access_token="a", expires_at=1,
    refresh_token="r", scopes=("s",),
)  # fmt: skip


def project(home: Home) -> None:
    """A project, while another one is approved already."""
    for name in ("other", "project"):
        codex = home.path / name / ".codex"
        codex.mkdir(parents=True)
        (codex / "config.toml").write_text('sandbox_mode = "workspace-write"\n')
        (codex / "hooks.json").write_text('{"hooks": {"Stop": [{"hooks": [{"type": "command", "command": "sh ./s"}]}]}}')
        (home.path / name / "s").write_text("s")
    approve_project(home, "other")


def approve_project(home: Home, name: str) -> None:
    wanted = proposals(ConfigLoader(home), home.path / name)
    approve(ConfigLoader(home), wanted)
    told = [*wanted.warnings, *(proposal.approval for proposal in wanted.proposals if isinstance(proposal.approval, str))]
    if told:  # the command prints it, and fails
        raise OSError(*told)


def approved(home: Home) -> bool:
    loader = ConfigLoader(home)
    loaded = [loader.load(home.path / name) for name in ("other", "project")]
    return all(config.sandbox_mode and hook_config(config).handlers for config in loaded)


def ruled(home: Home) -> bool:
    rules = (home.path / "rules/default.rules").read_text()
    return rules.endswith("\n") and 'pattern=["ls"]' in rules


class NotListed(Exception):
    """A list lacks a thread."""


@frozen
class Use:
    """`done` checks the effect of `act`. `settled` is the error of a second `act` after a successful first."""

    prepare: Callable[[Home], object]
    act: Callable[[Home], object]
    done: Callable[[Home], bool]
    settled: tuple[type[Exception], ...] = ()
    promises: bool = field(default=True, kw_only=True)
    """Whether the effect is on disk."""


USES = {
    "a new thread's turn": Use(empty_home, write, lambda home: messages(rollout(home))[-2:] == ["one", "two"]),
    "two turns": Use(empty_home, write_in_two_turns, lambda home: messages(rollout(home))[-2:] == ["one", "two"]),
    "a turn after a torn line": Use(torn, write, lambda home: messages(rollout(home))[-2:] == ["one", "two"]),
    "a name in a compressed rollout": Use(
        compressed,
        lambda home: append_to_stored(home, locate(home, A) or Path(), A, [("event_msg", {"message": "named"})]),
        lambda home: messages(locate(home, A))[-1] == "named",
    ),
    "a name": Use(empty_home, lambda home: record_name(home, A, "name"), lambda home: read_names(home) == {A: "name"}),
    "archiving": Use(
        paginated,
        lambda home: archive(home, A),
        lambda home: locate(home, A) is None and locate_archived(home, A) is not None,
        (NoRollout,),
    ),
    "bringing back": Use(
        archived,
        lambda home: unarchive(home, A),
        lambda home: locate(home, A) is not None and locate_archived(home, A) is None,
        (NoArchivedRollout,),
    ),
    "deleting": Use(
        paginated,
        delete,
        lambda home: locate(home, A) is None and not any(read_names(home).values()),
    ),
    "forking": Use(stored, fork, lambda home: messages(locate(home, B)) == ["t1", "t2", "closing"]),
    "reverting": Use(lambda home: stored(home, paginated=True), revert, reverted, (UnknownTurn,)),
    "a setting": Use(
        old_config, set_model, lambda home: home.config_file.read_text() == '# mine\nmodel = "new"\n'
    ),
    "a written value": Use(
        old_config,
        lambda home: write_values(ConfigLoader(home), [Edit(("model",), "new")]),
        lambda home: home.config_file.read_text() == '# mine\nmodel = "new"\n',
    ),
    "a first setting": Use(empty_home, set_model, lambda home: home.config_file.read_text() == 'model = "new"\n'),
    "approving a project": Use(project, lambda home: approve_project(home, "project"), approved),
    "logging in": Use(
        logged_in,
        lambda home: CredentialStore(home).login_api_key("new"),
        lambda home: CredentialStore(home).api_key() == "new",
    ),
    "logging out": Use(logged_in, log_out, lambda home: CredentialStore(home).read() is None),
    "a rule": Use(empty_home, lambda home: allow_prefix(home.path / "rules", ("ls",)), ruled),
    "programs": Use(
        empty_home,
        lambda home: programs(home.path),
        lambda home: len(list((home.spindle / "commands").glob("*/*patch"))) == 2,
    ),
    "installing a plugin": Use(
        unplugged,
        lambda home: PluginCache(home).install(PluginId("alpha", "mk"), home.path.parent / "source" / "alpha"),
        lambda home: PluginCache(home).root(PluginId("alpha", "mk")) is not None,
        (PluginError,),
    ),
    "removing a plugin": Use(
        plugged,
        lambda home: PluginCache(home).remove(PluginId("alpha", "mk")),
        lambda home: PluginCache(home).root(PluginId("alpha", "mk")) is None,
    ),
    "the tokens of an MCP server": Use(
        empty_home,
        lambda home: McpTokenStore(home).keep(MCP_TOKENS),
        lambda home: McpTokenStore(home).read("web", "https://example.test/") == MCP_TOKENS,
    ),
    "a list of models": Use(
        empty_home,
        lambda home: keep_list(home, "p", "1", ModelList([], None, 0)),
        lambda home: read_list(home, "p", "1") is not None,
        promises=False,
    ),
    "the index": Use(stored, page, lambda home: True, promises=False),
}
ERRORS = (OSError, JournalError, ConfigError, IndexUnavailable, NotListed)


def fresh(tmp_path: Path, number: int, use: Use) -> Home:
    home = Home(tmp_path / str(number))
    home.path.mkdir()
    use.prepare(home)
    return home


def check(home: Home, failed: str | None) -> None:
    """The invariants after each run."""
    assert open_in(home.path) == []
    for path in home.path.rglob("*"):
        if path.is_dir():
            continue
        unfinished = path.name.startswith(".") or path.suffix in (".part", ".tmp")
        if path == home.path / ".credentials.json":
            unfinished = False
        elif path.is_relative_to(cache := home.path / "plugins/cache"):  # a plugin's own files may begin with a dot
            left = any(part.startswith(".") for part in path.relative_to(cache).parts[:3])
            unfinished = left and failed not in ("open", "stat", "lstat", "fstat", "close")  # the next change removes it
        assert failed in ("unlink", "rmdir") or not unfinished, path
        if path.name.startswith("rollout-") and path.suffix == ".jsonl":
            *whole, _ = path.read_bytes().split(b"\n")
            assert None not in [decode_line(line) for line in whole], path
    lock = Journal(home.path / "probe" / "r.jsonl", home.lock_file(A))
    lock.begin()
    lock.end()
    shutil.rmtree(home.path / "probe")


@pytest.mark.parametrize("name", USES)
def test_each_call_fails_once(tmp_path: Path, name: str) -> None:
    use = USES[name]
    home = fresh(tmp_path, 0, use)
    clean = Faults(home.path)
    with clean.armed():
        use.act(home)
    assert use.done(home)
    assert clean.calls
    check(home, None)
    number = 0
    for at in range(len(clean.calls)):
        ways = WRITE_FAULTS if clean.calls[at] == "write" else FAULTS
        for fault in ways if ALL else (ways[(at + len(name)) % len(ways)],):
            number += 1
            home = fresh(tmp_path, number, use)
            faults = Faults(home.path, at, fault)
            error: Exception | None = None
            with faults.armed():
                try:
                    use.act(home)
                except ERRORS as raised:
                    error = raised
            told = f"{faults.failed} number {at} failed with {fault}: {error!r}"
            try:
                if error is None and use.promises:
                    assert use.done(home), told
                    assert faults.failed not in SYNCS, f"not on disk, and said to be: {told}"
                check(home, faults.failed)
                try:
                    use.act(home)
                except use.settled:
                    assert error is None, "it was done, and said not to be"
                assert use.done(home), told
                check(home, faults.failed)
            except Exception as wrong:
                raise AssertionError(told) from wrong
            shutil.rmtree(home.path)


@pytest.mark.parametrize("ask", ["index", "files by creation", "files by change", "lineage"])
def test_without_free_descriptors_a_list_fails_and_omits_no_thread(tmp_path: Path, ask: str) -> None:
    home = Home(tmp_path / "home")
    stored(home)
    child = rollout(home).with_name(NAME.replace(A, B))
    source = {"subagent": {"thread_spawn": {"parent_thread_id": A, "depth": 1}}}
    child.write_bytes(encode_line("session_meta", {"id": B, "source": source}) + user_line("hi"))

    def asked() -> int:
        if ask == "index":
            index = ThreadIndex(home)
            try:
                found = index.page(ThreadQuery(source_kinds=["subAgent"]))
                return len(found.data) if found is not None else -1
            finally:
                index.close()
        if ask == "lineage":
            return len(lineage(home, A).descendants)
        order: Any = "updated_at" if ask == "files by change" else "created_at"
        query = ThreadQuery(source_kinds=["subAgent"], sort_key=order)
        return len(list_threads(home, query).data)

    clean = Faults(home.path)
    with clean.armed():
        assert asked() == 1
    for at in range(len(clean.calls)):
        shutil.rmtree(home.spindle, ignore_errors=True)
        with Faults(home.path, at, errno.EMFILE).armed(), contextlib.suppress(OSError, IndexUnavailable):
            assert asked() == 1
        assert asked() == 1
