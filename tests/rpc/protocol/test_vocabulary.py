"""Each member that a version of the reference server has is served, refused or harmless, and the docs say which."""

import ast
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import attrs
import pytest
from tests.rpc.protocol.judging import FACTS, judged, members, methods_table, table

import spindle
from spindle.actors.clients.methods import HANDLERS
from spindle.rpc.protocol.catalog import METHODS, params_class, parse_params
from spindle.rpc.protocol.errors import INVALID_REQUEST, RpcError
from spindle.rpc.protocol.vocabulary import HARMLESS, REFUSED

ABOVE = [Path(spindle.__file__).parent / floor for floor in ("actors", "storage")]
OMITTED = {"getAuthStatus", "getConversationSummary", "gitDiffToRemote", "thread/rollback"}
"""Methods that the schemas do not have."""
DOCS = Path(__file__).parents[3] / "docs" / "protocol.md"


def test_the_listed_methods_are_the_served_ones() -> None:
    assert set(METHODS) == {"initialize", *HANDLERS}
    assert set(METHODS) - set(FACTS) <= OMITTED


@pytest.mark.parametrize("method", METHODS)
def test_each_member_has_a_treatment(method: str) -> None:
    undecided = [path for path, said in judged(method) if said is None]
    assert undecided == []


def test_the_docs_have_each_treatment() -> None:
    assert table() in DOCS.read_text(), "run `python -m tests.rpc.protocol.judging`"


def test_the_docs_have_each_method() -> None:
    assert methods_table() in DOCS.read_text(), "run `python -m tests.rpc.protocol.judging`"


def classes_of_params() -> dict[str, Any]:
    """All classes that may occur in a method's parameters, by name."""
    found: dict[str, Any] = {}

    def look(kind: Any) -> None:
        for argument in get_args(kind):
            look(argument)
        if isinstance(kind, type) and attrs.has(kind) and kind.__name__ not in found:
            found[kind.__name__] = kind
            for attribute in attrs.fields(kind):
                look(attribute.type)

    for method in METHODS:
        look(params_class(method))
    return found


def test_the_tables_name_existing_classes_and_no_served_member() -> None:
    classes = classes_of_params()
    assert {*REFUSED, *HARMLESS} <= set(classes)
    assert {name: set(refused) & set(members(classes[name])) for name, refused in REFUSED.items()} == {
        name: set() for name in REFUSED
    }


def read_above() -> set[str]:
    """The attributes that code above the protocol reads, and the names that it looks up."""

    def reads(path: Path) -> Iterator[str]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                yield node.attr
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value
            elif isinstance(node, ast.MatchClass):
                yield from node.kwd_attrs

    return {name for floor in ABOVE for path in floor.rglob("*.py") for name in reads(path)}


def test_served_members_are_read_by_code() -> None:
    read = read_above()
    classes = classes_of_params()
    # kept unchanged
    whole = {"ThreadSectionAppearance", "EncryptedContent"}
    unread = {
        f"{name}.{wire}"
        for name, cls in classes.items()
        for wire, attribute in members(cls).items()
        if name not in whole and attribute.name not in read and wire not in HARMLESS.get(name, ())
    }
    assert unread == set()


REFUSALS: list[tuple[str, dict[str, Any], str]] = [
    ("thread/list", {"attachedToThreadId": "p"}, "thread/list.attachedToThreadId"),
    ("thread/list", {"originators": ["x"]}, "thread/list.originators"),
    ("thread/list", {"attachedToThreadId": "x"}, "thread/list.attachedToThreadId"),
    ("thread/fork", {"threadId": "x", "attachToSource": True}, "thread/fork.attachToSource"),
    ("thread/start", {"selectedCapabilityRoots": [{}]}, "thread/start.selectedCapabilityRoots"),
    ("thread/settings/update", {"disabledPluginIds": ["x"]}, "thread/settings/update.disabledPluginIds"),
    (
        "turn/start",
        {"threadId": "x", "input": [], "toolOutput": {"name": "f", "output": "", "retain": True}},
        "turn/start.toolOutput.retain",
    ),
]


@pytest.mark.parametrize(("method", "params", "what"), REFUSALS)
def test_a_refused_member_is_named(method: str, params: dict[str, Any], what: str) -> None:
    with pytest.raises(RpcError) as caught:
        parse_params(method, params, True, True)
    assert (caught.value.code, caught.value.message) == (INVALID_REQUEST, f"{what} is not supported")


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("thread/list", {"originators": [], "attachedToThreadId": None}),
        ("thread/fork", {"threadId": "x", "attachToSource": False, "experimentalPredictionMode": None}),
        ("thread/start", {"selectedCapabilityRoots": []}),
    ],
)
def test_empty_values_are_not_refused(method: str, params: dict[str, Any]) -> None:
    parse_params(method, params, True, True)


def test_unknown_members_are_logged_and_harmless_ones_are_not(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "spindle")
    text = {"type": "text", "text": "hello"}
    params = {"threadId": "x", "input": [text], "clientUserMessageId": "m", "nonsense": 1}
    parse_params("turn/start", params, True, True)
    assert [record.getMessage() for record in caplog.records] == [
        "ignored the unknown member 'nonsense' of TurnStartParams"
    ]


def test_each_refused_member_is_refused_wherever_its_class_occurs() -> None:
    from spindle.rpc.protocol.converter import structure
    from spindle.rpc.protocol.invalid import Unsupported

    for name, refused in REFUSED.items():
        for member, nothing in refused.items():
            with pytest.raises(Unsupported) as caught:
                structure({member: "x"}, classes_of_params()[name])
            assert caught.value.path == member
            assert all(value in ([], False) for value in nothing)


def test_the_data_lists_nested_members_and_variants() -> None:
    nested = {"input.<image>.fileId", "environments.runtimeWorkspaceRoots", "approvalPolicy.granular.rules"}
    assert nested <= set(FACTS["turn/start"])
