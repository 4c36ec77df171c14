"""project/*, and the project of threads."""

import pytest
from tests.actors.talks import Refused

from spindle.rpc.protocol.errors import INVALID_PARAMS, INVALID_REQUEST

UNKNOWN = "01a22f29-0000-7000-8000-000000000000"


class User:
    """A client of projects."""

    def __init__(self, client):
        self.client = client

    async def call(self, verb, **params):
        return await self.client.call(f"project/{verb}", **params)

    async def create(self, name, **params):
        given = {"idempotencyKey": name, "name": name, "roots": [], **params}
        return (await self.call("create", **given))["project"]["id"]

    async def names(self, **params):
        page = await self.call("list", **params)
        return [each["name"] for each in page["data"]], page["nextCursor"]

    async def refused(self, method, **params):
        with pytest.raises(Refused) as error:
            await self.client.call(method, **params)
        return error.value.code, str(error.value)

    async def thread(self, **params):
        id = (await self.client.call("thread/start", **params))["thread"]["id"]
        await self.client.call("turn/start", threadId=id, input=[{"type": "text", "text": "hi"}])
        await self.client.wait_for("turn/completed", id)
        return id

    async def project_of(self, id):
        return (await self.client.call("thread/read", threadId=id))["thread"]["projectId"]

    async def listed(self, **params):
        page = await self.client.call("thread/list", **params)
        return [(each["id"], each["projectId"]) for each in page["data"]]

    def told(self, method):
        return [
            each.message["params"] for each in self.client.history if getattr(each, "message", {}).get("method") == method
        ]


@pytest.fixture
async def user(talk):
    """user(runtime) -> a client of projects."""

    async def begin(runtime):
        return User(await talk(runtime))

    return begin


async def test_a_project_is_created_once_for_a_key(opened, user):
    async with opened() as runtime:
        one = await user(runtime)
        given = {"idempotencyKey": "k", "name": " Mine ", "roots": [{"path": "/a/../b"}], "metadata": {"x": "y"}}
        project = (await one.call("create", **given))["project"]
        assert (project["name"], project["roots"], project["metadata"]) == ("Mine", [{"path": "/b"}], {"x": "y"})
        assert project["recencyAt"] is None
        again = await one.call("create", **{**given, "name": "Another"})
        assert again["project"] == project == (await one.call("read", projectId=project["id"]))["project"]
        await one.call("delete", projectId=project["id"])
        code, text = await one.refused("project/create", **given)
        assert (code, text) == (INVALID_PARAMS, "idempotency key refers to deleted project: k")
        changes = [(each["projectId"], each["changeType"]) for each in one.told("project/changed")]
        assert changes == [(project["id"], "created"), (project["id"], "deleted")]


async def test_an_update_changes_what_it_names(opened, user):
    async with opened() as runtime:
        one = await user(runtime)
        id = await one.create("a", roots=[{"path": "/r"}], metadata={"x": "y"})
        after = (await one.call("update", projectId=id, name=" b "))["project"]
        assert (after["name"], after["roots"], after["metadata"]) == ("b", [{"path": "/r"}], {"x": "y"})
        after = (await one.call("update", projectId=id, roots=[], metadata={}))["project"]
        assert (after["name"], after["roots"], after["metadata"]) == ("b", [], {})
        await one.call("update", projectId=id)
        await one.call("update", projectId=id, name="b")
        assert [each["changeType"] for each in one.told("project/changed")] == ["created", "updated", "updated"]


async def test_projects_have_an_order_of_the_user(opened, user):
    async with opened() as runtime:
        one = await user(runtime)
        ids = {name: await one.create(name) for name in "abc"}
        await one.call("move", projectId=ids["c"], beforeProjectId=ids["a"])
        assert await one.names() == (["c", "a", "b"], None)
        await one.call("move", projectId=ids["c"])
        await one.create("d")
        page, cursor = await one.names(limit=3)
        assert page == ["a", "b", "c"]
        assert await one.names(limit=3, cursor=cursor) == (["d"], None)
        assert (await one.names(sortKey="position", sortDirection="desc"))[0] == ["d", "c", "b", "a"]
        cursor_of_another = "invalid project cursor: malformed or mismatched sort anchor"
        for wrong in ({"cursor": "zz"}, {"cursor": cursor, "sortKey": "recencyAt"}):
            assert await one.refused("project/list", **wrong) == (INVALID_PARAMS, cursor_of_another)


async def test_a_thread_has_the_project_it_is_started_in_or_moved_to(opened, user):
    async with opened() as runtime:
        one = await user(runtime)
        a, b = await one.create("a"), await one.create("b")
        started = (await one.client.call("thread/start", projectId=a))["thread"]
        assert started["projectId"] == a
        inside, outside = await one.thread(projectId=a), await one.thread()
        assert await one.listed(projectId=a) == [(inside, a)]
        assert await one.listed(projectId=None) == [(outside, None)]
        fork = (await one.client.call("thread/fork", threadId=inside))["thread"]
        assert fork["projectId"] == await one.project_of(fork["id"]) == a
        for project, shown in ((b, b), (b, b), ("", None)):
            moved = await one.client.call("thread/metadata/update", threadId=inside, projectId=project)
            assert moved["thread"]["projectId"] == await one.project_of(inside) == shown
        both = {"projectId": a, "gitInfo": {"branch": "x"}}
        for id in (inside, outside):  # one that is loaded, and one that is not
            await one.client.call("thread/unsubscribe", threadId=outside)
            changed = (await one.client.call("thread/metadata/update", threadId=id, **both))["thread"]
            assert (changed["projectId"], changed["gitInfo"]["branch"]) == (a, "x")
        told = [(each["threadId"], each["projectId"]) for each in one.told("thread/project/updated")]
        assert told == [(inside, b), (inside, None), (inside, a), (outside, a)]
        resumed = await one.client.call("thread/resume", threadId=outside)
        assert resumed["thread"]["projectId"] == a


async def test_the_project_of_an_ephemeral_thread_is_not_stored(opened, user):
    async with opened() as runtime:
        one = await user(runtime)
        a = await one.create("a")
        thread = (await one.client.call("thread/start", projectId=a, ephemeral=True))["thread"]
        assert thread["projectId"] == await one.project_of(thread["id"]) == a
        await one.call("delete", projectId=a)
        assert one.told("thread/project/updated") == []
        code, _ = await one.refused("thread/metadata/update", threadId=thread["id"], projectId="")
        assert code == INVALID_REQUEST


async def test_recency_is_that_of_the_threads_that_are_not_archived(opened, user):
    async with opened() as runtime:
        one = await user(runtime)
        a, b = await one.create("a"), await one.create("b")
        id = await one.thread(projectId=b)
        changed = (await one.client.call("thread/read", threadId=id))["thread"]["updatedAt"]
        assert (await one.call("read", projectId=b))["project"]["recencyAt"] == changed
        assert (await one.names(sortKey="recencyAt"))[0] == ["b", "a"]
        assert (await one.names(sortKey="recencyAt", sortDirection="asc"))[0] == ["b", "a"]
        page, cursor = await one.names(sortKey="recencyAt", limit=1)
        assert (page, await one.names(sortKey="recencyAt", cursor=cursor)) == (["b"], (["a"], None))
        await one.client.call("thread/archive", threadId=id)
        assert (await one.call("read", projectId=b))["project"]["recencyAt"] is None
        await one.client.call("thread/delete", threadId=id)
        assert (await one.call("read", projectId=a))["project"]["recencyAt"] is None


async def test_an_import_moves_threads_once_and_a_deletion_frees_them(opened, user):
    async with opened() as runtime:
        one = await user(runtime)
        id = await one.thread(projectId=await one.create("a"))
        given = {"idempotencyKey": "k", "name": "b", "roots": [], "threads": [id]}
        text = f"thread not found: {UNKNOWN}"
        assert await one.refused("project/import", **{**given, "threads": [id, UNKNOWN]}) == (INVALID_PARAMS, text)
        text = f"duplicate thread id: {id}"
        assert await one.refused("project/import", **{**given, "threads": [id, id]}) == (INVALID_PARAMS, text)
        b = (await one.call("import", **given))["project"]["id"]
        assert await one.project_of(id) == b
        await one.client.call("thread/metadata/update", threadId=id, projectId="")
        assert (await one.call("import", **given))["project"]["id"] == b
        assert await one.project_of(id) is None
        await one.client.call("thread/metadata/update", threadId=id, projectId=b)
        await one.call("delete", projectId=b)
        assert await one.project_of(id) is None
        assert [each["projectId"] for each in one.told("thread/project/updated")] == [b, None, b, None]


@pytest.mark.parametrize(
    ("method", "params", "code", "text"),
    [
        ("project/create", {"idempotencyKey": "", "name": "a", "roots": []}, -32602, "idempotencyKey must not be empty"),
        ("project/create", {"idempotencyKey": "k", "name": " ", "roots": []}, -32602, "project name must not be empty"),
        (
            "project/create",
            {"idempotencyKey": "k", "name": "a", "roots": [{"path": "/a"}, {"path": "/a/"}]},
            -32602,
            "duplicate project root: /a",
        ),
        (
            "project/create",
            {"idempotencyKey": "k", "name": "a" * 1048576, "roots": []},
            -32602,
            "a project must not exceed 1048576 bytes",
        ),
        ("project/read", {"projectId": "x"}, -32602, "project not found: x"),
        ("project/update", {"projectId": "x"}, -32602, "project not found: x"),
        ("project/move", {"projectId": "x"}, -32602, "project not found: x"),
        ("project/delete", {"projectId": "x"}, -32602, "project not found: x"),
        ("project/list", {"sortDirection": "asc"}, -32602, "sortDirection requires sortKey"),
        ("thread/list", {"projectId": "x"}, -32602, "project not found: x"),
        ("thread/list", {"projectId": ""}, -32602, "projectId must not be empty"),
        ("thread/start", {"projectId": "x"}, -32600, "project not found: x"),
        ("thread/metadata/update", {"threadId": UNKNOWN, "projectId": "x"}, -32600, f"thread not found: {UNKNOWN}"),
    ],
)
async def test_refusals_say_why(opened, user, method, params, code, text):
    async with opened() as runtime:
        assert await (await user(runtime)).refused(method, **params) == (code, text)
