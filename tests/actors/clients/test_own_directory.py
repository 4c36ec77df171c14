"""A client with a directory of its own: its threads start there, and its relative paths are taken from there."""

import base64
import uuid

import pytest

PIXEL = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII=")


UNKNOWN = str(uuid.UUID(int=1))


@pytest.fixture
def own(tmp_path):
    """The client's directory: another one than the runtime's."""
    own = tmp_path / "own"
    own.mkdir()
    return own


async def test_threads_start_and_move_there(opened, talk, own):
    async with opened() as runtime:
        client = await talk(runtime, str(own))
        started = (await client.call("thread/start"))["thread"]
        assert started["cwd"] == str(own)
        assert (await client.call("thread/start", cwd=""))["thread"]["cwd"] == str(own)
        assert (await client.call("thread/start", cwd="a/../b"))["thread"]["cwd"] == str(own / "b")
        assert (await client.call("thread/start", cwd="/c"))["thread"]["cwd"] == "/c"
        await client.call("turn/start", threadId=started["id"], input=[{"type": "text", "text": "hi"}])
        await client.wait_for("turn/completed", started["id"])
        fork = (await client.call("thread/fork", threadId=started["id"], cwd="d"))["thread"]
        assert fork["cwd"] == str(own / "d")
        await client.call("turn/start", threadId=fork["id"], cwd="e", input=[{"type": "text", "text": "hi"}])
        await client.wait_for("turn/completed", fork["id"])
        assert (await client.call("thread/resume", threadId=fork["id"]))["cwd"] == str(own / "e")
        await client.call("thread/settings/update", threadId=fork["id"], cwd="f")
        assert (await client.call("thread/resume", threadId=fork["id"]))["cwd"] == str(own / "f")
        client.hang_up()
        await client.ended.wait()


async def test_a_resumed_thread_stays_where_it_is(opened, talk, own, tmp_path):
    async with opened() as runtime:
        first, client = await talk(runtime), await talk(runtime, str(own))
        thread = (await first.call("thread/start"))["thread"]
        await first.call("turn/start", threadId=thread["id"], input=[{"type": "text", "text": "hi"}])
        await first.wait_for("turn/completed", thread["id"])
        await first.call("thread/unsubscribe", threadId=thread["id"])
        await first.wait_for("thread/closed", thread["id"])
        assert (await client.call("thread/resume", threadId=thread["id"]))["cwd"] == str(tmp_path)
        given = [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}]
        assert (await client.call("thread/resume", threadId=UNKNOWN, history=given))["cwd"] == str(own)
        for talking in (first, client):
            talking.hang_up()
            await talking.ended.wait()


async def test_relative_paths_of_other_requests(opened, talk, own):
    (own / ".codex").mkdir()
    (own / "pixel.png").write_bytes(PIXEL)
    async with opened() as runtime:
        client = await talk(runtime, str(own))
        (entry,) = (await client.call("hooks/list"))["data"]
        assert entry["cwd"] == str(own)
        layers = (await client.call("config/read", cwd=".", includeLayers=True))["layers"]
        assert str(own / ".codex") in [layer["name"].get("dotCodexFolder") for layer in layers]
        (entry,) = (await client.call("skills/list"))["data"]
        assert entry["cwd"] == str(own)
        thread = (await client.call("thread/start"))["thread"]["id"]
        await client.call("turn/start", threadId=thread, input=[{"type": "localImage", "path": "pixel.png"}])
        item = (await client.wait_for("item/completed", thread))["item"]
        assert item["content"] == [{"type": "localImage", "path": str(own / "pixel.png")}]
        client.hang_up()
        await client.ended.wait()
