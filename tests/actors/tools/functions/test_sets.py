"""Tools in objects, classes and modules, and their names."""

import types

import pytest

from spindle.actors.tools.functions.sets import named_apart, tools_of
from spindle.actors.tools.functions.tool import tool


class Base:
    kind = "base"

    def inherited(self, x: int) -> str:
        return f"{self.kind} {x}"


class Shop(Base):
    kind = "shop"

    def buy(self, what: str) -> str:
        return f"{self.kind} {what}"

    @tool(name="sell_it", timeout=5)
    def sell(self, what: str) -> str:
        return f"{self.kind} sells {what}"

    @classmethod
    def made(cls) -> str:
        return cls.kind

    @staticmethod
    def rate() -> int:
        return 7

    def _hidden(self) -> None:
        pass

    @property
    def size(self) -> int:
        raise AssertionError


class Rates:
    @classmethod
    @tool
    def of(cls, day: str) -> str:
        return f"{cls.__name__} {day}"

    @staticmethod
    @tool(name="all_rates")
    def every() -> int:
        return 7


def named(source, prefix=""):
    return {one.name: one for one in tools_of(source, prefix)}


def test_an_instance_gives_its_public_methods():
    found = named(Shop())
    assert sorted(found) == ["buy", "inherited", "made", "rate", "sell_it"]
    assert found["buy"]("x") == "shop x"
    assert found["inherited"](x=1) == "shop 1"
    assert (found["sell_it"]("y"), found["sell_it"].options.timeout) == ("shop sells y", 5)
    assert (found["made"](), found["rate"]()) == ("shop", 7)
    assert [*found["sell_it"].parameters["properties"]] == ["what"]


def test_a_class_gives_its_static_and_class_methods():
    found = named(Rates)
    assert sorted(found) == ["all_rates", "of"]
    assert (found["of"]("today"), found["all_rates"]()) == ("Rates today", 7)
    with pytest.raises(TypeError, match=r"Base\.inherited is a method of instances; pass an instance of Shop"):
        tools_of(Shop)


def test_a_method_is_a_tool_too():
    assert named(Shop().buy)["buy"]("x") == "shop x"
    assert named(Shop().sell)["sell_it"]("x") == "shop sells x"


def a_module(**names):
    module = types.ModuleType("weather")
    exec("def look(x: int) -> int:\n    'Looks.'\n    return x\ndef bare(): pass\ndef _no(): 'No.'\n", vars(module))
    vars(module).update(names)
    return module


def test_a_module_gives_its_documented_functions_or_those_of_all():
    decorated = tool(lambda: 1, name="more")
    decorated.__module__ = "weather"
    decorated.__doc__ = "More."
    assert [*named(a_module(imported=named_apart, more=decorated, Shop=Shop))] == ["look", "more"]
    assert [*named(a_module(__all__=["bare", "imported", "kind"], imported=named_apart, kind=7))] == ["bare", "named_apart"]


def test_a_prefix_keeps_the_options():
    found = named(Shop(), "shop_")
    assert sorted(found) == ["shop_buy", "shop_inherited", "shop_made", "shop_rate", "shop_sell_it"]
    assert found["shop_sell_it"].options.timeout == 5


def test_two_tools_of_one_name_are_refused_with_both():
    def buy(what: str) -> None:
        pass

    with pytest.raises(TypeError, match=r"Shop\.buy and .*<locals>\.buy are both tools of the name buy"):
        named_apart([Shop(), buy])
    assert len(named_apart([*tools_of(Shop(), "shop_"), buy])) == 6


@pytest.mark.parametrize("source", ["text", 7, None, ["a"], object(), types.ModuleType("empty"), int])
def test_what_has_no_tools_is_refused(source):
    with pytest.raises(TypeError, match="there is no tool in"):
        tools_of(source)
