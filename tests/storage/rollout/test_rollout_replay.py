"""Replaying rollouts as Codex 0.124 and 0.169 write them, and ones without marks of turns."""

import itertools

import orjson

from spindle.rpc.protocol.converter import unstructure
from spindle.storage.rollout.lines import decode_line, encode_line
from spindle.storage.rollout.replay import Replay

THREAD = "00000000-0000-7000-8000-000000000001"


def event(kind, **members):
    return "event_msg", {"type": kind, **members}


def item(**members):
    return "response_item", members


def message(role, text, **members):
    kind = "output_text" if role == "assistant" else "input_text"
    return {"type": "message", "role": role, "content": [{"type": kind, "text": text}], **members}


def spoken(role, text, **members):
    return "response_item", message(role, text, **members)


def environment(cwd="/"):
    return spoken("user", f"<environment_context>\n  <cwd>{cwd}</cwd>\n</environment_context>")


def meta(id=THREAD, **members):
    head = {"id": id, "timestamp": "2025-01-05T12:00:00.000Z", "cwd": "/", "originator": "o", "cli_version": "0.0.0"}
    return "session_meta", {**head, "source": "cli", "model_provider": "p", **members}


def context(turn, model="m"):
    return "turn_context", {"turn_id": turn, "cwd": "/", "model": model, "approval_policy": "never"}


def usage(total):
    counts = {"input_tokens": total, "cached_input_tokens": 0, "output_tokens": 0, "total_tokens": total}
    return event("token_count", info={"total_token_usage": counts, "last_token_usage": counts}, rate_limits=None)


def replay(*lines, numbered=False):
    """Feed lines as they come out of a file."""
    made, ordinals = Replay(), itertools.count()
    for kind, payload in lines:
        line = decode_line(encode_line(kind, payload, None, next(ordinals) if numbered else None))
        assert line is not None
        made.feed(line)
    return made


def user(text):
    return [spoken("user", text), event("user_message", message=text, images=[], local_images=[], text_elements=[])]


def agent(text):
    return [event("agent_message", message=text, phase=None, memory_citation=None), spoken("assistant", text)]


def turn(id, text, *answer, end=True):
    """A turn in the lines of 0.124."""
    start = event("task_started", turn_id=id, started_at=100, model_context_window=1000)
    done = event("task_complete", turn_id=id, last_agent_message=None, completed_at=102, duration_ms=1999)
    return [start, context(id), *user(text), *answer, *([done] if end else [])]


def shown(made, **options):
    """(turn id, status, [(item id, text)]) of each turn."""
    rows = []
    for one in unstructure(made.turns(**options)):
        items = []
        for entry in one["items"]:
            text = entry.get("text") or "".join(part.get("text", "") for part in entry.get("content", ()))
            items.append((entry["id"], text))
        rows.append((one["id"], one["status"], items))
    return rows


def sent(items):
    """What the model is sent, decoded."""
    return [orjson.loads(entry.json) for entry in items]


def said(made):
    return ["".join(part["text"] for part in body["content"]) for body in sent(made.history) if "content" in body]


# ---- as 0.124 writes


def two_turns():
    return [
        meta(base_instructions={"text": "BASE"}, git={"branch": "main"}),
        event("task_started", turn_id="t1", started_at=100, model_context_window=1000),
        spoken("developer", "<permissions instructions>none</permissions instructions>"),
        environment(),
        context("t1"),
        *user("hello one"),
        event("token_count", info=None, rate_limits={"limit_id": "codex"}),
        *agent("Hello"),
        usage(15),
        event("task_complete", turn_id="t1", last_agent_message="Hello", completed_at=101, duration_ms=63),
        event("task_started", turn_id="t2", started_at=103, model_context_window=1000),
        context("t2", "other"),
        *user("hello two"),
        *agent("two"),
        usage(30),
        event("task_complete", turn_id="t2", last_agent_message="two", completed_at=104, duration_ms=73),
    ]


def test_turns_of_0_124():
    made = replay(*two_turns())
    assert shown(made) == [
        ("t1", "completed", [("item-1", "hello one"), ("item-2", "Hello")]),
        ("t2", "completed", [("item-3", "hello two"), ("item-4", "two")]),
    ]
    first = made.turns()[0]
    assert (first.started_at, first.completed_at, first.duration_ms, first.error) == (100, 101, 63, None)


def test_history_of_0_124_is_the_response_items_as_they_are():
    lines = two_turns()
    made = replay(*lines)
    assert sent(made.history) == [payload for kind, payload in lines if kind == "response_item"]
    assert [entry.role for entry in made.history] == ["developer", "user", "user", "assistant", "user", "assistant"]


def test_what_else_a_rollout_tells():
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


def test_members_that_only_0_169_knows_are_not_sent_to_the_model():
    made = replay(meta(), *modern("t1", "one", "Hello"))
    assert sent(made.history) == [message("user", "one"), message("assistant", "Hello")]


def test_an_item_in_the_protocols_own_form_is_shown_as_it_is():
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


def test_an_error_in_the_protocols_spelling_stays():
    failure = event("error", message="x", codex_error_info="usageLimitExceeded", additional_details=None)
    [one] = replay(meta(), *turn("t1", "one", failure)).turns()
    assert one.error is not None
    assert one.error.codex_error_info == "usageLimitExceeded"


def test_an_error_outside_any_turn_makes_no_turn_and_fails_none():
    made = replay(meta(), *turn("t1", "one"), event("error", message="x", codex_error_info="other"))
    assert [status for _, status, _ in shown(made)] == ["completed"]


def test_an_error_about_a_request_leaves_the_turn_as_it_is():
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


# ---- what the model is sent


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


def test_outputs_that_answer_no_call_are_left_out():
    assert replay(meta(), output("c1")).completed_history() == []


def test_reasoning_is_kept_and_snapshots_are_not():
    thought = {"type": "reasoning", "summary": [], "encrypted_content": "abc"}
    made = replay(meta(), item(**thought, id="rs_1"), item(type="ghost_snapshot", ghost_commit={}))
    assert sent(made.history) == [thought]


def test_a_compaction_replaces_what_the_model_sees_but_not_the_turns():
    compacted = "compacted", {"message": "SUM", "replacement_history": [message("user", "REPLACED", id="m")]}
    made = replay(meta(), *user("first"), *agent("a1"), compacted, *user("after"), *agent("a2"))
    assert said(made) == ["REPLACED", "after", "a2"]
    assert "id" not in sent(made.history)[0]
    assert [text for _, _, items in shown(made) for _, text in items] == ["first", "a1", "after", "a2"]


def test_an_old_compaction_keeps_what_the_user_said_and_the_summary():
    compacted = "compacted", {"message": "SUM"}
    made = replay(meta(), environment(), *user("first"), *agent("a1"), compacted, *user("after"))
    assert said(made) == ["first", "SUM", "after"]


# ---- rollback


def back(count):
    return event("thread_rolled_back", num_turns=count)


def test_a_rollback_drops_turns_for_the_user_and_the_model():
    lines = [meta(), *turn("t1", "one", *agent("a1")), *turn("t2", "two", call("c"), output("c"), *agent("a2"))]
    made = replay(*lines, usage(9), back(1), *turn("t3", "three"))
    assert said(made) == ["one", "a1", "three"]
    assert all(entry.call_id is None for entry in made.history)
    assert [(id, [i for i, _ in items]) for id, _, items in shown(made)] == [
        ("t1", ["item-1", "item-2"]),
        ("t3", ["item-3"]),
    ]


def test_a_rollback_restores_the_settings_the_model_knows_of():
    start = event("task_started", turn_id="t2", started_at=1)
    changed = [start, environment("/elsewhere"), context("t2", "other"), *user("two")]
    made = replay(meta(), environment(), *turn("t1", "one"), *changed, back(1))
    assert made.last_turn_context is not None
    assert made.last_turn_context["model"] == "m"
    assert not any("/elsewhere" in text for text in said(made))


def test_a_rollback_of_every_turn_keeps_the_opening_context_and_the_preview():
    made = replay(*two_turns(), back(5))
    assert made.turns() == []
    assert [entry.role for entry in made.history] == ["developer", "user"]
    assert made.preview == "hello one"
    assert made.last_turn_context is not None
    assert made.last_turn_context["model"] == "m"


def test_a_rollback_without_marks_drops_the_user_message_too():
    made = replay(meta(), *user("one"), *agent("a1"), *user("two"), *agent("a2"), back(1), *user("three"))
    assert said(made) == ["one", "a1", "three"]
    assert [text for _, _, items in shown(made) for _, text in items] == ["one", "a1", "three"]


def test_a_rollback_past_a_compaction_drops_what_is_left_of_those_turns():
    kept = [message("user", "one"), message("user", "two"), message("user", "SUM")]
    compacted = "compacted", {"message": "SUM", "replacement_history": kept}
    lines = [meta(), *turn("t1", "one"), *turn("t2", "two"), compacted, *turn("t3", "three", *agent("a3"))]
    assert said(replay(*lines, back(1))) == ["one", "two", "SUM"]
    assert said(replay(*lines, back(2))) == ["one"]
    assert said(replay(*lines, back(3))) == []


# ---- names, previews, forks


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


def test_unknown_lines_and_members_are_passed_over():
    lines = [meta(novelty={"a": 1}), ("novelty", {}), event("novelty"), ("event_msg", {}), ("response_item", {})]
    assert [text for _, text in shown(replay(*lines, *user("one"), *agent("a")))[0][2]] == ["one", "a"]


def test_an_event_of_another_form_hides_nothing_else():
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
