"""The methods: order of checks, required parameters, and what needs the experimentalApi capability."""

import pytest

from spindle.rpc.protocol.accounts import ApiKeyLogin, ChatgptAuthTokensLogin
from spindle.rpc.protocol.catalog import METHODS, check_experimental, params_class, parse_params, structure_params
from spindle.rpc.protocol.errors import INVALID_REQUEST, RpcError
from spindle.rpc.protocol.threads import ThreadLoadedListParams, ThreadStartParams

GRANULAR = {"granular": {"sandbox_approval": True, "rules": True, "mcp_elicitations": True}}
PLAN = {"mode": "plan", "settings": {"model": "m"}}
TURN: dict[str, object] = {"threadId": "x", "input": []}


def refused(method: str, params: object, has_params: bool = True, experimental: bool = False) -> str:
    with pytest.raises(RpcError) as caught:
        parse_params(method, params, has_params, experimental)
    assert caught.value.code == INVALID_REQUEST
    return caught.value.message


def test_an_unknown_method_lists_the_known_ones() -> None:
    message = refused("initialized", {})
    assert message.startswith(
        "Invalid request: unknown variant `initialized`, expected one of `initialize`, `thread/start`, "
    )
    assert message.endswith(", ".join(f"`{method}`" for method in METHODS))
    assert refused("fs/openFile", {"path": "/x"}) == message.replace("`initialized`", "`fs/openFile`")


@pytest.mark.parametrize("method", [name for name, method in METHODS.items() if method.params])
def test_every_modelled_method_has_its_class(method: str) -> None:
    assert params_class(method) is not None


@pytest.mark.parametrize("has_params", [True, False])
def test_params_are_required_even_when_all_members_are_optional(has_params: bool) -> None:
    assert refused("thread/loaded/list", None, has_params) == "Invalid request: missing field `params`"
    assert parse_params("thread/loaded/list", {}, True, False) == ThreadLoadedListParams()


def test_a_method_without_params_takes_null_and_an_empty_object() -> None:
    assert parse_params("account/logout", None, False, False) is None
    assert parse_params("account/logout", None, True, False) is None
    assert parse_params("account/logout", {}, True, False) is None
    assert refused("account/logout", {"a": 1}) == "Invalid request: invalid type: map, expected unit"
    assert refused("account/logout", []) == "Invalid request: invalid type: sequence, expected unit"


def test_an_error_names_the_place() -> None:
    assert refused("thread/loaded/list", {"limit": "a"}) == (
        'Invalid request: invalid type: string "a", expected u32 (at limit)'
    )
    assert refused("turn/start", {"threadId": "x"}) == "Invalid request: missing field `input`"


def test_a_login_is_distinguished_by_its_type() -> None:
    assert parse_params("account/login/start", {"type": "apiKey", "apiKey": "k"}, True, False) == ApiKeyLogin("k")
    assert refused("account/login/start", {}) == "Invalid request: missing field `type`"


GATED: list[tuple[str, object, str]] = [
    ("mock/experimentalMethod", {}, "mock/experimentalMethod"),
    ("collaborationMode/list", {}, "collaborationMode/list"),
    ("thread/start", {"mockExperimentalField": "x"}, "thread/start.mockExperimentalField"),
    ("thread/start", {"dynamicTools": []}, "thread/start.dynamicTools"),
    ("thread/start", {"experimentalRawEvents": True}, "thread/start.experimentalRawEvents"),
    ("thread/start", {"persistExtendedHistory": True}, "thread/start.persistFullHistory"),
    ("thread/start", {"approvalPolicy": GRANULAR}, "askForApproval.granular"),
    ("thread/resume", {"threadId": "x", "history": []}, "thread/resume.history"),
    ("thread/resume", {"threadId": "x", "path": "/x"}, "thread/resume.path"),
    ("thread/resume", {"threadId": "x", "approvalPolicy": GRANULAR}, "askForApproval.granular"),
    ("thread/fork", {"threadId": "x", "path": "/x"}, "thread/fork.path"),
    ("turn/start", TURN | {"collaborationMode": PLAN}, "turn/start.collaborationMode"),
    ("turn/start", TURN | {"environments": []}, "turn/start.environments"),
    ("turn/start", TURN | {"responsesapiClientMetadata": {}}, "turn/start.responsesapiClientMetadata"),
    ("turn/start", TURN | {"approvalPolicy": GRANULAR}, "askForApproval.granular"),
    (
        "turn/steer",
        TURN | {"expectedTurnId": "x", "responsesapiClientMetadata": {}},
        "turn/steer.responsesapiClientMetadata",
    ),
    ("thread/search", {"searchTerm": "x"}, "thread/search"),
    ("thread/searchOccurrences", {"threadId": "x", "searchTerm": "x"}, "thread/searchOccurrences"),
    ("thread/settings/update", {"threadId": "x"}, "thread/settings/update"),
    ("thread/list", {"parentThreadId": "x"}, "thread/list.parentThreadId"),
    ("thread/list", {"ancestorThreadId": "x"}, "thread/list.ancestorThreadId"),
    (
        "account/login/start",
        {"type": "chatgptAuthTokens", "accessToken": "a", "chatgptAccountId": "b"},
        "account/login/start.chatgptAuthTokens",
    ),
]


@pytest.mark.parametrize(("method", "params", "what"), GATED)
def test_gating(method: str, params: object, what: str) -> None:
    assert refused(method, params) == f"{what} requires experimentalApi capability"
    parse_params(method, params, True, True)


UNGATED: list[tuple[str, object]] = [
    ("thread/start", {"mockExperimentalField": None, "experimentalRawEvents": False, "dynamicTools": None}),
    ("thread/start", {"permissionProfile": {"network": None}, "approvalPolicy": "on-request"}),
    ("turn/start", TURN | {"outputSchema": {}, "collaborationMode": None, "effort": "low"}),
    ("thread/turns/list", {"threadId": "x"}),
    ("account/login/start", {"type": "chatgpt"}),
    ("thread/list", {"sectionId": None, "excludedThreadIds": [], "sortKey": "section_position"}),
    ("threadSection/create", {"name": "x", "appearance": {"icon": "x"}}),
    ("thread/goal/set", {"threadId": "x", "tokenBudget": None}),
]


@pytest.mark.parametrize(("method", "params"), UNGATED)
def test_values_that_are_not_gated(method: str, params: object) -> None:
    parse_params(method, params, True, False)


def test_a_wrong_shape_is_reported_before_gating() -> None:
    assert refused("mock/experimentalMethod", {"value": 5}).startswith("Invalid request: invalid type")
    assert refused("thread/start", {"dynamicTools": 5}).startswith("Invalid request: invalid type")


def test_structuring_alone_does_not_gate() -> None:
    params = structure_params("thread/start", {"dynamicTools": []})
    assert params == ThreadStartParams(dynamic_tools=())
    with pytest.raises(RpcError, match="requires experimentalApi"):
        check_experimental("thread/start", params)


def test_tokens_are_not_in_reprs() -> None:
    assert "secret" not in repr(ChatgptAuthTokensLogin("secret", "account"))
