"""A patch is sent while it is written: whole lines, at intervals, and completely in the end."""

from __future__ import annotations

from typing import Any

import pytest

from spindle.actors.tools.patch.progress import PatchProgress, PatchStream
from spindle.rpc.model.interface import InputDelta, ItemAdded, ItemDone
from spindle.rpc.protocol.items import AddChange, DeleteChange, FileUpdateChange, UpdateChange

PATCH = (
    "*** Begin Patch\n*** Update File: b.txt\n*** Move to: d.txt\n@@ one\n two\n-three\n+3\n*** End of File\n"
    "*** Add File: a.txt\n+hello\n+\n*** Delete File: c.txt\n*** Update File: e.txt\n-x\n\n+y\n*** End Patch\n"
)
WHOLE = (
    FileUpdateChange("a.txt", AddChange(), "hello\n\n"),
    FileUpdateChange(
        "b.txt", UpdateChange("d.txt"), "@@ one\n two\n-three\n+3\n*** End of File\n\n\nMoved to: d.txt"
    ),
    FileUpdateChange("c.txt", DeleteChange(), ""),
    FileUpdateChange("e.txt", UpdateChange(), "@@\n-x\n \n+y\n"),
)


@pytest.mark.parametrize("size", [1, 2, 7, 50, 1000])
@pytest.mark.parametrize("wrap", ["{}", "<<'EOF'\n{}EOF\n", "\n{}"])
def test_the_last_changes_are_the_whole_patch(size, wrap):
    text = wrap.format(PATCH)
    stream = PatchStream()
    reports = [stream.feed(text[at : at + size], float(at)) for at in range(0, len(text), size)]
    reports.append(stream.finish())
    shown = [report for report in reports if report is not None]
    assert shown[-1] == WHOLE
    paths = {change.path for report in shown for change in report}
    assert paths == {"a.txt", "b.txt", "c.txt", "e.txt"}
    assert stream.finish() is None


def test_changes_are_sent_at_intervals():
    stream = PatchStream()
    assert stream.feed("*** Begin Patch\n", 0.0) is None
    assert stream.feed("*** Add File: a\n", 0.1) == (FileUpdateChange("a", AddChange(), ""),)
    assert stream.feed("+one\n", 0.5) is None
    assert stream.feed("+tw", 0.7) == (FileUpdateChange("a", AddChange(), "one\n"),)
    assert stream.feed("o", 9.0) is None
    assert stream.feed("\n*** End Patch", 9.1) == (FileUpdateChange("a", AddChange(), "one\ntwo\n"),)
    assert stream.finish() is None


@pytest.mark.parametrize("text", ["foo\n*** Begin Patch\n*** Add File: a\n", "*** Begin Patch\nfoo\n*** Add File: a\n"])
def test_text_that_is_no_patch_is_not_shown(text):
    stream = PatchStream()
    assert stream.feed(text, 0.0) is None
    assert stream.finish() is None


def test_text_after_the_end_is_not_shown():
    stream = PatchStream()
    stream.feed("*** Begin Patch\n*** Add File: a\n*** End Patch\n", 0.0)
    assert stream.feed("*** Add File: b\n", 9.0) is None


def call(name="apply_patch"):
    return {"type": "custom_tool_call", "call_id": "call-1", "name": name, "input": ""}


def sent(turn):
    return [(event.item_id, [(change.path, change.diff) for change in event.changes]) for event in turn.events]


def test_the_first_change_is_sent_at_once_and_the_last_at_the_end(a_turn):
    turn: Any = a_turn()
    progress = PatchProgress(turn, lambda: 0.0)
    progress.feed(InputDelta("*** Begin Patch\n", "i"))
    progress.feed(ItemAdded(call()))
    progress.feed(InputDelta("*** Begin Patch\n*** Add File: a.t", "i"))
    assert sent(turn) == []
    progress.feed(InputDelta("xt\n", "i"))
    progress.feed(InputDelta("+hello\n", "i"))
    assert sent(turn) == [("call-1", [("a.txt", "")])]
    progress.feed(ItemDone(call()))
    assert sent(turn)[1:] == [("call-1", [("a.txt", "hello\n")])]
    progress.feed(InputDelta("+more\n", "i"))
    assert len(turn.events) == 2


def test_other_calls_are_ignored(a_turn):
    turn: Any = a_turn()
    progress = PatchProgress(turn, lambda: 0.0)
    progress.feed(ItemAdded(call("other")))
    progress.feed(InputDelta("*** Begin Patch\n*** Add File: a.txt\n", "i"))
    progress.feed(ItemDone(call("other")))
    assert not turn.events
