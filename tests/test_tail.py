"""`spindle tail`: the last turns of a thread, and what is added to its file, whatever happens to the file."""

import fcntl
import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import zstandard

from spindle.rpc.lenient import Json
from spindle.rpc.protocol.converter import structure
from spindle.rpc.protocol.turns import ItemCompletedNotification, TurnCompletedNotification
from spindle.storage.home import Home
from spindle.storage.rollout import records, writer_lock
from spindle.storage.rollout.lines import encode_line
from spindle.storage.rollout.reading import OpenRollout
from spindle.storage.rollout.records import Entry
from spindle.storage.threads.names import record_name
from spindle.tail import following, json_lines, main, show
from spindle.tail.finding import SHOWN, NotFound, find
from spindle.tail.following import Follower
from spindle.tail.text import lines_of

THREAD = "0199a213-81c0-7800-8aa1-bbab2a035a53"
DAY = "2025/10/01"
NAME = f"rollout-2025-10-01T12-00-00-{THREAD}.jsonl"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    (tmp_path / "sessions" / DAY).mkdir(parents=True)
    return Home(tmp_path)


class File:
    """The rollout of a thread, written as another program writes it."""

    def __init__(self, home: Home, name: str = NAME, thread_id: str = THREAD) -> None:
        self.path = home.sessions / DAY / name
        self.add(records.session_meta({"id": thread_id, "cwd": "/", "source": "cli", "model_provider": "p"}))

    def add(self, *entries: Entry) -> None:
        with self.path.open("ab") as file:
            file.write(b"".join(encode_line(*entry) for entry in entries))

    def begin(self, id: str, text: str) -> None:
        started = {"type": "task_started", "turn_id": id, "started_at": 1}
        self.add((records.EVENT_MSG, started), records.user_message(text, [], [], []))

    def say(self, text: str) -> None:
        self.add(records.agent_message(text))

    def end(self, id: str) -> None:
        self.add(records.task_complete(id, "done", 2, 1500, None))

    def turn(self, id: str) -> None:
        self.begin(id, f"ask {id}")
        self.say(f"answer {id}")
        self.end(id)


@pytest.fixture
def file(home: Home) -> File:
    return File(home)


@pytest.fixture(autouse=True)
def located(monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is located at each look."""
    monkeypatch.setattr(following, "LOCATED", 0.0)


def looked(follower: Follower) -> list[str]:
    """The lines of a look, without times and empty lines."""
    lines = [line for added in follower.look() for line in lines_of(added) if line]
    return [line.partition("  19")[0] for line in lines]


def test_the_last_turns_and_what_is_added(home: Home, file: File) -> None:
    for id in "abcd":
        file.turn(id)
    follower = Follower(home, THREAD, 2)
    assert looked(follower) == [
        *("── turn c", "user: ask c", "agent: answer c", "── completed  1.5 s"),
        *("── turn d", "user: ask d", "agent: answer d", "── completed  1.5 s"),
    ]
    assert looked(follower) == []
    file.begin("e", "more")
    assert looked(follower) == ["── turn e", "user: more"]
    file.say("one")
    file.say("two\nlines")
    assert looked(follower) == ["agent: one", "agent: two", "  lines"]
    with file.path.open("ab") as half:
        half.write(b'{"timestamp":"2025-10-01T12:00:00.000Z","type":"event_msg","payl')
    assert looked(follower) == []
    file.path.write_bytes(file.path.read_bytes().rpartition(b"\n")[0] + b"\n")
    file.add(records.token_count({"total_token_usage": {"total_tokens": 30}, "last_token_usage": {"total_tokens": 20}}))
    file.end("e")
    file.turn("f")
    assert looked(follower) == [
        "── completed  1.5 s",
        *("── turn f", "user: ask f", "agent: answer f", "── completed  1.5 s  30 tokens"),
    ]


def test_a_turn_that_runs_is_shown_even_if_no_turn_is_wanted(home: Home, file: File) -> None:
    file.turn("a")
    follower = Follower(home, THREAD, 0)
    assert looked(follower) == []
    file.begin("b", "now")
    assert looked(Follower(home, THREAD, 0)) == ["── turn b", "user: now"]
    assert looked(follower) == ["── turn b", "user: now"]


def archive(home: Home, file: File) -> None:
    home.archived_sessions.mkdir()
    file.path = file.path.rename(home.archived_sessions / NAME)


def compress(home: Home, file: File) -> None:
    data = zstandard.ZstdCompressor().compress(file.path.read_bytes())
    file.path.with_name(f"{NAME}.zst").write_bytes(data)
    file.path.unlink()


def decompress(home: Home, file: File) -> None:
    compress(home, file)
    looked(Follower(home, THREAD, 1))
    packed = file.path.with_name(f"{NAME}.zst")
    file.path.write_bytes(zstandard.ZstdDecompressor().decompressobj().decompress(packed.read_bytes()))
    packed.unlink()


@pytest.mark.parametrize("move", [archive, decompress])
def test_the_file_moves(home: Home, file: File, move: Any) -> None:
    file.turn("a")
    follower = Follower(home, THREAD, 1)
    looked(follower)
    move(home, file)
    assert looked(follower) == []
    file.turn("b")
    assert looked(follower) == ["── turn b", "user: ask b", "agent: answer b", "── completed  1.5 s"]


def test_a_compressed_past(home: Home, file: File) -> None:
    file.turn("a")
    follower = Follower(home, THREAD, 1)
    compress(home, file)
    assert looked(follower)[0] == "── turn a"
    assert looked(follower) == []


def test_turns_are_rolled_back(home: Home, file: File) -> None:
    for id in "abc":
        file.turn(id)
    follower = Follower(home, THREAD, 3)
    looked(follower)
    file.add(records.thread_rolled_back(2))
    file.begin("d", "again")
    assert looked(follower) == ["── turns were removed from the thread", "── turn d", "user: again"]
    file.add(records.thread_rolled_back(1))
    file.begin("e", "once more")
    assert looked(follower) == ["── turns were removed from the thread", "── turn e", "user: once more"]


def test_the_file_is_truncated_and_written_again(home: Home, file: File) -> None:
    file.turn("a")
    follower = Follower(home, THREAD, 1)
    looked(follower)
    file.path.unlink()
    again = File(home)
    for id in "xyz":
        again.turn(id)
    assert looked(follower)[:2] == ["── turns were removed from the thread", "── turn z"]
    assert looked(follower) == []


def test_the_thread_goes_on_in_a_newer_file(home: Home, file: File) -> None:
    """A paginated thread of Codex that was reverted."""
    file.path.unlink()
    segment = "0199a213-81c0-7800-8aa1-bbab2a035a99"
    first = home.sessions / DAY / NAME
    second = home.sessions / DAY / f"rollout-2025-10-01T13-00-00-{THREAD}_{segment}.jsonl"

    def write(path: Path, entries: list[Entry], start: int) -> None:
        with path.open("ab") as out:
            out.write(b"".join(encode_line(*entry, None, start + n) for n, entry in enumerate(entries)))

    def turn(id: str) -> list[Entry]:
        item = {"type": "UserMessage", "id": f"u{id}", "content": [{"type": "text", "text": f"ask {id}"}]}
        return [
            ("event_msg", {"type": "task_started", "turn_id": id, "started_at": 1}),
            records.item_completed(THREAD, id, item),
            records.task_complete(id, None, 2, 1500, None),
        ]

    meta = {"id": THREAD, "cwd": "/", "source": "cli", "model_provider": "p", "history_mode": "paginated"}
    write(first, [records.session_meta(meta), *turn("a")], 0)
    kept = first.stat().st_size
    write(first, turn("b"), 4)
    follower = Follower(home, THREAD, 2)
    assert [line for line in looked(follower) if line.startswith("user")] == ["user: ask a", "user: ask b"]
    base = {"history_base": {"thread_id": THREAD, "end_byte_offset": kept}, **meta}
    write(second, [records.session_meta(base), *turn("c")], 4)
    assert looked(follower) == [
        "── turns were removed from the thread",
        *("── turn c", "user: ask c", "── completed  1.5 s"),
    ]


def test_the_thread_is_deleted(home: Home, file: File) -> None:
    follower = Follower(home, THREAD, 1)
    looked(follower)
    file.path.unlink()
    with pytest.raises(FileNotFoundError, match="has been deleted"):
        looked(follower)


def test_only_new_turns_are_read(home: Home, file: File, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[list[int]] = []

    class Counting(OpenRollout):
        def turns(self, numbers: Sequence[int], live_turn_id: str | None = None) -> Iterator[Json]:
            read.append(list(numbers))
            return super().turns(numbers, live_turn_id)

    monkeypatch.setattr(following, "OpenRollout", Counting)
    for number in range(300):
        file.turn(f"t{number}")
    follower = Follower(home, THREAD, 2)
    looked(follower)
    file.turn("next")
    looked(follower)
    looked(follower)
    assert read == [[298, 299], [300]]


def shown(item: Any) -> list[str]:
    return [*lines_of(following.ItemAdded("t", item))]


def test_items_as_text() -> None:
    output = "".join(f"line {number}\n" for number in range(12))
    command = {"type": "commandExecution", "command": "make\nall", "status": "failed", "exitCode": 2, "durationMs": 1200}
    assert shown({**command, "aggregatedOutput": output}) == [
        "$ make\\nall  (exit 2, 1.2 s)",
        "  … 4 lines",
        *(f"  line {number}" for number in range(4, 12)),
    ]
    assert shown({"type": "commandExecution", "command": "x", "status": "declined"}) == ["$ x  (declined)"]
    change = {"path": "a.py", "kind": {"type": "update"}, "diff": "--- a\n+++ b\n@@\n+1\n+2\n-3\n"}
    assert shown({"type": "fileChange", "status": "completed", "changes": [change]}) == [
        "patch: completed",
        "  update a.py  +2 -1",
    ]
    call = {"type": "mcpToolCall", "server": "docs", "tool": "find", "status": "failed", "error": {"message": "no\x07"}}
    assert shown(call) == ["docs/find  (failed)", "  error: no\\x07"]
    agent = {"type": "collabAgentToolCall", "tool": "spawnAgent", "status": "completed", "receiverThreadIds": ["a"]}
    assert shown({**agent, "prompt": "do it"}) == ["agent: spawnAgent  (completed)  a", "  prompt: do it"]
    assert shown({"type": "reasoning", "summary": ["because"]}) == ["reasoning: because"]
    assert shown({"type": "reasoning", "summary": []}) == []
    text = {"type": "userMessage", "content": [{"type": "text", "text": "hi\x1b"}, {"type": "localImage", "path": "/a.png"}]}
    assert shown(text) == ["user: hi\\x1b", "  [localImage /a.png]"]
    assert shown({"type": "fromTheFuture\n"}) == ["· fromTheFuture\\n"]


def test_a_failed_turn_says_why() -> None:
    turn = {"id": "t", "status": "failed", "error": {"message": "the provider\nis gone"}, "durationMs": None}
    assert [*lines_of(following.TurnOver(turn, None))] == ["error: the provider", "  is gone", "── failed"]


def test_json_is_that_of_notifications(home: Home, file: File) -> None:
    file.turn("a")
    form = json_lines(THREAD)
    lines = [json.loads(line) for added in Follower(home, THREAD, 1).look() for line in form(added)]
    assert [line["method"] for line in lines] == ["turn/started", "item/completed", "item/completed", "turn/completed"]
    said = structure({**lines[2]["params"], "completedAtMs": 0}, ItemCompletedNotification)
    assert (said.thread_id, said.turn_id, said.item.type) == (THREAD, "a", "agentMessage")
    assert structure(lines[3]["params"], TurnCompletedNotification).turn.status == "completed"


def test_until_idle_ends_with_the_turn(home: Home, file: File, capsys: pytest.CaptureFixture[str]) -> None:
    """A turn runs as long as a process holds the lock of the thread."""
    file.begin("a", "go")
    home.locks.mkdir()
    lock = home.lock_file(THREAD).open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    lock.write(f"{os.getpid()} spindle".ljust(31) + "\n")
    lock.flush()
    steps = iter([lambda: file.say("well"), lambda: file.end("a"), *[lambda: None] * 2])
    slept = 0

    def sleep(seconds: float) -> None:
        nonlocal slept
        slept += 1
        next(steps)()

    show(Follower(home, THREAD, 1), lines_of, until_idle=True, sleep=sleep)
    assert capsys.readouterr().out.splitlines()[-2:] == ["agent: well", "── completed  1.5 s"]
    assert slept == 3  # what came between the last look and the end of the turn is looked at too
    file.begin("b", "cut off")  # its process is gone
    lock.close()
    show(Follower(home, THREAD, 1), lines_of, until_idle=True, sleep=sleep)
    assert slept == 4


def test_without_the_kernels_table_a_writer_is_one_that_lives(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside Linux, what a writer has written into the lock is all that is known."""
    monkeypatch.setattr(writer_lock, "pids_of_locks", dict)
    ended = subprocess.Popen(["true"])
    ended.wait()
    home.locks.mkdir()
    for pid, writes in ((os.getpid(), True), (ended.pid, False)):
        home.lock_file(THREAD).write_text(f"{pid} spindle".ljust(31) + "\n")
        assert writer_lock.has_writer(home.lock_file(THREAD)) is writes
        assert writer_lock.lock_holders(home.locks) == [(THREAD, pid, "spindle")]
    home.lock_file(THREAD).write_text("\n")
    assert not writer_lock.has_writer(home.lock_file(THREAD))
    assert writer_lock.lock_holders(home.locks) == []


def test_a_thread_is_found_by_id_beginning_and_name(home: Home, file: File) -> None:
    other = THREAD.replace("0199", "0198")
    File(home, NAME.replace(THREAD, other), other)
    record_name(home, other, "Fix the Tests")
    record_name(home, "0197a213-81c0-7800-8aa1-bbab2a035a53", "fix the tests")  # has no file
    for wanted in (THREAD, THREAD.upper(), "0199", "0199a213-81"):
        assert find(home, wanted) == THREAD
    assert find(home, "fix the tests") == other


def test_a_beginning_of_several_ids_lists_some(home: Home) -> None:
    ids = [THREAD[:-2] + f"{number:02}" for number in range(SHOWN + 2)]
    for id in ids:
        File(home, NAME.replace(THREAD, id), id)
    record_name(home, ids[-1], "bad\x1bname")
    with pytest.raises(NotFound) as several:
        find(home, "0199")
    first, newest, *others, more = str(several.value).splitlines()
    assert first == f"{SHOWN + 2} threads have this id or name:"
    assert newest == f"  {ids[-1]}  bad\\x1bname"
    assert (len(others), more) == (SHOWN - 1, "  and 2 more")


@pytest.mark.parametrize("wanted", ["nothing", "0198", "019", THREAD.replace("0199", "0198"), ""])
def test_an_unknown_thread(home: Home, file: File, capsys: pytest.CaptureFixture[str], wanted: str) -> None:
    assert main(wanted, str(home.path), turns=1, json=False, until_idle=True) == 1
    assert capsys.readouterr().err == f"spindle: no thread of {home.path} has this id or name: {wanted}\n"
