"""Conversion between JSON and classes: names, null, defaults, unions, and the words and places of errors."""

import orjson
import pytest
from attrs import frozen

from spindle.rpc.protocol.accounts import ApiKeyLogin, GetAuthStatusResponse
from spindle.rpc.protocol.config import ConfigWarningNotification
from spindle.rpc.protocol.converter import ABSENT, InvalidValue, encode, structure, unstructure
from spindle.rpc.protocol.hooks import HooksListParams
from spindle.rpc.protocol.initialize import InitializeParams
from spindle.rpc.protocol.items import (
    AgentMessageItem,
    CommandExecutionItem,
    FileChangeItem,
    FileUpdateChange,
    McpToolCallItem,
    McpToolCallResult,
    UpdateChange,
    UserMessageItem,
)
from spindle.rpc.protocol.settings import (
    GranularApproval,
    GranularSettings,
    ReadOnlyPolicy,
    RestrictedReadAccess,
    WorkspaceWritePolicy,
)
from spindle.rpc.protocol.skills import SkillsConfigWriteParams
from spindle.rpc.protocol.thread_changes import ThreadMetadataGitInfoUpdateParams, ThreadMetadataUpdateParams
from spindle.rpc.protocol.threads import (
    ActiveStatus,
    ServerRequestResolvedNotification,
    Thread,
    ThreadListParams,
    ThreadLoadedListParams,
    ThreadReadParams,
    ThreadResumeParams,
    ThreadStartParams,
    ThreadStartResponse,
)
from spindle.rpc.protocol.turns import Turn, TurnError, TurnStartParams
from spindle.rpc.protocol.user_input import SkillInput, TextInput


def refused(value: object, cls: type) -> tuple[str, str]:
    with pytest.raises(InvalidValue) as caught:
        structure(value, cls)
    return caught.value.message, caught.value.path


def test_attributes_are_camel_case_on_the_wire() -> None:
    assert unstructure(TurnError("m", None, "d")) == {"message": "m", "codexErrorInfo": None, "additionalDetails": "d"}


def test_metadata_names_a_member_that_is_not_camel_case() -> None:
    assert unstructure(TextInput("a")) == {"type": "text", "text": "a", "text_elements": []}
    given = {"type": "text", "text": "a", "text_elements": [{"byteRange": {"start": 1, "end": 3}}]}
    (element,) = structure(given, TextInput).text_elements
    assert (element.byte_range.start, element.byte_range.end, element.placeholder) == (1, 3, None)


def test_an_item_begins_with_its_type() -> None:
    item = UserMessageItem(id="1", content=[TextInput("hi"), SkillInput("s", "/s")])
    assert encode(item) == (
        b'{"type":"userMessage","id":"1","content":[{"type":"text","text":"hi","text_elements":[]},'
        b'{"type":"skill","name":"s","path":"/s"}]}'
    )


def test_none_is_null_unless_the_attribute_is_omitted() -> None:
    assert encode(ConfigWarningNotification("s")) == b'{"summary":"s","details":null}'
    assert b'"itemsView":"full"' in encode(Turn("t", items_view="full"))


def test_null_is_the_default_where_there_is_one() -> None:
    assert structure({"threadId": "x", "includeTurns": None}, ThreadReadParams) == ThreadReadParams("x", False)


def test_null_and_absent_differ_where_the_protocol_says_so() -> None:
    params = structure({"threadId": "x", "gitInfo": {"sha": None, "branch": "b"}}, ThreadMetadataUpdateParams)
    assert params.git_info == ThreadMetadataGitInfoUpdateParams(None, "b", ABSENT)
    assert unstructure(params)["gitInfo"] == {"sha": None, "branch": "b"}


def test_unknown_members_are_tolerated() -> None:
    assert structure({"limit": 3, "what": {"a": [1]}}, ThreadLoadedListParams) == ThreadLoadedListParams(None, 3)


def test_json_attributes_are_unchanged() -> None:
    info = {"responseStreamDisconnected": {"httpStatusCode": None}}
    assert unstructure(TurnError("m", info))["codexErrorInfo"] is info


def test_encode_takes_attrs_objects_inside_json_and_fragments() -> None:
    body = {"a": [TurnError("m")], "b": orjson.Fragment(b"[1]")}
    assert encode(body) == b'{"a":[{"message":"m","codexErrorInfo":null,"additionalDetails":null}],"b":[1]}'


def test_a_loaded_thread_survives_the_round_trip() -> None:
    items = (
        AgentMessageItem("1", "text", "final_answer"),
        CommandExecutionItem(id="2", command="ls", cwd="/", exit_code=-1, status="completed"),
        FileChangeItem("3", (FileUpdateChange("a", UpdateChange("b"), "@@"),), "completed"),
        McpToolCallItem(
            "4", "s", "t", "failed", {"x": 1}, result=McpToolCallResult(({"type": "text"},), meta={"k": 1})
        ),
    )
    turn = Turn("t", items, status="failed", error=TurnError("m"), started_at=1)
    thread = Thread(
        id="i", session_id="i", model_provider="p", created_at=1, updated_at=2, cwd="/", cli_version="1",
        status=ActiveStatus(("waitingOnApproval",)), turns=(turn,), source={"custom": "x"},
    )  # fmt: skip
    response = ThreadStartResponse(
        thread=thread,
        model="m",
        model_provider="p",
        cwd="/",
        approval_policy=GranularApproval(GranularSettings(sandbox_approval=True, rules=False, mcp_elicitations=True)),
        sandbox=WorkspaceWritePolicy(("/w",), RestrictedReadAccess(False, ("/r",))),
    )
    assert structure(orjson.loads(encode(response)), ThreadStartResponse) == response


def test_members_of_a_thread_keep_the_reference_order() -> None:
    thread = Thread(
        id="i", session_id="i", model_provider="p", created_at=1, updated_at=2, cwd="/", cli_version="1",
        status=ActiveStatus(),
    )  # fmt: skip
    assert list(unstructure(thread)) == [
        "id", "environments", "extra", "sessionId", "forkedFromId", "attachedToThreadId", "parentThreadId",
        "preview", "ephemeral", "section", "sectionEnteredAt",
        "projectId", "historyMode", "modelProvider", "model", "reasoningEffort", "createdAt", "updatedAt", "recencyAt",
        "status", "path", "cwd", "cliVersion", "originator", "source", "canAcceptDirectInput", "threadSource",
        "agentNickname", "agentRole", "gitInfo", "name", "daybreakEnabled", "turns",
    ]  # fmt: skip


def test_a_policy_may_omit_members_with_a_default() -> None:
    params = structure({"threadId": "x", "input": [], "sandboxPolicy": {"type": "readOnly"}}, TurnStartParams)
    assert params.sandbox_policy == ReadOnlyPolicy()


@pytest.mark.parametrize("cwd", ["/a", ["/a", "/b"]])
def test_a_filter_takes_one_text_or_several(cwd: object) -> None:
    found = structure({"cwd": cwd}, ThreadListParams).cwd
    assert found == (cwd if isinstance(cwd, str) else ("/a", "/b"))


@pytest.mark.parametrize("id", ["7", 7, ""])
def test_a_request_id_keeps_its_type(id: str | int) -> None:
    found = structure({"threadId": "t", "requestId": id}, ServerRequestResolvedNotification).request_id
    assert found == id
    assert type(found) is type(id)


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        ("a", 'invalid type: string "a", expected u32'),
        (-1, "invalid value: integer `-1`, expected u32"),
        (2**40, "invalid value: integer `1099511627776`, expected u32"),
        (1.5, "invalid type: floating point `1.5`, expected u32"),
        (2.0, "invalid type: floating point `2.0`, expected u32"),
        (True, "invalid type: boolean `true`, expected u32"),
        ([], "invalid type: sequence, expected u32"),
        ({}, "invalid type: map, expected u32"),
    ],
)
def test_numbers(limit: object, message: str) -> None:
    assert refused({"limit": limit}, ThreadLoadedListParams) == (message, "limit")


@pytest.mark.parametrize(
    ("params", "message", "path"),
    [
        ({"model": 5}, "invalid type: integer `5`, expected a string", "model"),
        ({"model": -1}, "invalid type: integer `-1`, expected a string", "model"),
        ({"ephemeral": "yes"}, 'invalid type: string "yes", expected a boolean', "ephemeral"),
        ({"ephemeral": 1}, "invalid type: integer `1`, expected a boolean", "ephemeral"),
        ({"config": []}, "invalid type: sequence, expected a map", "config"),
        (
            {"sandbox": "nope"},
            "unknown variant `nope`, expected one of `read-only`, `workspace-write`, `danger-full-access`",
            "sandbox",
        ),
        (
            {"sessionStartSource": "q"},
            "unknown variant `q`, expected `startup` or `clear`",
            "sessionStartSource",
        ),
        ({"sandbox": 5}, "invalid type: integer `5`, expected string or map", "sandbox"),
        (
            {"approvalPolicy": "bogus"},
            "unknown variant `bogus`, expected one of `untrusted`, `on-failure`, `on-request`, `granular`, `never`",
            "approvalPolicy",
        ),
        ({"approvalPolicy": {"granular": {}}}, "missing field `sandbox_approval`", "approvalPolicy.granular"),
        ({"approvalPolicy": {}}, "invalid value: map, expected map with a single key", "approvalPolicy"),
        ({"approvalPolicy": {"never": 1}}, "invalid type: integer `1`, expected unit", "approvalPolicy"),
        (
            {"approvalPolicy": "granular"},
            "invalid type: unit variant, expected struct variant",
            "approvalPolicy",
        ),
        ({"dynamicTools": [{"name": "a", "description": "b"}]}, "missing field `inputSchema`", "dynamicTools[0]"),
        ("x", 'invalid type: string "x", expected struct ThreadStartParams', ""),
        (7, "invalid type: integer `7`, expected struct ThreadStartParams", ""),
        (None, "invalid type: null, expected struct ThreadStartParams", ""),
    ],
)
def test_errors_of_thread_start(params: object, message: str, path: str) -> None:
    assert refused(params, ThreadStartParams) == (message, path)


WRONG_INPUTS: list[tuple[object, str, str]] = [
    ({}, "invalid type: map, expected a sequence", "input"),
    (None, "invalid type: null, expected a sequence", "input"),
    ([{}], "missing field `type`", "input[0]"),
    (["x"], 'invalid type: string "x", expected internally tagged enum UserInput', "input[0]"),
    (
        [{"type": "text", "text": "a"}, {"type": "bogus"}],
        "unknown variant `bogus`, expected one of `text`, `image`, `localImage`, `audio`, `localAudio`, `skill`, `mention`",
        "input[1].type",
    ),
    ([{"type": "text"}], "missing field `text`", "input[0]"),
    (
        [{"type": "text", "text": "a", "text_elements": [{"byteRange": {"start": -1, "end": 1}}]}],
        "invalid value: integer `-1`, expected usize",
        "input[0].text_elements[0].byteRange.start",
    ),
]


@pytest.mark.parametrize(("input", "message", "path"), WRONG_INPUTS)
def test_errors_in_a_turns_input(input: object, message: str, path: str) -> None:
    assert refused({"threadId": "x", "input": input}, TurnStartParams) == (message, path)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({}, "missing field `threadId`"),
        ({"threadId": "x"}, "missing field `input`"),
        ({"input": 5}, "invalid type: integer `5`, expected a sequence"),
    ],
)
def test_wrong_members_are_reported_before_missing_ones(params: object, message: str) -> None:
    assert refused(params, TurnStartParams)[0] == message


def test_a_relative_root_is_refused() -> None:
    policy = {"type": "workspaceWrite", "writableRoots": ["/a", "rel"]}
    message, path = refused({"threadId": "x", "input": [], "sandboxPolicy": policy}, TurnStartParams)
    assert message == "AbsolutePathBuf deserialized without a base path"
    assert path == "sandboxPolicy.writableRoots[1]"


def test_an_untagged_value_of_no_known_shape() -> None:
    assert refused({"cwd": [5]}, ThreadListParams)[0] == (
        "data did not match any variant of untagged enum ThreadListCwdFilter"
    )


def test_values_of_a_map_are_located_by_key() -> None:
    params: dict[str, object] = {"threadId": "x", "input": [], "responsesapiClientMetadata": {"a": 5}}
    assert refused(params, TurnStartParams)[1] == "responsesapiClientMetadata.a"


def test_the_error_as_text_names_the_place() -> None:
    assert str(InvalidValue("m", "a[0]")) == "m (at a[0])"
    assert str(InvalidValue("m")) == "m"


def test_history_must_contain_objects() -> None:
    assert refused({"threadId": "x", "history": [1]}, ThreadResumeParams)[1] == "history[0]"


def test_the_handshake() -> None:
    given = {"clientInfo": {"name": "x", "version": "1"}, "capabilities": {"experimentalApi": True, "odd": 1}}
    params = structure(given, InitializeParams)
    assert params.client_info.title is None
    assert params.capabilities is not None
    assert params.capabilities.experimental_api
    assert refused({"clientInfo": {"name": "x"}}, InitializeParams) == ("missing field `version`", "clientInfo")


def test_secrets_are_not_shown_in_a_repr() -> None:
    assert "sk-secret" not in repr(ApiKeyLogin("sk-secret"))
    assert "sk-secret" not in repr(GetAuthStatusResponse("apikey", "sk-secret", True))


def test_a_union_without_annotation_is_a_programming_error() -> None:
    @frozen
    class Loose:
        value: int | str

    with pytest.raises(TypeError, match="annotate the union"):
        structure({"value": 1}, Loose)


@pytest.mark.parametrize(
    ("cls", "params"),
    [
        (HooksListParams, {"cwds": ["/", "/a\0"]}),
        (SkillsConfigWriteParams, {"enabled": True, "path": "\0"}),
        (ThreadStartParams, {"cwd": "a\0b"}),
        (TurnStartParams, {"threadId": "x", "input": [{"type": "localImage", "path": "\0"}]}),
        (WorkspaceWritePolicy, {"writableRoots": ["/\0"]}),
    ],
)
def test_no_path_has_a_nul(cls: type, params: object) -> None:
    message, path = refused(params, cls)
    assert message == "invalid value: a path with a NUL character"
    assert path


@pytest.mark.parametrize(
    ("cls", "params"), [(HooksListParams, {"cwds": "x" * 10_000_000}), (ThreadListParams, {"sortKey": "x" * 10_000_000})]
)
def test_an_error_quotes_only_a_part_of_a_long_value(cls: type, params: object) -> None:
    message, _ = refused(params, cls)
    assert "xxx…" in message
    assert len(message) < 2000
