"""fuzzyFileSearch: once, and in sessions."""

import threading

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from spindle.actors.clients.files import searches
from spindle.storage import file_search


@pytest.fixture
def tree(tmp_path):
    root = tmp_path / "root"
    (root / "src").mkdir(parents=True)
    for name in ("main.py", "src/main_window.py", "other"):
        (root / name).write_text("")
    return root


def shown(root, path, score, indices, kind="file"):
    return {
        "root": str(root),
        "path": path,
        "match_type": kind,
        "file_name": path.rpartition("/")[2],
        "score": score,
        "indices": indices,
    }


async def test_a_search(client, tree):
    answer = await client.call("fuzzyFileSearch", query="main", roots=[str(tree)])
    assert answer == {
        "files": [
            shown(tree, "main.py", 109, [0, 1, 2, 3]),
            shown(tree, "src/main_window.py", 109, [4, 5, 6, 7]),
        ]
    }
    assert await client.call("fuzzyFileSearch", query="", roots=[str(tree)]) == {"files": []}
    assert await client.call("fuzzyFileSearch", query="main", roots=[]) == {"files": []}
    assert (await client.call("fuzzyFileSearch", query="src$", roots=["root"]))["files"] == [
        shown("root", "src", 84, [0, 1, 2], "directory")
    ]


async def test_a_search_ends_one_with_the_same_token(client, tree, monkeypatch):
    begun, stopped = threading.Event(), threading.Event()

    def endless(roots, found, check):
        begun.set()
        try:
            while True:
                check()
        finally:
            stopped.set()

    with monkeypatch.context() as patched:
        patched.setattr(searches, "walk", endless)
        first = client.ask("fuzzyFileSearch", query="main", roots=[str(tree)], cancellationToken="t")
        await trio.to_thread.run_sync(begun.wait)
    answer = await client.call("fuzzyFileSearch", query="main", roots=[str(tree)], cancellationToken="t")
    assert len(answer["files"]) == 2
    await trio.to_thread.run_sync(stopped.wait)
    assert {"id": first, "result": {"files": []}} in client.notes


async def test_a_session(client, tree):
    assert await client.call("fuzzyFileSearch/sessionStart", sessionId="s", roots=[str(tree)]) == {}
    updated, completed = "fuzzyFileSearch/sessionUpdated", "fuzzyFileSearch/sessionCompleted"
    assert await client.notification(updated) == {"sessionId": "s", "query": "", "files": []}
    assert await client.notification(completed) == {"sessionId": "s"}
    for query, count in (("main", 2), ("mainw", 1), ("mainw", 1), ("zzz", 0)):
        assert await client.call("fuzzyFileSearch/sessionUpdate", sessionId="s", query=query) == {}
        report = await client.notification(updated)
        assert (report["query"], len(report["files"])) == (query, count)
        assert await client.notification(completed) == {"sessionId": "s"}
    assert await client.call("fuzzyFileSearch/sessionStop", sessionId="s") == {}
    assert await client.call("fuzzyFileSearch/sessionStop", sessionId="s") == {}
    assert await client.call("fuzzyFileSearch/sessionUpdate", sessionId="s", query="x") == {
        "code": -32600,
        "message": "fuzzy file search session not found: s",
    }


async def test_an_update_ends_the_match_before_it(client, tree, monkeypatch):
    real, begun = file_search.best, threading.Event()

    def best(paths, query, check):
        if query == "slow":
            begun.set()
            while True:
                check()
        return real(paths, query, check)

    monkeypatch.setattr(searches, "best", best)
    await client.call("fuzzyFileSearch/sessionStart", sessionId="s", roots=[str(tree)])
    await client.notification("fuzzyFileSearch/sessionCompleted")
    client.notes.clear()
    await client.call("fuzzyFileSearch/sessionUpdate", sessionId="s", query="slow")
    await trio.to_thread.run_sync(begun.wait)
    await client.call("fuzzyFileSearch/sessionUpdate", sessionId="s", query="other")
    report = await client.notification("fuzzyFileSearch/sessionUpdated")
    assert (report["query"], len(report["files"])) == ("other", 1)


async def test_what_is_found_so_far_is_reported_while_folders_are_read(client, tree, monkeypatch):
    real, more, begun = file_search.walk, threading.Event(), threading.Event()

    def walk(roots, found, check):
        real(roots, found, check)
        begun.set()
        more.wait(60)
        (tree / "main2").write_text("")
        found.clear()
        real(roots, found, check)

    monkeypatch.setattr(searches, "walk", walk)
    await client.call("fuzzyFileSearch/sessionStart", sessionId="s", roots=[str(tree)])
    await trio.to_thread.run_sync(begun.wait)
    await client.call("fuzzyFileSearch/sessionUpdate", sessionId="s", query="main")
    while (report := await client.notification("fuzzyFileSearch/sessionUpdated"))["query"] != "main":
        pass
    assert len(report["files"]) == 2
    assert not [note for note in client.notes if note.get("method") == "fuzzyFileSearch/sessionCompleted"]
    more.set()
    assert len((await client.notification("fuzzyFileSearch/sessionUpdated"))["files"]) == 3
    await client.notification("fuzzyFileSearch/sessionCompleted")


async def test_sessions_are_bounded_and_end_with_the_connection(client, tree, monkeypatch):
    monkeypatch.setattr(searches, "MOST", 1)
    start = {"roots": [str(tree)]}
    nameless = await client.call("fuzzyFileSearch/sessionStart", sessionId="", **start)
    assert nameless["message"] == "sessionId must not be empty"
    assert await client.call("fuzzyFileSearch/sessionStart", sessionId="1", roots=[]) == {
        "code": -32603,
        "message": "failed to start fuzzy file search session: at least one search directory is required",
    }
    assert await client.call("fuzzyFileSearch/sessionStart", sessionId="1", **start) == {}
    assert await client.call("fuzzyFileSearch/sessionStart", sessionId="2", **start) == {
        "code": -32600, "message": "too many fuzzy file search sessions: limit is 1"}  # fmt: skip
    assert await client.call("fuzzyFileSearch/sessionStart", sessionId="1", **start) == {}
    client.wire.requests.close()
    await wait_all_tasks_blocked()
