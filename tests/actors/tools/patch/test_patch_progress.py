"""A patch while the model writes it."""

from typing import Any

from spindle.actors.tools.patch.progress import PatchProgress
from spindle.rpc.model.interface import InputDelta, ItemAdded, ItemDone


def call(name="apply_patch"):
    return {"type": "custom_tool_call", "call_id": "call-1", "name": name, "input": ""}


def told(turn):
    return [(event.item_id, [(change.path, change.diff) for change in event.changes]) for event in turn.events]


def test_the_first_change_is_sent_at_once_and_the_last_at_the_end(a_turn):
    turn: Any = a_turn()
    progress = PatchProgress(turn, lambda: 0.0)
    progress.feed(InputDelta("*** Begin Patch\n", "i"))
    progress.feed(ItemAdded(call()))
    progress.feed(InputDelta("*** Begin Patch\n*** Add File: a.t", "i"))
    assert told(turn) == []
    progress.feed(InputDelta("xt\n", "i"))
    progress.feed(InputDelta("+hello\n", "i"))
    assert told(turn) == [("call-1", [("a.txt", "")])]
    progress.feed(ItemDone(call()))
    assert told(turn)[1:] == [("call-1", [("a.txt", "hello\n")])]
    progress.feed(InputDelta("+more\n", "i"))
    assert len(turn.events) == 2


def test_other_calls_are_ignored(a_turn):
    turn: Any = a_turn()
    progress = PatchProgress(turn, lambda: 0.0)
    progress.feed(ItemAdded(call("other")))
    progress.feed(InputDelta("*** Begin Patch\n*** Add File: a.txt\n", "i"))
    progress.feed(ItemDone(call("other")))
    assert not turn.events
