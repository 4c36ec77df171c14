"""Damaged histories, full disks and homes that cannot be written to, through a daemon: docs/files.md, "Damage"."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from attrs import field, frozen
from benchmarks.driving import completed, created, message_done

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from .client import Client
    from .model import Endpoint
    from .process import Daemon

Turns = list[tuple[str, str, list[str]]]
NOT_SAVED = "the thread's history could not be saved: "


def line(kind: str, **payload: Any) -> bytes:
    entry = {"timestamp": "2025-01-05T12:00:00.000Z", "type": kind, "payload": payload}
    return json.dumps(entry, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def turn(id: str, asked: str, answer: str) -> list[bytes]:
    return [
        line("event_msg", type="task_started", turn_id=id, started_at=1),
        line("response_item", type="message", role="user", content=[{"type": "input_text", "text": asked}]),
        line("event_msg", type="user_message", message=asked, images=[], local_images=[], text_elements=[]),
        line("event_msg", type="agent_message", message=answer),
        line("response_item", type="message", role="assistant", content=[{"type": "output_text", "text": answer}]),
        line("event_msg", type="task_complete", turn_id=id, completed_at=2, duration_ms=1),
    ]


def lines(id: str) -> list[bytes]:
    """A thread of two turns."""
    meta = {"id": id, "timestamp": "2025-01-05T12:00:00.000Z", "cwd": "/", "originator": "o", "cli_version": "0"}
    head = line("session_meta", **meta, source="cli", model_provider="scripted")
    return [head, *turn("t1", "one", "eins"), *turn("t2", "two", "zwei")]


def thread_of(number: int) -> str:
    return f"00000000-0000-7000-8000-{number:012d}"


def place(home: Path, id: str) -> Path:
    """Where the rollout of a thread goes."""
    folder = home / "sessions/2025/01/05"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"rollout-2025-01-05T12-00-00-{id}.jsonl"


def shown(thread: dict[str, Any]) -> Turns:
    """(id, status, texts) of each turn."""
    return [(entry["id"], entry["status"], [said(item) for item in entry["items"]]) for entry in thread["turns"]]


def said(item: dict[str, Any]) -> str:
    return str(item["text"] if "text" in item else "".join(part["text"] for part in item["content"]))


def read(client: Client, id: str) -> Turns:
    return shown(client.call("thread/read", threadId=id, includeTurns=True)["thread"])


def status(client: Client, id: str) -> str:
    return str(client.call("thread/read", threadId=id)["thread"]["status"]["type"])


def listed(client: Client) -> set[str]:
    return {thread["id"] for thread in client.call("thread/list", limit=100)["data"]}


def records(path: Path) -> list[dict[str, Any]]:
    """The lines of a file that is whole."""
    data = path.read_bytes()
    assert data.endswith(b"\n")
    return [json.loads(raw) for raw in data.splitlines()]


def index(home: Path) -> None:
    """Run `spindle index`."""
    environment = {**os.environ, "CODEX_HOME": str(home)}
    subprocess.run([sys.executable, "-m", "spindle", "index"], env=environment, check=True, timeout=60)


# -- what can be read all the same

ONE = ("t1", "completed", ["one", "eins"])
TWO = ("t2", "completed", ["two", "zwei"])


@frozen
class Damage:
    """`data` makes of the lines what is in the file; `turns` are shown; `kept` is moved aside by the next writer."""

    data: Callable[[list[bytes]], bytes]
    turns: Turns = field(factory=lambda: [ONE, TWO])
    kept: bytes | None = None
    found: bool = True
    """Whether a search for "two" finds it."""


def joined(parts: Sequence[bytes]) -> bytes:
    return b"".join(parts)


DAMAGES = {
    "a torn last line": Damage(
        lambda all: joined(all)[:-10], [ONE, ("t2", "interrupted", ["two", "zwei"])], turn("t2", "two", "zwei")[-1][:-10]
    ),
    "no newline at the end": Damage(lambda all: joined(all)[:-1]),
    "a newline missing in the middle": Damage(lambda all: joined([*all[:8], all[8][:-1], *all[9:]])),
    "half a record before the record": Damage(lambda all: joined([*all[:9], all[9][:-9], *all[9:]])),
    "half a record before the first": Damage(lambda all: joined([all[0][:-9], *all])),
    "no UTF-8": Damage(
        lambda all: joined(all).replace(b"two", b"t\xffo"), [ONE, ("t2", "completed", ["t\ufffdo", "zwei"])], found=False
    ),
    "a line separator in a text": Damage(
        lambda all: joined(all).replace(b"zwei", "zw\u2028ei".encode()), [ONE, ("t2", "completed", ["two", "zw\u2028ei"])]
    ),
    "zeros before a record": Damage(lambda all: joined([*all[:9], b"\0" * 4096, *all[9:]])),
    "zeros before the first": Damage(lambda all: b"\0" * 4096 + joined(all)),
    "zeros at the end": Damage(lambda all: joined(all) + b"\0" * 4096, kept=b"\0" * 4096),
    "no records": Damage(lambda all: joined([*all[:7], b"garbage\n", b'{"no":"record"}\n', *all[7:]])),
    "a record twice": Damage(
        lambda all: joined([*all[:10], all[9], *all[10:]]), [ONE, ("t2", "completed", ["two", "two", "zwei"])]
    ),
    "turns of one id": Damage(
        lambda all: joined(all).replace(b'"t2"', b'"t1"'), [ONE, ("t1", "completed", ["two", "zwei"])]
    ),
}


def test_what_can_be_read_of_a_damaged_rollout_is_shown_and_gone_on_with(
    launch: Callable[..., Daemon], home: Path, endpoint: Endpoint
) -> None:
    threads = {thread_of(number): damage for number, damage in enumerate(DAMAGES.values())}
    for id, damage in threads.items():
        place(home, id).write_bytes(damage.data(lines(id)))
    client = launch().client(experimentalApi=True)
    assert listed(client) == set(threads)
    for (id, damage), name in zip(threads.items(), DAMAGES, strict=True):
        path, before = place(home, id), place(home, id).read_bytes()
        hits = {hit["thread"]["id"] for hit in client.call("thread/search", searchTerm="two")["data"]}
        assert (id in hits) == damage.found, name
        assert read(client, id) == damage.turns, name
        pages = client.call("thread/turns/list", threadId=id, sortDirection="asc", limit=1)
        pages["data"] += client.call(
            "thread/turns/list", threadId=id, sortDirection="asc", cursor=pages["nextCursor"]
        )["data"]
        assert shown({"turns": pages["data"]}) == damage.turns, name
        assert shown(client.call("thread/resume", threadId=id)["thread"]) == damage.turns, name
        assert path.read_bytes() == before, name
        ended = client.run_turn(id, "three")
        assert ended["status"] == "completed", name
        asked = [item["content"][0]["text"] for item in endpoint.requests.entries[-1]["input"]]
        assert [text for text in asked if text in ("one", "eins", "two", "zwei")][:2] == ["one", "eins"], name
        assert read(client, id) == [*damage.turns, (ended["id"], "completed", ["three", "You said: three"])], name
        aside = path.with_name(path.name + ".torn")
        assert (aside.read_bytes() if aside.exists() else None) == (damage.kept and damage.kept + b"\n"), name
        kept = before[: len(before) - len(damage.kept or b"")]
        assert path.read_bytes().startswith(kept if kept.endswith(b"\n") else kept + b"\n"), name
    assert listed(client) == set(threads)
    index(home)


# -- what cannot be read


def a_file(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


UNREADABLE: dict[str, tuple[Callable[[Path], object], str]] = {
    "an empty file": (a_file(b""), "empty"),
    "blank lines": (a_file(b"\n\n"), "is empty"),
    "no session_meta": (a_file(joined(lines("x")[1:])), "does not start with session metadata"),
    "a torn session_meta": (a_file(lines("x")[0][:-9]), "does not start with session metadata"),
    "garbage": (a_file(b"\x01\x02"), "does not start with session metadata"),
    "a folder": (Path.mkdir, "Is a directory"),
    "a link to nothing": (lambda path: path.symlink_to(path.with_name("nothing")), "No such file or directory"),
    "a pipe": (os.mkfifo, "Not a regular file"),
    "a device": (lambda path: path.symlink_to("/dev/zero"), "Not a regular file"),
    "damaged compression": (
        lambda path: path.with_name(path.name + ".zst").write_bytes(b"\x28\xb5\x2f\xfdgarbage"),
        "damaged compression",
    ),
}


def test_what_cannot_be_read_is_an_error_that_names_it_and_nothing_waits_for_it(
    launch: Callable[..., Daemon], home: Path
) -> None:
    for number, (make, _) in enumerate(UNREADABLE.values(), 1):
        make(place(home, thread_of(number)))
    place(home, thread_of(0)).write_bytes(joined(lines(thread_of(0))))
    before = contents(home)
    client = launch().client(experimentalApi=True)
    assert listed(client) == {thread_of(0)}
    for number, (name, (_, reason)) in enumerate(UNREADABLE.items(), 1):
        id = thread_of(number)
        for method, params in (
            ("thread/read", {}),
            ("thread/read", {"includeTurns": True}),
            ("thread/turns/list", {}),
            ("thread/resume", {}),
            ("thread/resume", {"path": str(place(home, id))}),
            ("thread/name/set", {"name": "named"}),
            ("thread/metadata/update", {"gitInfo": {"branch": "b"}}),
            ("thread/fork", {}),
            ("turn/start", {"input": [{"type": "text", "text": "x"}]}),
        ):
            message = client.refusal(method, threadId=id, **params).message
            assert reason in message or method == "turn/start", (name, method, message)
            assert id in message, (name, method, message)
    assert len(client.call("thread/search", searchTerm="two")["data"]) == 1
    assert contents(home) == before
    assert listed(client) == {thread_of(0)}
    index(home)


def test_an_id_that_leads_elsewhere_is_refused_and_touches_nothing(
    launch: Callable[..., Daemon], home: Path, tmp_path: Path
) -> None:
    stranger = tmp_path / "project/poetry.lock"
    stranger.parent.mkdir()
    stranger.write_text("[[package]]\n")
    (home / "thread-writer-locks").mkdir()
    relative = os.path.relpath(stranger.with_suffix(""), home / "thread-writer-locks")
    bad = tmp_path / "bad.jsonl"
    bad.write_bytes(joined(lines(thread_of(1))).replace(thread_of(1).encode(), relative.encode()))
    client = launch().client(experimentalApi=True)
    for method in ("thread/resume", "thread/fork"):
        refused = client.refusal(method, threadId=thread_of(2), path=str(bad))
        assert "does not start with session metadata" in refused.message
    assert stranger.read_text() == "[[package]]\n"
    assert list(stranger.parent.iterdir()) == [stranger]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_a_file_that_we_may_not_read(client: Client, home: Path) -> None:
    path = place(home, thread_of(1))
    path.write_bytes(joined(lines(thread_of(1))))
    path.chmod(0)
    assert listed(client) == set()
    for method in ("thread/read", "thread/resume", "thread/name/set"):
        params = {"name": "named"} if method == "thread/name/set" else {}
        assert "Permission denied" in client.refusal(method, threadId=thread_of(1), **params).message


def test_a_compressed_rollout_is_made_plain_before_it_is_written_to(client: Client, home: Path) -> None:
    zstandard = pytest.importorskip("zstandard")
    for number in range(3):
        data = zstandard.compress(joined(lines(thread_of(number))))
        place(home, thread_of(number)).with_suffix(".jsonl.zst").write_bytes(data)
    client.call("thread/name/set", threadId=thread_of(0), name="named")
    client.call("thread/metadata/update", threadId=thread_of(1), gitInfo={"branch": "b"})
    fork = client.call("thread/fork", threadId=thread_of(2))["thread"]
    assert shown(fork) == [ONE, TWO]
    assert all(read(client, thread_of(number)) == [ONE, TWO] for number in range(3))
    names = {thread["id"]: thread["name"] for thread in client.call("thread/list")["data"]}
    assert names[thread_of(0)] == "named"
    assert not list(home.rglob("*.torn"))


def contents(home: Path) -> dict[str, bytes | None]:
    """What is in the folders of rollouts."""
    return {str(path): path.read_bytes() if is_plain(path) else None for path in home.glob("sessions/**/*")}


def is_plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


# -- disks that are full


@pytest.fixture
def limit(daemon: Daemon) -> Callable[[int], None]:
    """limit(n) -> no file of the daemon grows beyond n bytes; limit(-1) lifts that."""
    if not hasattr(resource, "prlimit"):
        pytest.skip("limits of other processes cannot be set here")

    def limit(size: int) -> None:
        hard = resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE)[1]
        resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE, (size, hard))

    return limit


@pytest.fixture
def files(daemon: Daemon) -> Client:
    return daemon.client(experimentalApi=True)


def refused_to_save(client: Client, method: str, **params: Any) -> None:
    assert "could not be saved: " in client.refusal(method, **params).message


def test_a_first_append_that_finds_no_room(files: Client, limit: Callable[[int], None], endpoint: Endpoint) -> None:
    """Neither of a new thread, of which nothing is left, nor of one that has turns."""
    new, old = files.start_thread(), files.start_thread()
    files.run_turn(old["id"], "first")
    before = Path(old["path"]).read_bytes()
    limit(0)
    for thread in (new, old):
        ended = files.run_turn(thread["id"], "lost")
        assert ended["status"] == "failed"
        assert ended["error"]["message"].startswith(NOT_SAVED)
        assert "File too large" in ended["error"]["message"]
        assert status(files, thread["id"]) == "systemError"
    assert not Path(new["path"]).exists()
    assert Path(old["path"]).read_bytes() == before
    limit(-1)
    for thread in (new, old):
        ended = files.run_turn(thread["id"], "again")
        assert ended["status"] == "completed"
        assert status(files, thread["id"]) == "idle"
        assert records(Path(thread["path"]))[0]["type"] == "session_meta"
        assert read(files, thread["id"])[-1] == (ended["id"], "completed", ["again", "You said: again"])
        told = "".join(part["text"] for item in endpoint.requests.entries[-1]["input"] for part in item["content"])
        assert "<environment_context>" in told
        assert "lost" not in told


def test_no_room_in_the_middle_of_a_turn_ends_it(
    files: Client, limit: Callable[[int], None], endpoint: Endpoint
) -> None:
    thread = files.start_thread()
    path = Path(thread["path"])
    files.run_turn(thread["id"], "first")
    since = files.now
    id = files.hold_turn(thread["id"])
    before = path.read_bytes()
    limit(len(before) + 20)  # room for a part of a line
    endpoint.release()
    ended = files.hear("turn/completed", thread["id"], id, since)["turn"]
    assert ended["status"] == "failed"
    assert ended["error"]["message"].startswith(NOT_SAVED)
    assert files.hear("error", thread["id"], id, since)["error"] == ended["error"]
    assert status(files, thread["id"]) == "systemError"
    assert path.read_bytes() == before
    limit(-1)
    again = files.run_turn(thread["id"], "again")
    assert again["status"] == "completed"
    assert records(path)[0]["type"] == "session_meta"
    turns = read(files, thread["id"])
    assert turns[1] == (id, "interrupted", ["hold on"])
    assert turns[2] == (again["id"], "completed", ["again", "You said: again"])


def test_no_room_for_the_closing_lines_fails_the_turn(
    files: Client, limit: Callable[[int], None], endpoint: Endpoint
) -> None:
    thread = files.start_thread()
    path = Path(thread["path"])

    def script() -> Iterator[list[dict[str, Any]]]:
        yield [created(), message_done("a"), completed()]

    endpoint.scripts["sized"] = script
    files.run_turn(thread["id"], "sized")
    sized = files.run_turn(thread["id"], "sized")  # the first one said what surrounds the thread
    end = next(raw for raw in path.read_bytes().splitlines() if sized["id"].encode() in raw and b"task_complete" in raw)
    grown = path.stat().st_size
    before = files.run_turn(thread["id"], "sized")
    assert before["status"] == "completed"
    size = path.stat().st_size
    limit(size + (size - grown) - len(end) // 2)
    ended = files.run_turn(thread["id"], "sized")
    assert ended["status"] == "failed"
    assert ended["error"]["message"].startswith(NOT_SAVED)
    records(path)
    limit(-1)
    assert files.run_turn(thread["id"], "again")["status"] == "completed"
    records(path)
    assert read(files, thread["id"])[3] == (ended["id"], "interrupted", ["sized", "a"])


def test_changes_outside_of_turns_that_find_no_room_change_nothing(files: Client, limit: Callable[[int], None]) -> None:
    thread, stored = files.start_thread(), files.start_thread()
    for each in (thread, stored):
        files.run_turn(each["id"], "first")
    since = files.now
    files.call("thread/unsubscribe", threadId=stored["id"])
    files.hear("thread/closed", stored["id"], None, since)
    paths = [Path(each["path"]) for each in (thread, stored)]
    before = [path.read_bytes() for path in paths]
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "injected"}]}
    limit(min(map(len, before)) + 30)
    for each in (thread, stored):
        refused_to_save(files, "thread/name/set", threadId=each["id"], name="named")
        refused_to_save(files, "thread/metadata/update", threadId=each["id"], gitInfo={"branch": "b"})
        refused_to_save(files, "thread/memoryMode/set", threadId=each["id"], mode="disabled")
        refused_to_save(files, "thread/fork", threadId=each["id"])
    refused_to_save(files, "thread/rollback", threadId=thread["id"], numTurns=1)
    refused_to_save(files, "thread/inject_items", threadId=thread["id"], items=[item])
    refused_to_save(files, "thread/settings/update", threadId=thread["id"], model="other-model")
    refused_to_save(files, "thread/resume", threadId=thread_of(1), history=[item] * 40)
    since = files.now
    files.call("thread/compact/start", threadId=thread["id"])
    ended = files.hear("turn/completed", thread["id"], None, since)["turn"]
    assert (ended["status"], ended["error"]["message"][: len(NOT_SAVED)]) == ("failed", NOT_SAVED)
    assert [path.read_bytes() for path in paths] == before
    assert sorted(path.name for path in paths[0].parent.iterdir()) == sorted(path.name for path in paths)
    assert listed(files) == {thread["id"], stored["id"]}
    assert "not available" in files.refusal("thread/goal/set", threadId=thread["id"], objective="o" * 4000).message

    limit(-1)
    summary = files.call("thread/read", threadId=thread["id"])["thread"]
    assert (summary["name"], summary["gitInfo"]) == (None, None)
    assert len(read(files, thread["id"])) == 1
    files.call("thread/inject_items", threadId=thread["id"], items=[item])
    files.call("thread/name/set", threadId=stored["id"], name="named")
    files.call("thread/rollback", threadId=thread["id"], numTurns=1)
    assert files.run_turn(thread["id"], "again")["status"] == "completed"
    for path in paths:
        records(path)


def test_items_that_were_not_saved_did_not_tell_the_model_its_context(
    files: Client, limit: Callable[[int], None], endpoint: Endpoint
) -> None:
    thread = files.start_thread(developerInstructions="Mind the gap.")
    files.call("thread/memoryMode/set", threadId=thread["id"], mode="enabled")
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "injected"}]}
    limit(Path(thread["path"]).stat().st_size)
    refused_to_save(files, "thread/inject_items", threadId=thread["id"], items=[item])
    limit(-1)
    files.run_turn(thread["id"], "again")
    told = "".join(part["text"] for entry in endpoint.requests.entries[-1]["input"] for part in entry["content"])
    assert "<environment_context>" in told
    assert told.count("Mind the gap.") == 1
    assert "injected" not in told


def test_instructions_that_could_not_be_saved_are_told_by_the_next_turn(
    files: Client, home: Path, limit: Callable[[int], None], endpoint: Endpoint
) -> None:
    thread = files.start_thread()
    files.run_turn(thread["id"], "first")
    files.call("thread/unsubscribe", threadId=thread["id"])
    files.hear("thread/closed", thread["id"])
    files.call("thread/resume", threadId=thread["id"], developerInstructions="Mind the gap.")
    limit(Path(thread["path"]).stat().st_size)
    assert files.run_turn(thread["id"], "lost")["status"] == "failed"
    limit(-1)
    files.run_turn(thread["id"], "again")
    told = "".join(part["text"] for entry in endpoint.requests.entries[-1]["input"] for part in entry["content"])
    assert told.count("Mind the gap.") == 1


# -- files that others change


def other_turn(path: Path) -> bytes:
    return joined([*path.read_bytes().splitlines(keepends=True)[:1], *turn("other", "elsewhere", "anderswo")])


def removed(path: Path) -> None:
    path.unlink()


def shortened(path: Path) -> None:
    path.write_bytes(other_turn(path)[:-1])


def rewritten(path: Path) -> None:
    path.write_bytes(other_turn(path) + joined(turn("long", "l" * 9000, "r")))


def replaced(path: Path) -> None:
    new = path.with_name("new")
    new.write_bytes(other_turn(path))
    os.replace(new, path)


def test_a_rollout_that_is_changed_under_an_idle_thread_is_read_anew(files: Client, endpoint: Endpoint) -> None:
    for change in (shortened, replaced):
        thread = files.start_thread()
        files.run_turn(thread["id"], "first")
        change(Path(thread["path"]))
        elsewhere = ("other", "completed", ["elsewhere", "anderswo"])
        assert read(files, thread["id"]) == [elsewhere]
        ended = files.run_turn(thread["id"], "more")
        assert ended["status"] == "completed"
        assert read(files, thread["id"]) == [elsewhere, (ended["id"], "completed", ["more", "You said: more"])]
        asked = [item["content"][-1]["text"] for item in endpoint.requests.entries[-1]["input"]]
        assert "elsewhere" in asked
        assert "first" not in asked
        assert records(Path(thread["path"]))[0]["type"] == "session_meta"


def test_a_rollout_that_is_gone_is_an_error_for_whatever_needs_it(files: Client, home: Path) -> None:
    thread = files.start_thread()
    id, path = thread["id"], Path(thread["path"])
    files.run_turn(id, "first")
    removed(path)
    for method, params in (
        ("thread/read", {"includeTurns": True}),
        ("thread/turns/list", {}),
        ("thread/name/set", {"name": "named"}),
        ("thread/rollback", {"numTurns": 1}),
        ("thread/metadata/update", {"gitInfo": {"branch": "b"}}),
    ):
        message = files.refusal(method, threadId=id, **params).message
        assert path.name in message, (method, message)
    assert listed(files) == set()
    ended = files.run_turn(id, "second")
    assert ended["status"] == "failed"
    assert "is gone" in ended["error"]["message"]
    assert not path.exists()
    files.call("thread/unsubscribe", threadId=id)
    files.hear("thread/closed", id)
    assert "no rollout found" in files.refusal("thread/resume", threadId=id).message


@pytest.mark.parametrize("change", [removed, shortened, rewritten, replaced])
def test_a_rollout_that_is_changed_under_a_running_turn(
    files: Client, endpoint: Endpoint, change: Callable[[Path], None]
) -> None:
    thread = files.start_thread()
    id, path = thread["id"], Path(thread["path"])
    files.run_turn(id, "first")
    since = files.now
    held = files.hold_turn(id)
    change(path)
    endpoint.release()
    ended = files.hear("turn/completed", id, held, since)["turn"]
    if change is rewritten:
        assert ended["status"] == "completed"  # what was written since is there
    else:
        assert ended["status"] == "failed"
        assert ended["error"]["message"].startswith(NOT_SAVED)
    if change is removed:
        assert not path.exists()
        return
    again = files.run_turn(id, "again")
    assert again["status"] == "completed"
    assert read(files, id)[-1] == (again["id"], "completed", ["again", "You said: again"])
    assert read(files, id)[0] == ("other", "completed", ["elsewhere", "anderswo"])


# -- homes that cannot be written to


@pytest.fixture
def read_only(launch: Callable[..., Daemon], home: Path) -> Callable[[], Daemon]:
    """Launches a daemon to which the home is mounted read-only."""
    script = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && cd "$1" && shift && exec "$@"'
    prefix = ["unshare", "-rm", "sh", "-c", script, "sh", str(home)]
    if shutil.which("unshare") is None or subprocess.run([*prefix, "true"], capture_output=True).returncode:
        pytest.skip("no mounts of our own can be made here")
    return lambda: launch(prefix=prefix)


@pytest.mark.parametrize("used", [False, True])
def test_a_home_that_cannot_be_written_to_can_be_looked_at(
    read_only: Callable[[], Daemon], launch: Callable[..., Daemon], home: Path, used: bool
) -> None:
    """Also one in which there are an index and a state already."""
    for number in range(2):
        place(home, thread_of(number)).write_bytes(joined(lines(thread_of(number))))
    if used:
        earlier = launch()
        client = earlier.client(experimentalApi=True)
        client.call("threadSection/create", name="a section", appearance=None)
        listed(client)
        client.join()
        earlier.wait()
        index(home)
    before = sorted(home.rglob("*"))
    client = read_only().client(experimentalApi=True)
    loaded, stored = thread_of(0), thread_of(1)
    assert listed(client) == {loaded, stored}
    assert read(client, stored) == [ONE, TWO]
    assert len(client.call("thread/turns/list", threadId=stored)["data"]) == 2
    assert len(client.call("thread/search", searchTerm="two")["data"]) == 2
    assert shown(client.call("thread/resume", threadId=loaded)["thread"]) == [ONE, TWO]
    new = client.start_thread()["id"]
    for id in (loaded, new):
        ended = client.run_turn(id, "lost")
        assert ended["status"] == "failed"
        assert ended["error"]["message"].startswith(NOT_SAVED)
        assert "Read-only file system" in ended["error"]["message"]
        assert status(client, id) == "systemError"
    for id in (loaded, stored):
        for method, params in (
            ("thread/name/set", {"name": "named"}),
            ("thread/metadata/update", {"gitInfo": {"branch": "b"}}),
            ("thread/memoryMode/set", {"mode": "disabled"}),
            ("thread/fork", {}),
            ("thread/goal/set", {"objective": "o"}),
            ("thread/archive", {}),
        ):
            message = client.refusal(method, threadId=id, **params).message
            assert any(word in message for word in ("Read-only file system", "readonly", "unable to open")), message
        assert read(client, id) == [ONE, TWO]
    ephemeral = client.start_thread(ephemeral=True)["id"]
    assert client.run_turn(ephemeral, "said")["status"] == "completed"
    assert sorted(home.rglob("*")) == before
