"""thread/search/stream, and cancelling searches."""

import threading

import pytest
import trio

from spindle.actors.clients.methods import search as methods


@pytest.fixture
async def said(client):
    """Three threads in which "apple" was said."""
    ids = []
    for number in range(3):
        thread = (await client.call("thread/start"))["thread"]["id"]
        part = {"type": "text", "text": f"apple {number}"}
        await client.call("turn/start", threadId=thread, input=[part])
        await client.notification("turn/completed")
        ids.append(thread)
    return ids


@pytest.fixture
def held(monkeypatch):
    """Searches wait after each result until `go` is set; `found` is set by the first result."""
    import spindle.storage.search as search

    real, found, go = search.search_threads, threading.Event(), threading.Event()

    def search_threads(list_page, query, check, find=None, on_found=None):
        def wait(row, snippet):
            if on_found is not None:
                on_found(row, snippet)
            found.set()
            while not go.wait(0.001):
                check()

        return real(list_page, query, check, find, wait)

    monkeypatch.setattr(search, "search_threads", search_threads)
    return found, go


async def test_a_stream_answers_as_a_search(client, said):
    params = {"searchTerm": " apple ", "limit": 2}
    assert await client.call("thread/search/stream", **params) == await client.call("thread/search", **params)
    answer = await client.call("thread/search/stream", searchTerm="apple")
    assert {row["thread"]["id"] for row in answer["data"]} == set(said)
    assert (await client.call("thread/search/stream", searchTerm="  "))["code"] == -32600
    assert await client.call("thread/search/stream", searchTerm="x" * 65_537) == {
        "code": -32602, "message": "thread/search/stream searchTerm exceeds 65536 UTF-8 bytes"}  # fmt: skip
    assert (await client.call("thread/search/stream", searchTerm=" " + "x" * 65_536))["data"] == []
    assert "invalid cursor" in (await client.call("thread/search/stream", searchTerm="a", cursor="bad"))["message"]


async def test_results_are_sent_while_a_stream_runs(client, said, held, monkeypatch):
    monkeypatch.setattr(methods, "BETWEEN", 0.001)
    _, go = held
    id = client.ask("thread/search/stream", searchTerm="apple")
    partial = await client.notification("thread/search/partial")
    go.set()
    while (answer := await client.wire.messages.receive()).get("id") != id:
        pass
    assert partial == {"requestId": id, "data": answer["result"]["data"][:1]}
    assert len(answer["result"]["data"]) == 3


@pytest.mark.parametrize("method", ["thread/search", "thread/search/stream"])
async def test_a_search_is_cancelled_by_the_id_of_its_request(client, said, held, method):
    found, go = held
    id = client.ask(method, searchTerm="apple")
    await trio.to_thread.run_sync(found.wait)
    other = {"thread/search": "thread/search/stream", "thread/search/stream": "thread/search"}[method]
    assert await client.call(f"{other}/cancel", requestId=id) == {}
    assert await client.call(f"{method}/cancel", requestId=str(id)) == {}
    assert not [note for note in client.notes if note.get("id") == id]
    assert await client.call(f"{method}/cancel", requestId=id) == {}
    cancelled = {"error": {"code": -32600, "message": "thread search cancelled"}, "id": id}
    while cancelled not in client.notes:
        client.notes.append(await client.wire.messages.receive())
    assert await client.call(f"{method}/cancel", requestId=id) == {}
    go.set()
    assert len((await client.call(method, searchTerm="apple"))["data"]) == 3


@pytest.mark.parametrize("id", [None, 1.5, True, {}])
async def test_an_id_is_a_text_or_an_integer(client, id):
    assert "data did not match any variant of untagged enum RequestId" in (
        await client.call("thread/search/cancel", requestId=id)
    )["message"]
