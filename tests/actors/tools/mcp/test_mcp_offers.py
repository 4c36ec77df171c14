"""The offer to the model: valid names, and reduced schemas. The cases were sent to Codex 0.124."""

import hashlib
from typing import Any

import pytest

from spindle.actors.tools.mcp.offers import offer
from spindle.actors.tools.mcp.schemas import input_schema
from spindle.actors.tools.mcp.server import Server
from spindle.storage.config import McpServerConfig

from .conftest import PlayedOpener


def server(name, *tools, instructions=None):
    made = Server(McpServerConfig(name=name, command="x"), PlayedOpener(), {})
    made.tools = tuple({"name": tool, "inputSchema": {}} for tool in tools)
    made.schemas = {tool: input_schema({}) for tool in tools}
    made.instructions = instructions
    return made


def names(*servers):
    return [(space["name"], [tool["name"] for tool in space["tools"]]) for space in offer(servers).namespaces]


def test_a_server_is_a_namespace_of_functions():
    made = server("tiny", "echo", instructions="Use it well.")
    made.tools = (made.tools[0] | {"description": "says it again"},)
    given = offer([made])
    assert given.namespaces == [
        {
            "type": "namespace",
            "name": "mcp__tiny__",
            "description": "Use it well.",
            "tools": [
                {
                    "type": "function",
                    "name": "echo",
                    "description": "says it again",
                    "strict": False,
                    "parameters": {"type": "object", "properties": {}},
                }
            ],
        }
    ]
    tool = given.tools["mcp__tiny__", "echo"]
    assert (tool.server, tool.name) == (made, "echo")


def test_a_server_without_instructions_or_tools():
    assert offer([server("tiny", "t"), server("empty")]).namespaces[0]["description"] == (
        "Tools in the mcp__tiny__ namespace."
    )
    assert names(server("empty")) == []


def test_names_have_letters_digits_and_underscores_and_are_sorted():
    assert names(server("s-1", "x-y", "ok_1", "a.b", "A", "")) == [("mcp__s_1__", ["A", "_", "a_b", "ok_1", "x_y"])]
    assert [name for name, _ in names(server("b", "t"), server("a", "t"))] == ["mcp__a__", "mcp__b__"]


def test_equal_names_end_in_a_hash():
    made = server("tiny", "a.b", "a_b", "c")
    (_, tools), *_ = names(made)
    assert tools[2] == "c"
    assert len(set(tools)) == 3
    assert all(name.startswith("a_b_") and len(name) == 16 for name in tools[:2])
    real = {name: tool.name for (_, name), tool in offer([made]).tools.items()}
    assert set(real.values()) == {"a.b", "a_b", "c"}
    digest = hashlib.sha1(b"tiny/a.b").hexdigest()[:12]
    assert real["a_b_" + digest] == "a.b"


def test_equal_server_names_end_in_a_hash():
    spaces = names(server("a-b", "t"), server("a_b", "t"), server("z", "t"))
    assert [len(name) for name, _ in spaces] == [23, 23, 8]
    assert len({name for name, _ in spaces}) == 3


@pytest.mark.parametrize(("length", "kept"), [(53, True), (54, False), (200, False)])
def test_a_namespace_and_a_function_have_64_characters_together(length, kept):
    ((space, (name,)),) = names(server("tiny", "y" * length))
    assert len(space + name) == 64
    assert (name == "y" * length) is kept


def test_the_longest_server_name_leaves_room_for_its_tools():
    ((space, tools),) = names(server("q" * 70, "t", "u" * 60, "u" * 61))
    assert len(space) <= 51
    assert space.endswith("__")
    assert len(set(tools)) == 3
    assert all(len(space + tool) <= 64 for tool in tools)


STRING = {"type": "string"}
SCHEMAS: list[tuple[Any, Any]] = [
    ({}, {"type": "object", "properties": {}}),
    (None, {"type": "object", "properties": {}}),
    ({"properties": {"a": {}}}, {"type": "object", "properties": {"a": STRING}}),
    ({"type": "object", "properties": None, "required": []}, {"type": "object", "properties": {}, "required": []}),
    ({"type": "array"}, {"type": "array", "items": STRING, "properties": {}}),
    (
        {"$schema": "x", "title": "T", "$defs": {"Q": {}}, "type": "object", "additionalProperties": False},
        {"type": "object", "properties": {}, "additionalProperties": False},
    ),
    (
        {"additionalProperties": {"anyOf": [{"type": "string", "minLength": 2}]}},
        {"type": "object", "properties": {}, "additionalProperties": {"anyOf": [STRING]}},
    ),
    (
        {"description": "top", "anyOf": [{"required": ["a"]}]},
        {
            "type": "object",
            "description": "top",
            "properties": {},
            "anyOf": [{"type": "object", "properties": {}, "required": ["a"]}],
        },
    ),
]
MEMBERS: list[tuple[Any, Any]] = [
    (True, STRING),
    (False, STRING),
    ({"$ref": "#/$defs/Q"}, STRING),
    ({"type": "weird"}, STRING),
    ({"oneOf": [{"type": "number"}]}, STRING),
    ({"allOf": [{"type": "object"}]}, STRING),
    ({"description": "only"}, {"type": "string", "description": "only"}),
    ({"format": "date"}, STRING),
    ({"type": ["string", "null"], "format": "uri"}, {"type": ["string", "null"]}),
    ({"enum": [1, 2]}, {"type": "string", "enum": [1, 2]}),
    ({"enum": []}, {"type": "string", "enum": []}),
    ({"const": 3}, {"type": "string", "enum": [3]}),
    ({"minimum": 1}, {"type": "number"}),
    ({"type": "integer", "minimum": 1, "default": 2, "title": "t"}, {"type": "integer"}),
    ({"type": "null"}, {"type": "null"}),
    ({"items": {"type": "number"}}, {"type": "array", "items": {"type": "number"}}),
    ({"prefixItems": [{"type": "number"}]}, {"type": "array", "items": STRING}),
    ({"type": ["array", "null"]}, {"type": ["array", "null"], "items": STRING}),
    ({"type": ["object", "null"]}, {"type": ["object", "null"], "properties": {}}),
    ({"required": ["x"]}, {"type": "object", "properties": {}, "required": ["x"]}),
    ({"properties": {"z": {}, "a": {}}}, {"type": "object", "properties": {"a": STRING, "z": STRING}}),
    ({"anyOf": [STRING, {"type": "null"}], "default": None}, {"anyOf": [STRING, {"type": "null"}]}),
    ({"additionalProperties": {}}, {"type": "object", "properties": {}, "additionalProperties": STRING}),
    (
        {"type": "object", "additionalProperties": True},
        {"type": "object", "properties": {}, "additionalProperties": True},
    ),
]


@pytest.mark.parametrize(("given", "cut"), SCHEMAS)
def test_the_schema_of_a_tool(given, cut):
    assert input_schema(given) == cut


@pytest.mark.parametrize(("given", "cut"), MEMBERS)
def test_the_schema_of_a_member(given, cut):
    assert input_schema({"properties": {"m": given}})["properties"] == {"m": cut}


def test_a_very_deep_schema_is_cut_off():
    deep: dict[str, Any] = {}
    for _ in range(5000):
        deep = {"properties": {"x": deep}}
    assert input_schema(deep)["type"] == "object"
