"""The parameters of functions: what the model is offered of them, and which signatures are refused."""

import functools
from typing import Annotated, Any

import attrs
import pytest

from spindle.actors.tools.functions.context import ToolContext
from spindle.actors.tools.functions.docstrings import described
from spindle.actors.tools.functions.tool import FunctionTool, tool

from .types import Leg, Place, Unit


def a_tool(function):
    return FunctionTool(function)


def test_the_offer_is_name_docstring_and_what_has_no_default():
    async def look(where: Leg, unit: Unit = Unit.C, days: Annotated[int, "from today"] = 1) -> None:
        """Looks there."""

    offered = a_tool(look)
    assert (offered.name, offered.description) == ("look", "Looks there.")
    assert offered.parameters == {
        "type": "object",
        "properties": {
            "where": {
                "type": "object",
                "properties": {"miles": {"type": "number"}},
                "required": ["miles"],
                "additionalProperties": False,
                "description": "One way.",
            },
            "unit": {"type": "string", "enum": ["celsius", "fahrenheit"], "default": "celsius"},
            "days": {"type": "integer", "description": "from today", "default": 1},
        },
        "required": ["where"],
        "additionalProperties": False,
    }


def test_a_signature_without_a_schema_is_refused_with_the_function_and_the_parameter():
    def untyped(x):
        pass

    def many(*x: int) -> None:
        pass

    def raw(a: int, x: bytes) -> None:
        pass

    def keyed(x: dict[int, str]) -> None:
        pass

    @attrs.frozen
    class Inner:
        raw: "list[bytes]"

    def nested(x: Inner) -> None:
        pass

    def either(x: str | Unit) -> None:
        pass

    async def several():
        yield 1

    def unknown(x: "Nowhere") -> None:  # type: ignore[name-defined]  # noqa: F821
        pass

    for function, text in [
        (untyped, "untyped: the parameter x has no type"),
        (many, r"many: the parameter \*x: int cannot be passed by name"),
        (raw, "raw: the parameter x: bytes has no JSON schema"),
        (keyed, "keyed: the parameter x: the keys of a mapping must be str"),
        (nested, r"nested: the parameter x\.raw: bytes has no JSON schema"),
        (either, "either: the parameter x: values of str and Unit cannot be told apart in JSON"),
        (several, "several: a generator has no result; return a list"),
        (unknown, "unknown: the parameter x: name 'Nowhere' is not defined; define it in the module, or decorate"),
    ]:
        with pytest.raises(TypeError, match=text):
            _ = a_tool(function).signature


def test_local_classes_in_strings():
    @attrs.frozen
    class Near:
        next: "Near | None" = None

    def inside(x: "Near") -> str:
        return repr(Near)

    @tool
    def decorated(x: "Near") -> None:
        pass

    def bare(x: "Near") -> None:
        pass

    assert inside(Near()).startswith("<class")
    for found in (a_tool(inside), decorated):
        assert found.signature.read({"x": {"next": {}}}) == {"x": Near(Near())}
    with pytest.raises(TypeError, match="decorate the function with"):
        _ = a_tool(bare).signature


def test_the_context_is_found_by_its_annotation_and_is_not_offered():
    def plain(x: int, where: ToolContext) -> None:  # type: ignore[type-arg]
        pass

    def typed(call: Annotated[ToolContext[Place], "not for the model"], x: int) -> None:
        pass

    def none(x: int) -> None:
        pass

    signatures = [a_tool(function).signature for function in (plain, typed, none)]
    found = [(one.context, one.deps, [*one.schema["properties"]]) for one in signatures]
    assert found == [("where", Any, ["x"]), ("call", Place, ["x"]), (None, None, ["x"])]


GOOGLE = """Finds things.

    More of it.

    Args:
        what (str): the thing,
            in full
        how_many: at most
        other: is no parameter

    Returns:
        them"""
NUMPY = """Finds things.

    More of it.

    Parameters
    ----------
    what : str
        the thing,
        in full
    how_many
        at most

    Returns
    -------
    list
        them"""
FIELDS = """Finds things.

    More of it.

    :param str what: the thing,
        in full
    :param how_many: at most
    :returns: them"""


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        (GOOGLE, "Finds things.\n\nMore of it.\n\nReturns:\n    them"),
        (NUMPY, "Finds things.\n\nMore of it.\n\nReturns\n-------\nlist\n    them"),
        (FIELDS, "Finds things.\n\nMore of it.\n\n:returns: them"),
    ],
)
def test_the_docstring_describes_the_parameters(text, rest):
    def find(what: str, how_many: Annotated[int, "of these"] = 2) -> None:
        pass

    find.__doc__ = text
    found = a_tool(find)
    assert found.description == rest
    properties = found.parameters["properties"]
    assert properties["what"]["description"] == "the thing, in full"
    assert properties["how_many"]["description"] == "of these"  # an annotation is nearer


def test_a_docstring_that_describes_no_parameter_stays_as_it_is():
    text = "Args:\n    other: x\n\nParameters\n----------\nmore\n    of it\n\n:param third: y"
    assert described(text, ["what"]) == (text, {})


def test_options_take_the_place_of_name_and_docstring():
    def look() -> None:
        """Looks."""

    found = tool(look, name="see", description="Sees.")
    assert (found.name, found.description, found.__doc__) == ("see", "Sees.", "Looks.")
    again = tool(found, timeout=1)
    assert (again.name, again.options.timeout, again.function) == ("look", 1, look)


def test_a_tool_is_still_the_function():
    @tool
    def twice(x: int) -> int:
        """Twice."""
        return 2 * x

    @tool(name="other")
    def thrice(x: int) -> int:
        return 3 * x

    assert (twice(2), thrice(x=2)) == (4, 6)
    assert (getattr(twice, "__name__", None), twice.__doc__, repr(thrice)) == ("twice", "Twice.", "<tool other>")


async def test_a_partial_has_what_is_left_of_the_signature():
    async def look(where: str, unit: "Unit", days: int = 1) -> str:
        """Looks there."""
        return f"{where} {unit} {days}"

    found = tool(functools.partial(look, "Oslo", days=3), name="look_at_oslo")
    assert (found.name, found.description) == ("look_at_oslo", "Looks there.")
    assert [*found.parameters["properties"]] == ["unit", "days"]
    assert await found(**found.signature.read({"unit": "celsius"})) == f"Oslo {Unit.C} 3"
    with pytest.raises(TypeError, match=r"has no name of its own; give it one with `name=`"):
        tool(functools.partial(look, "Oslo"))


def test_a_wrapped_function_has_the_signature_of_the_inner_one():
    def look(x: int) -> int:
        return x

    @functools.wraps(look)
    def wrapper(*args, **kwargs):
        return look(*args, **kwargs) + 1

    found = a_tool(wrapper)
    assert (found.name, [*found.parameters["properties"]], found(1)) == ("look", ["x"], 2)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"needs_approval": "yes"}, "look: needs_approval must be True, False or a function, not 'yes'"),
        ({"on_error": "ignore"}, "look: on_error must be one of message, type, raise or a function, not 'ignore'"),
        ({"timeout": "1 s"}, "look: timeout must be seconds, not '1 s'"),
        ({"name": 7}, "look: name must be a text, not 7"),
        ({"description": 7}, "look: description must be a text, not 7"),
        ({"timeout": 0}, "look: timeout must be more than 0 seconds, not 0"),
    ],
)
def test_an_option_that_is_not_allowed_is_refused(options, text):
    def look() -> None:
        pass

    with pytest.raises((TypeError, ValueError), match=text):
        tool(look, **options)
    with pytest.raises(TypeError, match=r"put @classmethod and @staticmethod above @spindle\.tool"):
        tool(staticmethod(look))
