"""Damaged rollouts, through a daemon: docs/files.md, "Damage"."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from attrs import field, frozen

from .histories import (
    ONE,
    TWO,
    Turns,
    index,
    joined,
    lines,
    listed,
    place,
    read,
    shown,
    thread_of,
    turn,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from .client import Client
    from .model import Endpoint
    from .process import Daemon


@frozen
class Damage:
    """`data` damages the lines of a file. `turns` are shown then, and the next writer moves `kept` aside."""

    data: Callable[[list[bytes]], bytes]
    turns: Turns = field(factory=lambda: [ONE, TWO])
    kept: bytes | None = None
    found: bool = True
    """Whether a search for "two" finds it."""


DAMAGES = {
    "a torn last line": Damage(
        lambda all: joined(all)[:-10],
        [ONE, ("t2", "interrupted", ["two", "zwei"])],
        turn("t2", "two", "zwei")[-1][:-10],
    ),
    "no newline at the end": Damage(lambda all: joined(all)[:-1]),
    "a newline missing in the middle": Damage(lambda all: joined([*all[:8], all[8][:-1], *all[9:]])),
    "half a record before the record": Damage(lambda all: joined([*all[:9], all[9][:-9], *all[9:]])),
    "half a record before the first": Damage(lambda all: joined([all[0][:-9], *all])),
    "no UTF-8": Damage(
        lambda all: joined(all).replace(b"two", b"t\xffo"),
        [ONE, ("t2", "completed", ["t\ufffdo", "zwei"])],
        found=False,
    ),
    "a line separator in a text": Damage(
        lambda all: joined(all).replace(b"zwei", "zw\u2028ei".encode()),
        [ONE, ("t2", "completed", ["two", "zw\u2028ei"])],
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


def test_the_readable_part_of_a_damaged_rollout_is_shown_and_continued(
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
        pages["data"] += client.call("thread/turns/list", threadId=id, sortDirection="asc", cursor=pages["nextCursor"])[
            "data"
        ]
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


def test_an_unreadable_file_is_an_error_that_names_it_and_blocks_nothing(
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


def test_an_id_that_is_a_path_is_refused_and_touches_nothing(
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
def test_a_file_without_permission_to_read(client: Client, home: Path) -> None:
    path = place(home, thread_of(1))
    path.write_bytes(joined(lines(thread_of(1))))
    path.chmod(0)
    assert listed(client) == set()
    for method in ("thread/read", "thread/resume", "thread/name/set"):
        params = {"name": "named"} if method == "thread/name/set" else {}
        assert "Permission denied" in client.refusal(method, threadId=thread_of(1), **params).message


def test_a_compressed_rollout_is_decompressed_before_it_is_written(client: Client, home: Path) -> None:
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
    """The content of the folders of rollouts."""
    return {str(path): path.read_bytes() if is_plain(path) else None for path in home.glob("sessions/**/*")}


def is_plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()
