"""thread/attachment/* and thread/attachmentOwner/list."""

import pytest
from tests.actors.talks import Refused

from spindle.rpc.protocol.errors import INVALID_PARAMS
from spindle.storage.state import attachments

UNKNOWN = "01a22f29-0000-7000-8000-000000000000"


@pytest.fixture
async def kept(talk):
    """kept(runtime) -> a client, and the id of a thread with a turn."""

    async def begin(runtime, client=None):
        client = client or await talk(runtime)
        id = (await client.call("thread/start"))["thread"]["id"]
        await client.call("turn/start", threadId=id, input=[{"type": "text", "text": "hi"}])
        await client.wait_for("turn/completed", id)
        return client, id

    return begin


async def refused(client, method, **params):
    with pytest.raises(Refused) as error:
        await client.call(method, **params)
    assert error.value.code == INVALID_PARAMS
    return str(error.value)


async def add(client, id, identity, payload=None):
    return await client.call(
        "thread/attachment/add", threadId=id, attachmentType="t", identityKey=identity, payload=payload
    )


async def owners(client, identity, **params):
    page = await client.call("thread/attachmentOwner/list", attachmentType="t", identityKey=identity, **params)
    return [(owner["threadId"], owner["archived"]) for owner in page["data"]], page["nextCursor"]


async def test_a_thread_has_one_attachment_of_an_identity(opened, kept):
    async with opened() as runtime:
        client, id = await kept(runtime)
        first = await add(client, id, "k", {"a": [1, None]})
        assert first["outcome"] == "created"
        assert await add(client, id, "k", "other") == {**first, "outcome": "existing"}
        remove = {"threadId": id, "attachmentType": "t", "identityKey": "k"}
        for _ in range(2):
            assert await client.call("thread/attachment/remove", **remove) == {}
        assert (await client.call("thread/attachment/list", threadId=id))["data"] == []
        told = [
            each.message["params"]
            for each in client.history
            if getattr(each, "message", {}).get("method") == "thread/attachment/updated"
        ]
        names = {"threadId": id, "attachmentType": "t", "identityKey": "k", "attachmentId": first["attachment"]["id"]}
        assert told == [{**names, "operation": "created"}, {**names, "operation": "deleted"}]


async def test_attachments_are_paged_and_bounded(opened, kept, monkeypatch):
    monkeypatch.setattr(attachments, "MOST", 3)
    async with opened() as runtime:
        client, id = await kept(runtime)
        for identity in "abc":
            await add(client, id, identity)
        page = await client.call("thread/attachment/list", threadId=id, limit=2)
        rest = await client.call("thread/attachment/list", threadId=id, limit=2, cursor=page["nextCursor"])
        assert [each["identityKey"] for each in (*page["data"], *rest["data"])] == ["a", "b", "c"]
        assert rest["nextCursor"] is None
        wrong = {"threadId": id, "attachmentType": "t", "identityKey": "d", "payload": 1}
        for member, value, message in (
            ("identityKey", "d", "thread attachment identity count exceeds 3"),
            ("identityKey", "", "identityKey must not be empty"),
            ("attachmentType", "", "attachmentType must not be empty"),
            ("attachmentType", "é" * 129, "attachmentType must not exceed 256 bytes"),
            ("payload", "x" * 65535, "attachment payload must not exceed 65536 bytes"),
            ("threadId", UNKNOWN, f"thread not found: {UNKNOWN}"),
        ):
            assert await refused(client, "thread/attachment/add", **{**wrong, member: value}) == message
        cursor = "invalid pagination cursor"
        assert await refused(client, "thread/attachment/list", threadId=id, cursor="x") == cursor
        names = {"attachmentType": "t", "identityKey": "a"}
        assert await refused(client, "thread/attachmentOwner/list", **names, cursor="x") == cursor


async def test_owners_say_whether_they_are_archived_and_forks_are_owners_too(opened, kept):
    async with opened() as runtime:
        client, one = await kept(runtime)
        _, two = await kept(runtime, client)
        for id in (one, two):
            await add(client, id, "k", id)
        fork = (await client.call("thread/fork", threadId=one))["thread"]["id"]
        [copied] = (await client.call("thread/attachment/list", threadId=fork))["data"]
        assert copied["payload"] == one
        assert (await add(client, fork, "k"))["outcome"] == "existing"
        await client.call("thread/archive", threadId=one)
        assert (await owners(client, "k"))[0] == [(one, True), (two, False), (fork, False)]
        assert (await owners(client, "k", archived=True))[0] == [(one, True)]
        page, cursor = await owners(client, "k", archived=False, limit=1)
        assert (page, cursor) == ([(two, False)], two)
        assert (await owners(client, "k", archived=False, limit=1, cursor=cursor)) == ([(fork, False)], None)
        assert (await add(client, one, "also"))["outcome"] == "created"
        await client.call("thread/delete", threadId=two)
        assert [id for id, _ in (await owners(client, "k"))[0]] == [one, fork]
        assert (await client.call("thread/attachment/list", threadId=two))["data"] == []


async def test_threads_without_a_rollout_have_none(opened, talk):
    async with opened() as runtime:
        client = await talk(runtime)
        for ephemeral in (True, False):
            id = (await client.call("thread/start", ephemeral=ephemeral))["thread"]["id"]
            names = {"threadId": id, "attachmentType": "t", "identityKey": "k"}
            text = f"thread not found: {id}"
            assert await refused(client, "thread/attachment/add", **names, payload=1) == text
            assert await refused(client, "thread/attachment/remove", **names) == text
            assert (await client.call("thread/attachment/list", threadId=id))["data"] == []
