"""What clients see of an answer while it streams in."""

from typing import Any

from spindle.actors.turn.answer import Answer
from spindle.rpc.model.interface import ItemAdded, ItemDone
from spindle.rpc.protocol.converter import unstructure


class Host:
    """Notes what is shown."""

    def __init__(self):
        self.shown: Any = []

    def emit(self, params):
        self.shown.append((params.METHOD, unstructure(params.item)))

    async def keep(self, *entries):
        pass

    def partial(self, answer):
        pass


async def test_a_search_that_has_just_started_has_an_empty_action():
    host: Any = Host()
    answer = Answer(host, "thread", "turn", None)
    begun = {"type": "web_search_call", "id": "w", "status": "in_progress"}
    await answer.feed(ItemAdded(begun))
    await answer.feed(ItemDone(begun | {"status": "completed", "action": {"type": "search", "query": "weather"}}))
    assert [(method, item["query"], item["action"]["type"]) for method, item in host.shown] == [
        ("item/started", "", "other"),
        ("item/completed", "weather", "search"),
    ]
