"""The turns, names and previews that a replay finds in a rollout."""

from spindle.rpc.protocol.converter import unstructure

from .replays import (
    THREAD,
    agent,
    context,
    environment,
    event,
    message,
    meta,
    replay,
    sent,
    shown,
    spoken,
    turn,
    two_turns,
    usage,
    user,
)


def test_turns_of_0_124():
    made = replay(*two_turns())
    assert shown(made) == [
        ("t1", "completed", [("item-1", "hello one"), ("item-2", "Hello")]),
        ("t2", "completed", [("item-3", "hello two"), ("item-4", "two")]),
    ]
    first = made.turns()[0]
    assert (first.started_at, first.completed_at, first.duration_ms, first.error) == (100, 101, 63, None)


def test_history_of_0_124_is_the_unchanged_response_items():
    lines = two_turns()
    made = replay(*lines)
    assert sent(made.history) == [payload for kind, payload in lines if kind == "response_item"]
    assert [entry.role for entry in made.history] == ["developer", "user", "user", "assistant", "user", "assistant"]


def test_other_values_of_a_rollout():
    made = replay(*two_turns())
    assert made.meta is not None
    assert (made.meta.id, made.meta.base_instructions, made.meta.git) == (THREAD, "BASE", {"branch": "main"})
    assert (made.meta.source, made.meta.forked_from_id, made.meta.model_provider) == ("cli", None, "p")
    assert made.preview == "hello one"
    assert made.last_turn_context is not None
    assert made.last_turn_context["model"] == "other"
    assert made.token_usage is not None
    assert (made.token_usage["total_token_usage"]["total_tokens"], made.token_usage["turn_id"]) == (30, "t2")
    assert not made.ended_interrupted


def test_tool_items_of_0_124_keep_their_call_ids():
    command = event(
        "exec_command_end",
        call_id="c1",
        process_id="57",
        turn_id="t1",
        command=["/bin/bash", "-lc", "cat a"],
        cwd="/w",
        parsed_cmd=[{"type": "read", "cmd": "cat a", "name": "a", "path": "a"}],
        source="unified_exec_startup",
        aggregated_output="hi\n",
        exit_code=0,
        duration={"secs": 1, "nanos": 2_500_000},
        status="completed",
    )
    patch = event(
        "patch_apply_end",
        call_id="c2",
        turn_id="t1",
        success=True,
        changes={
            "/w/b": {"type": "update", "unified_diff": "@@\n", "move_path": "/w/c"},
            "/w/a": {"type": "add", "content": "x\n"},
        },
        status="completed",
    )
    mcp = event(
        "mcp_tool_call_end",
        call_id="c3",
        invocation={"server": "s", "tool": "t", "arguments": {"a": 1}},
        duration={"secs": 0, "nanos": 0},
        result={"Ok": {"content": [{"type": "text", "text": "x"}], "isError": False}},
    )
    [one] = unstructure(replay(meta(), *turn("t1", "go", command, patch, mcp, *agent("done"))).turns())
    assert [entry["id"] for entry in one["items"]] == ["item-1", "c1", "c2", "c3", "item-2"]
    assert one["items"][1] == {
        "type": "commandExecution",
        "id": "c1",
        "command": "/bin/bash -lc 'cat a'",
        "cwd": "/w",
        "processId": "57",
        "source": "unifiedExecStartup",
        "status": "completed",
        "commandActions": [{"type": "read", "command": "cat a", "name": "a", "path": "/w/a"}],
        "aggregatedOutput": "hi\n",
        "exitCode": 0,
        "durationMs": 1002,
    }
    assert [(c["path"], c["kind"], c["diff"]) for c in one["items"][2]["changes"]] == [
        ("/w/a", {"type": "add"}, "x\n"),
        ("/w/b", {"type": "update", "move_path": "/w/c"}, "@@\n\n\nMoved to: /w/c"),
    ]
    assert (one["items"][3]["status"], one["items"][3]["result"]["content"][0]["text"]) == ("completed", "x")


def test_reasoning_events_in_a_row_are_one_item():
    thoughts = [
        event("agent_reasoning", text="a"),
        event("agent_reasoning", text="b"),
        event("agent_reasoning_raw_content", text="c"),
    ]
    [one] = replay(meta(), *turn("t1", "go", *thoughts, *agent("x"), thoughts[0])).turns()
    reasoning = [
        (entry.id, list(entry.summary), list(entry.content)) for entry in one.items if entry.type == "reasoning"
    ]
    assert reasoning == [("item-2", ["a", "b"], ["c"]), ("item-4", ["a"], [])]


def test_images_and_text_elements_of_a_user_message():
    element = {"byte_range": {"start": 0, "end": 5}, "placeholder": "<note>"}
    line = event("user_message", message="hello", images=["http://i"], local_images=["/p"], text_elements=[element])
    [one] = unstructure(replay(meta(), line).turns())
    assert one["items"][0]["content"] == [
        {
            "type": "text",
            "text": "hello",
            "text_elements": [{"byteRange": {"start": 0, "end": 5}, "placeholder": "<note>"}],
        },
        {"type": "image", "url": "http://i"},
        {"type": "localImage", "path": "/p"},
    ]


# ---- as 0.169 writes


def modern(turn_id, text, answer, *between):
    internal = {"internal_chat_message_metadata_passthrough": {"turn_id": turn_id}, "metadata": {"history_sequence": 1}}

    def completed(kind, id, **members):
        body = {"type": kind, "id": id, **members}
        return event("item_completed", thread_id=THREAD, turn_id=turn_id, item=body, completed_at_ms=1)

    return [
        event("task_started", turn_id=turn_id, root_turn_id=turn_id, started_at=100),
        ("world_state", {"full": True, "state": {}}),
        context(turn_id),
        event("thread_settings_applied", thread_id=THREAD, thread_settings={}),
        spoken("user", text, id="msg_1", **internal),
        completed("UserMessage", "u1", content=[{"type": "text", "text": text, "text_elements": []}]),
        *(completed(kind, id, **members) for kind, id, members in between),
        completed("AgentMessage", "msg-1", content=[{"type": "Text", "text": answer}]),
        spoken("assistant", answer, id="msg-1", **internal),
        ("token_usage_record", {"turn_id": turn_id, "usage": {}}),
        usage(15),
        event("task_complete", turn_id=turn_id, root_turn_id=turn_id, started_at=100, completed_at=100, duration_ms=84),
    ]


def test_turns_of_0_169_are_read_from_its_completed_items():
    command = {
        "command": ["ls", "a b"],
        "cwd": "file:///w%20x",
        "parsed_cmd": [],
        "source": "user_shell",
        "status": "failed",
        "exit_code": 2,
        "aggregated_output": "",
        "duration": {"secs": 0, "nanos": 0},
    }
    lines = [meta(session_id=THREAD), *modern("t1", "one", "Hello", ("CommandExecution", "c1", command))]
    made = replay(*lines, *modern("t2", "two", "again"), numbered=True)
    assert shown(made) == [
        ("t1", "completed", [("item-1", "one"), ("c1", ""), ("item-2", "Hello")]),
        ("t2", "completed", [("item-3", "two"), ("item-4", "again")]),
    ]
    ran = made.turns()[0].items[1]
    assert (ran.command, ran.cwd, ran.source, ran.status) == ("ls 'a b'", "/w x", "userShell", "failed")
    assert made.preview == "one"


def test_members_of_0_169_only_are_not_sent_to_the_model():
    made = replay(meta(), *modern("t1", "one", "Hello"))
    assert sent(made.history) == [message("user", "one"), message("assistant", "Hello")]


def test_an_item_in_the_protocols_form_is_unchanged():
    given = {"type": "webSearch", "id": "w1", "query": "q", "action": None}
    [one] = unstructure(replay(meta(), *turn("t1", "go", event("item_completed", turn_id="t1", item=given))).turns())
    assert one["items"][1] == given


def test_items_of_unknown_kinds_do_not_hide_the_others():
    strange = event("item_completed", turn_id="t1", item={"type": "Hologram", "id": "h1"})
    made = replay(meta(), *turn("t1", "go", strange, *agent("x")))
    assert [text for _, text in shown(made)[0][2]] == ["go", "x"]


# ---- how turns end


def test_a_turn_without_end_is_interrupted_unless_it_is_live():
    made = replay(meta(), *turn("t1", "one"), *turn("t2", "two", end=False))
    assert made.ended_interrupted
    assert [status for _, status, _ in shown(made)] == ["completed", "interrupted"]
    assert [status for _, status, _ in shown(made, live_turn_id="t2")] == ["completed", "inProgress"]
    assert [status for _, status, _ in shown(made)] == ["completed", "interrupted"]


def test_a_turn_cut_off_before_another_stays_interrupted():
    made = replay(meta(), *turn("t1", "one", end=False), *turn("t2", "two"))
    assert not made.ended_interrupted
    assert [status for _, status, _ in shown(made)] == ["interrupted", "completed"]


def test_an_aborted_turn_is_interrupted_and_not_cut_off():
    abort = event("turn_aborted", turn_id="t1", reason="interrupted", completed_at=101, duration_ms=1001)
    made = replay(meta(), *turn("t1", "one", abort, end=False))
    assert not made.ended_interrupted
    assert [(one.status, one.duration_ms) for one in made.turns()] == [("interrupted", 1001)]


def test_a_failed_turn_keeps_its_error():
    failure = event(
        "error",
        message="too many",
        codex_error_info={"response_too_many_failed_attempts": {"http_status_code": 429}},
        additional_details="d",
    )
    [one] = unstructure(replay(meta(), *turn("t1", "one", failure)).turns())
    assert (one["status"], one["completedAt"]) == ("failed", 102)
    assert one["error"] == {
        "message": "too many",
        "codexErrorInfo": {"responseTooManyFailedAttempts": {"httpStatusCode": 429}},
        "additionalDetails": "d",
    }


def test_an_error_in_the_protocols_spelling_is_unchanged():
    failure = event("error", message="x", codex_error_info="usageLimitExceeded", additional_details=None)
    [one] = replay(meta(), *turn("t1", "one", failure)).turns()
    assert one.error is not None
    assert one.error.codex_error_info == "usageLimitExceeded"


def test_an_error_outside_any_turn_makes_no_turn_and_fails_none():
    made = replay(meta(), *turn("t1", "one"), event("error", message="x", codex_error_info="other"))
    assert [status for _, status, _ in shown(made)] == ["completed"]


def test_an_error_of_a_request_does_not_end_the_turn():
    failure = event("error", message="x", codex_error_info="thread_rollback_failed")
    assert [status for _, status, _ in shown(replay(meta(), *turn("t1", "one", failure)))] == ["completed"]


def test_late_lines_go_to_the_turn_they_name():
    late = event("exec_command_end", call_id="c1", turn_id="t1", command=["ls"], cwd="/", exit_code=0, parsed_cmd=[])
    made = replay(meta(), *turn("t1", "one"), *turn("t2", "two", late))
    assert [[id for id, _ in items] for _, _, items in shown(made)] == [["item-1", "c1"], ["item-2"]]


def test_turns_without_marks_are_named_after_their_line_and_have_no_times():
    made = replay(meta(), *user("one"), *agent("a1"), *user("two"))
    assert [(id, [text for _, text in items]) for id, _, items in shown(made)] == [
        ("rollout-2", ["one", "a1"]),
        ("rollout-6", ["two"]),
    ]
    assert {(one.status, one.started_at, one.completed_at, one.duration_ms) for one in made.turns()} == {
        ("completed", None, None, None)
    }
    assert not made.ended_interrupted


def test_the_last_name_counts():
    def named(name, thread=THREAD):
        return event("thread_name_updated", thread_id=thread, thread_name=name)

    assert replay(meta(), named("a"), named("b")).name == "b"
    assert replay(meta("fork", forked_from_id=THREAD), meta(), named("the source's")).name is None


def test_the_first_metadata_is_the_threads_own():
    made = replay(meta("fork", forked_from_id=THREAD), meta())
    assert made.meta is not None
    assert (made.meta.id, made.meta.forked_from_id) == ("fork", THREAD)


def test_without_events_the_preview_is_the_first_message_to_the_model():
    assert (
        replay(meta(), environment(), spoken("user", "from history"), spoken("user", "more")).preview == "from history"
    )


def test_unknown_lines_and_members_are_ignored():
    lines = [meta(novelty={"a": 1}), ("novelty", {}), event("novelty"), ("event_msg", {}), ("response_item", {})]
    assert [text for _, text in shown(replay(*lines, *user("one"), *agent("a")))[0][2]] == ["one", "a"]


def test_an_event_of_an_unexpected_form_hides_no_other():
    command = event("exec_command_end", call_id="c", turn_id="t", command=["true"], duration={"secs": 1, "nanos": []})
    odd = [
        event("exec_command_end", call_id="d", command=5, duration=[], parsed_cmd=7),
        event("mcp_tool_call_end", call_id="e", invocation=[], result=3),
        event("item_completed", item={"type": "FileChange", "id": "f", "changes": 5}),
        event("error", message="m", codex_error_info=[]),
        event("user_message", message="on", images=5, local_images={}, text_elements=1),
    ]
    made = replay(meta(), event("task_started", turn_id="t"), *user("hello"), *odd, command, *user("bye"))
    (turn,) = [turn.body(False) for turn in made.shown.turns]
    shown = [(item["type"], item.get("durationMs")) for item in turn["items"]]
    assert shown[0] == shown[-1] == ("userMessage", None)
    assert ("commandExecution", 1000) in shown
