"""The model's history after a replay, and after rollbacks."""

from .replays import (
    agent,
    context,
    environment,
    event,
    item,
    message,
    messages,
    meta,
    replay,
    sent,
    shown,
    turn,
    two_turns,
    usage,
    user,
)


def call(id, kind="function_call"):
    return item(type=kind, name="exec_command", arguments="{}", call_id=id)


def output(id, text="files", kind="function_call_output"):
    return item(type=kind, call_id=id, output=text)


def test_calls_without_output_are_followed_by_an_aborted_one():
    made = replay(meta(), *user("x"), call("c1"), call("c2"), output("c2"), call("c3", "custom_tool_call"))
    assert len(made.history) == 5
    assert [(body["type"], body["call_id"], body.get("output")) for body in sent(made.completed_history())[1:]] == [
        ("function_call", "c1", None),
        ("function_call_output", "c1", "aborted"),
        ("function_call", "c2", None),
        ("function_call_output", "c2", "files"),
        ("custom_tool_call", "c3", None),
        ("custom_tool_call_output", "c3", "aborted"),
    ]


def test_a_local_shell_call_is_completed_with_a_function_output():
    made = replay(meta(), item(type="local_shell_call", id="x", call_id="c1", status="completed", action={}))
    assert [entry.type for entry in made.completed_history()] == ["local_shell_call", "function_call_output"]


def test_outputs_without_a_call_are_removed():
    assert replay(meta(), output("c1")).completed_history() == []


def test_reasoning_is_kept_and_snapshots_are_not():
    thought = {"type": "reasoning", "summary": [], "encrypted_content": "abc"}
    made = replay(meta(), item(**thought, id="rs_1"), item(type="ghost_snapshot", ghost_commit={}))
    assert sent(made.history) == [thought]


def test_a_compaction_replaces_the_models_history_but_not_the_turns():
    compacted = "compacted", {"message": "SUM", "replacement_history": [message("user", "REPLACED", id="m")]}
    made = replay(meta(), *user("first"), *agent("a1"), compacted, *user("after"), *agent("a2"))
    assert messages(made) == ["REPLACED", "after", "a2"]
    assert "id" not in sent(made.history)[0]
    assert [text for _, _, items in shown(made) for _, text in items] == ["first", "a1", "after", "a2"]


def test_an_old_compaction_keeps_the_users_messages_and_the_summary():
    compacted = "compacted", {"message": "SUM"}
    made = replay(meta(), environment(), *user("first"), *agent("a1"), compacted, *user("after"))
    assert messages(made) == ["first", "SUM", "after"]


# ---- rollback


def back(count):
    return event("thread_rolled_back", num_turns=count)


def test_a_rollback_drops_turns_for_the_user_and_the_model():
    lines = [meta(), *turn("t1", "one", *agent("a1")), *turn("t2", "two", call("c"), output("c"), *agent("a2"))]
    made = replay(*lines, usage(9), back(1), *turn("t3", "three"))
    assert messages(made) == ["one", "a1", "three"]
    assert all(entry.call_id is None for entry in made.history)
    assert [(id, [i for i, _ in items]) for id, _, items in shown(made)] == [
        ("t1", ["item-1", "item-2"]),
        ("t3", ["item-3"]),
    ]


def test_a_rollback_restores_the_settings_in_the_models_history():
    start = event("task_started", turn_id="t2", started_at=1)
    changed = [start, environment("/elsewhere"), context("t2", "other"), *user("two")]
    made = replay(meta(), environment(), *turn("t1", "one"), *changed, back(1))
    assert made.last_turn_context is not None
    assert made.last_turn_context["model"] == "m"
    assert not any("/elsewhere" in text for text in messages(made))


def test_a_rollback_of_every_turn_keeps_the_opening_context_and_the_preview():
    made = replay(*two_turns(), back(5))
    assert made.turns() == []
    assert [entry.role for entry in made.history] == ["developer", "user"]
    assert made.preview == "hello one"
    assert made.last_turn_context is not None
    assert made.last_turn_context["model"] == "m"


def test_a_rollback_without_marks_drops_the_user_message_too():
    made = replay(meta(), *user("one"), *agent("a1"), *user("two"), *agent("a2"), back(1), *user("three"))
    assert messages(made) == ["one", "a1", "three"]
    assert [text for _, _, items in shown(made) for _, text in items] == ["one", "a1", "three"]


def test_a_rollback_past_a_compaction_drops_the_rest_of_those_turns():
    kept = [message("user", "one"), message("user", "two"), message("user", "SUM")]
    compacted = "compacted", {"message": "SUM", "replacement_history": kept}
    lines = [meta(), *turn("t1", "one"), *turn("t2", "two"), compacted, *turn("t3", "three", *agent("a3"))]
    assert messages(replay(*lines, back(1))) == ["one", "two", "SUM"]
    assert messages(replay(*lines, back(2))) == ["one"]
    assert messages(replay(*lines, back(3))) == []
