"""What may be answered to each kind of question, what it does, and what the model reads of it."""

import json
import re

import pytest
import trio

from spindle import (
    CommandApproval,
    Elicitation,
    InvalidOption,
    PermissionRequest,
    TurnInterrupted,
    UserQuestion,
)
from spindle.actors.delivery import questions as delivery
from spindle.actors.tools.interface import Subject
from spindle.rpc.protocol.approvals import (
    CommandExecutionRequestApprovalParams,
    NetworkPolicyAmendment,
    PermissionsRequestApprovalParams,
    ToolRequestUserInputOption,
    ToolRequestUserInputParams,
    ToolRequestUserInputQuestion,
)
from spindle.rpc.protocol.mcp import McpFormElicitationParams, McpUrlElicitationParams
from spindle.rpc.protocol.settings import CollaborationMode, CollaborationSettings

from .asking import ASKING, add, call, output, touch

DECIDED = {
    "accept": (lambda asked: asked.accept(), 2),
    "for the session": (lambda asked: asked.accept_for_session(), 1),
    "always": (lambda asked: asked.accept_always(), 1),
    "decline": (lambda asked: asked.decline(), 2),
}


@pytest.mark.parametrize("decided", DECIDED)
async def test_the_decisions_about_a_command(opened, scripted, tmp_path, decided):
    """How often the same command is asked about, and what is saved."""
    decide, times = DECIDED[decided]
    asked = []

    async def answer(question):
        asked.append(question)
        decide(question)

    model = scripted([touch("made")], [touch("made", "d")], ["done"])
    async with opened(model, config=ASKING) as runtime, runtime.start_thread(on_question=answer) as thread:
        await thread.run("go")
    assert len(asked) == times
    assert asked[0].rule == ["touch", "made"]
    rules = tmp_path / "home" / "rules" / "default.rules"
    assert (rules.exists() and "touch" in rules.read_text()) == (decided == "always")
    assert (tmp_path / "made").exists() == (decided != "decline")


async def test_without_a_proposed_rule_always_means_for_the_session(opened, scripted, tmp_path):
    asked = []

    async def answer(question):
        asked.append(question)
        question.accept_always()

    (tmp_path / "home" / "rules").mkdir(parents=True)
    (tmp_path / "home" / "rules" / "own.rules").write_text('prefix_rule(pattern=["touch"], decision="prompt")')
    model = scripted([touch("made")], [touch("made", "d")], ["done"])
    async with opened(model, config=ASKING) as runtime, runtime.start_thread(on_question=answer) as thread:
        await thread.run("go")
    assert [question.rule for question in asked] == [None]
    assert not (tmp_path / "home" / "rules" / "default.rules").exists()


async def test_a_network_rule_must_be_a_proposed_one(opened, scripted):
    rule = NetworkPolicyAmendment("example.org", "allow")
    asked = CommandApproval(asked_by(command_params(proposed_network_policy_amendments=[rule])))
    with pytest.raises(InvalidOption, match=re.escape("example.org")):
        asked.apply_network_rule(NetworkPolicyAmendment("example.com", "allow"))
    assert not asked.settled
    asked.apply_network_rule(rule)
    assert given(asked) == {
        "decision": {"applyNetworkPolicyAmendment": {"network_policy_amendment": {"host": "example.org", "action": "allow"}}}
    }


@pytest.mark.parametrize(
    ("line", "script"),
    [
        ("/bin/bash -lc 'make test'", "make test"),
        ("/usr/bin/zsh -c make", "make"),
        ("/tmp/bash -lc 'make test'", None),
        ("bash -lc 'make test'", None),
        ("/bin/bash -lc 'make test' x", None),
        ("/bin/bash -lc 'make", None),
        ("make test", None),
        ("", None),
    ],
)
def test_the_script_of_a_command_is_what_a_systems_shell_runs(line, script):
    question = CommandApproval(asked_by(command_params(command=line)))
    assert question.script == script
    assert str(question) == f"to run the command `{script or line}`"


def asked_by(params, about=None):
    """What is delivered of a question, which no thread waits for."""
    return delivery.Question(7, params.thread_id, params, None, about)


def given(question):
    """The answer on the wire."""
    return question._asked._answer


def command_params(**more):
    return CommandExecutionRequestApprovalParams(thread_id="t", turn_id="u", item_id="i", started_at_ms=0, **more)


async def test_a_patch_accepted_for_the_session_is_not_asked_about_again(opened, scripted, tmp_path):
    asked = []

    async def answer(question):
        asked.append(question)
        question.accept_for_session()

    again = {**add("patched"), "call_id": "q"}
    again["input"] = again["input"].replace("Add File", "Update File").replace("+new", "@@\n-new\n+newer")
    model = scripted([add("patched")], [again], ["done"])
    async with opened(model, config=ASKING) as runtime, runtime.start_thread(on_question=answer) as thread:
        await thread.run("go")
    assert len(asked) == 1
    assert (tmp_path / "patched").read_text() == "newer\n"


FAILED = "exec_command failed for `/bin/bash -c 'touch made'`"
CALLS = {
    "a command": (touch("made"), f"{FAILED}: rejected by user", f"{FAILED}: rejected by user: not here"),
    "a patch": (add("made"), "patch rejected by user", "patch rejected by user: not here"),
    "permissions": (
        call("c", "request_permissions", permissions={"network": {"enabled": True}}),
        '{"permissions":{"network":null,"file_system":null},"scope":"turn"}',
        '{"permissions":{"network":null,"file_system":null},"scope":"turn","declined":"not here"}',
    ),
    "a question to the user": (
        call(
            "c",
            "request_user_input",
            questions=[{"id": "q", "header": "h", "question": "Which?", "options": [{"label": "a", "description": "b"}]}],
        ),
        '{"answers":{}}',
        '{"answers":{},"declined":"not here"}',
    ),
}
WIDE = [("features.request_permissions_tool", True)]
MODES = {"a question to the user": {"collaboration_mode": CollaborationMode("plan", CollaborationSettings("gpt-5.2"))}}


@pytest.mark.parametrize("asking", CALLS)
@pytest.mark.parametrize("reason", ["", "not here"])
async def test_the_reason_of_a_decline_reaches_the_model(opened, scripted, tmp_path, asking, reason):
    made, plain, explained = CALLS[asking]

    async def answer(question):
        question.decline(reason)

    model = scripted([made], ["done"])
    async with opened(model, config=[*ASKING, *WIDE]) as runtime, runtime.start_thread(on_question=answer) as thread:
        assert (await thread.run("go", **MODES.get(asking, {}))).text == "done"
    assert output(model) == (explained if reason else plain)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("asking", CALLS)
async def test_cancel_interrupts_the_turn(opened, scripted, tmp_path, asking, recorded):
    async def answer(question):
        question.cancel()

    model = scripted([CALLS[asking][0]], ["done"])
    async with opened(model, config=[*ASKING, *WIDE]) as runtime, runtime.start_thread(on_question=answer) as thread:
        with trio.fail_after(10), pytest.raises(TurnInterrupted):
            await thread.run("go", **MODES.get(asking, {}))
        assert len(recorded(thread, "turn_aborted")) == 1
    assert not (tmp_path / "made").exists()


PERMISSIONS = {"network": {"enabled": True}, "file_system": {"read": ["/usr/share"], "write": ["/srv/data"]}}


@pytest.mark.parametrize(
    ("granted", "shown"),
    [
        (None, {"network": {"enabled": True}, "file_system": {"read": ["/usr/share"], "write": ["/srv/data"]}}),
        ({"network": {"enabled": True}}, {"network": {"enabled": True}, "file_system": None}),
        ({"fileSystem": {"read": ["/srv/data/a"]}}, {"network": None, "file_system": {"read": ["/srv/data/a"]}}),
    ],
)
@pytest.mark.parametrize("scope", ["turn", "session"])
async def test_a_part_of_the_permissions_may_be_granted(opened, scripted, granted, shown, scope):
    asked = []

    async def answer(question):
        asked.append(str(question))
        (question.accept if scope == "turn" else question.accept_for_session)(granted)

    model = scripted([call("c", "request_permissions", permissions=PERMISSIONS, reason="to build")], ["done"])
    async with opened(model, config=[*ASKING, *WIDE]) as runtime, runtime.start_thread(on_question=answer) as thread:
        await thread.run("go")
    assert json.loads(output(model)) == {"permissions": shown, "scope": scope}
    assert asked == ["permission to read /usr/share and to write /srv/data and to reach the network (to build)"]


@pytest.mark.parametrize(
    ("permissions", "why"),
    [
        ({"fileSystem": {"write": ["/usr/share/x"]}}, "to write '/usr/share/x' was not asked for"),
        ({"fileSystem": {"read": ["/etc"]}}, "to read '/etc' was not asked for"),
        ({"network": {"enabled": True}}, "the network was not asked for"),
        ({"filesystem": {}}, "there is no 'filesystem', but 'network', 'fileSystem'"),
        ({"fileSystem": {"wrtie": ["/srv"]}}, "there is no 'wrtie', but 'read', 'write', 'entries'"),
        ({"fileSystem": ["/usr"]}, "must have the form"),
        ({"fileSystem": {"entries": [{"access": "read"}]}}, "must have the form"),
        ({"fileSystem": {"read": [1]}}, "must have the form"),
        (7, "permissions: must be a mapping, not 7"),
    ],
)
def test_more_permissions_than_asked_for_are_refused(permissions, why):
    params = PermissionsRequestApprovalParams(
        thread_id="t",
        turn_id="u",
        item_id="i",
        started_at_ms=0,
        cwd="/",
        permissions={"fileSystem": {"read": ["/usr/share"], "write": ["/srv"]}, "network": None},
    )
    question = PermissionRequest(asked_by(params))
    with pytest.raises(InvalidOption, match=re.escape(why)):
        question.accept(permissions)
    assert not question.settled


def user_question(**more):
    options = [ToolRequestUserInputOption("red", "warm"), ToolRequestUserInputOption("blue", "cold")]
    questions = [
        ToolRequestUserInputQuestion(id="color", header="h", question="Which?", options=options, **more),
        ToolRequestUserInputQuestion(id="word", header="h", question="What is it?", is_secret=True),
    ]
    return UserQuestion(asked_by(ToolRequestUserInputParams("t", "u", "i", questions)))


@pytest.mark.parametrize(
    ("answers", "wanted"),
    [
        ({"color": "red"}, {"color": ["red"]}),
        ({"color": ["red", "blue"], "word": "xyzzy"}, {"color": ["red", "blue"], "word": ["xyzzy"]}),
        (["blue", "xyzzy"], {"color": ["blue"], "word": ["xyzzy"]}),
        (["blue"], {"color": ["blue"]}),
        ({}, {}),
    ],
)
def test_a_users_answers_are_given_by_id_or_in_order(answers, wanted):
    question = user_question()
    question.accept(answers)
    assert given(question) == {"answers": {id: {"answers": each} for id, each in wanted.items()}}
    assert "xyzzy" not in repr(question)


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        ({"colour": "red"}, "answers: there is no question 'colour', but 'color', 'word'"),
        ({"color": "green"}, "color: must be of the options 'red', 'blue'"),
        ({"color": ["red", "green"]}, "color: must be of the options"),
        ({"word": [1]}, "word: must be a text or a list of texts"),
        ({"word": None}, "word: must be a text or a list of texts"),
        (["red", "a", "b"], "there are 3 for 2 questions"),
        (7, "answers: must be a list, not 7"),
    ],
)
def test_a_users_wrong_answer_is_named(answers, why):
    question = user_question()
    with pytest.raises(InvalidOption, match=re.escape(why)):
        question.accept(answers)
    assert not question.settled


def test_a_question_that_takes_other_answers_takes_any_text():
    question = user_question(is_other=True)
    question.accept({"color": "green"})
    assert question.settled


async def test_a_text_alone_answers_a_single_question(opened, scripted):
    async def answer(question):
        assert [each.id for each in question.questions] == ["q"]
        question.accept("a")

    model = scripted([CALLS["a question to the user"][0]], ["done"])
    async with opened(model, config=ASKING) as runtime, runtime.start_thread(on_question=answer) as thread:
        await thread.run("go", **MODES["a question to the user"])
    assert json.loads(output(model)) == {"answers": {"q": {"answers": ["a"]}}}


SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "age": {"type": "integer"},
        "size": {"type": "number"},
        "sure": {"type": "boolean"},
        "color": {"type": "string", "enum": ["red", "blue"]},
        "any": {},
    },
    "required": ["name"],
}


def elicitation(**more):
    return Elicitation(
        asked_by(McpFormElicitationParams(thread_id="t", server_name="s", message="Who?", requested_schema=SCHEMA, **more))
    )


@pytest.mark.parametrize(
    "content",
    [
        {"name": "n"},
        {"name": "n", "age": 1, "size": 1, "sure": True, "color": "red", "any": [None]},
        {"name": "", "size": 1.5, "any": False},
    ],
)
def test_a_form_is_filled_in(content):
    question = elicitation()
    question.accept(content)
    assert given(question) == {"action": "accept", "content": content, "_meta": None}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "content: misses 'name'"),
        ({"age": 1}, "misses 'name'"),
        ({"name": 1}, "name: must be of type string"),
        ({"name": "n", "age": True}, "age: must be of type integer"),
        ({"name": "n", "age": 1.5}, "age: must be of type integer"),
        ({"name": "n", "sure": 1}, "sure: must be of type boolean"),
        ({"name": "n", "color": "green"}, "color: must be of the options 'red', 'blue'"),
        ({"name": "n", "any": object()}, "any: must be of type JSON"),
        ("n", "content: must be a mapping, not 'n'"),
        ({"name": "n", "nickname": "x"}, "the form has no member 'nickname', but 'name', 'age'"),
    ],
)
def test_a_forms_wrong_value_is_named(content, why):
    question = elicitation()
    with pytest.raises(InvalidOption, match=re.escape(why)):
        question.accept(content)
    assert not question.settled


def test_a_page_is_visited_and_takes_no_content():
    params = McpUrlElicitationParams(
        thread_id="t", server_name="s", message="Sign in", url="https://example.org", elicitation_id="e"
    )
    question = Elicitation(asked_by(params))
    assert (question.url, question.schema, question.tool) == ("https://example.org", None, None)
    with pytest.raises(InvalidOption, match="there is no form"):
        question.accept({"a": 1})
    question.accept()
    assert given(question) == {"action": "accept", "content": None, "_meta": None}


@pytest.mark.parametrize(
    ("offered", "session", "always"),
    [(["session", "always"], "session", "always"), ("session", "session", "session"), (None, None, None)],
)
def test_what_cannot_be_remembered_is_accepted_once(offered, session, always):
    def asked():
        return elicitation_about(meta={"persist": offered} if offered else None)

    once, longer = asked(), asked()
    once.accept_for_session()
    longer.accept_always()
    persisted = [given(question)["_meta"] and given(question)["_meta"]["persist"] for question in (once, longer)]
    assert persisted == [session, always]


def elicitation_about(**more):
    params = McpFormElicitationParams(thread_id="t", server_name="s", message="m", requested_schema={}, **more)
    return Elicitation(asked_by(params, Subject(tool="x", arguments={})))


def test_a_question_is_shown_as_it_is_on_the_wire():
    question = CommandApproval(asked_by(command_params(command="ls", reason="to look")))
    assert question.to_json() == {
        "id": 7,
        "method": "item/commandExecution/requestApproval",
        "params": {
            "threadId": "t",
            "turnId": "u",
            "itemId": "i",
            "startedAtMs": 0,
            "reason": "to look",
            "command": "ls",
        },
    }
    assert repr(question) == "<CommandApproval to run the command `ls` (to look)>"
