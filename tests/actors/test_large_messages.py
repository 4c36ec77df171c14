"""Large messages of clients: worker threads decode and encode them, and they keep their order."""

import threading

import orjson
import pytest

from spindle.actors.clients import connection
from spindle.actors.delivery import events
from spindle.actors.delivery import long_answers as streaming
from spindle.rpc.large import LARGE
from spindle.rpc.protocol import envelope


@pytest.fixture
def elsewhere(monkeypatch):
    """The lengths of what is read and written outside of the trio thread."""
    found, home = [], threading.current_thread()
    def noted(work, size):
        def wrapped(*args):
            done = work(*args)
            if threading.current_thread() is not home:
                found.append(size(args, done))
            return done

        return wrapped

    def watch(module, name, kind, message):
        work = noted(getattr(envelope, name), lambda args, done: (kind, len(message(args, done)) > LARGE))
        monkeypatch.setattr(module, name, work)

    watch(connection, "parse", "read", lambda args, _: args[0])
    watch(events, "encode_notification", "told", lambda _, done: done)
    watch(streaming, "encode_result", "answered", lambda _, done: done)
    return found


async def test_large_messages_keep_their_order_and_do_not_block_the_trio_thread(opened, scripted, talk, elsewhere):
    model = scripted()
    async with opened(model) as runtime:
        client = await talk(runtime)
        id = (await client.call("thread/start"))["thread"]["id"]
        assert elsewhere == []
        item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "l" * LARGE}]}
        injected = client.ask("thread/inject_items", threadId=id, items=[item])
        asked = client.ask("turn/start", threadId=id, input=[{"type": "text", "text": "s" * LARGE}])
        await client.wait_for("turn/completed", id)
        assert [text[0] for text in model.conversation()] == ["l", "s"]
        page = await client.call("thread/turns/list", threadId=id)
        assert len(orjson.dumps(page)) > LARGE
        answers = [entry.message["id"] for entry in client.history if "id" in getattr(entry, "message", {})]
        assert answers.index(injected) < answers.index(asked)
        said = client.notified(id)
        assert said.index("turn/started") < said.index("item/started") < said.index("item/completed")
        assert said.index("item/completed") < said.index("turn/completed")
        assert elsewhere == [("read", True), ("read", True), ("told", True), ("told", True), ("answered", True)]
