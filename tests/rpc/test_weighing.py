"""Estimating the memory of messages without encoding them."""

from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from spindle.rpc.protocol.items import AgentMessageItem
from spindle.rpc.protocol.turns import ItemCompletedNotification
from spindle.rpc.weighing import weigh, weigh_text

PLAIN = st.text("abc äß€", max_size=30)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | PLAIN,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(PLAIN, inner, max_size=5),
    max_leaves=20,
)


@given(JSON)
def test_an_encoded_value_is_not_larger_than_its_weight(value):
    assert weigh(value) >= len(orjson.dumps(value))


@given(st.text("abc äß€"))
def test_a_text_weighs_at_most_three_times_its_size(text):
    assert len(text.encode()) <= weigh_text(text) <= 3 * len(text.encode())


def test_a_notification_weighs_as_much_as_its_item():
    item = AgentMessageItem(id="i", text="x" * 100_000)
    assert 100_000 <= weigh(ItemCompletedNotification(item, "t", "turn", 1)) < 101_000


def test_an_attribute_that_is_not_set_weighs_next_to_nothing():
    item = AgentMessageItem(id="i", text="x" * 1000)
    object.__delattr__(item, "id")
    assert 1000 <= weigh(item) < 1200
