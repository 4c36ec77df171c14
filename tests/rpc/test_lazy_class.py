"""A lazily written class is used in each way first, and gives what the class that attrs writes at once gives."""

import copy
import inspect
import pickle
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pkgutil import walk_packages
from types import MemberDescriptorType
from typing import Any, ClassVar

import attrs
import pytest
from cattrs import Converter
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.rpc.lazy_definitions import ARGUMENTS, DEFINITIONS, Frozen, with_bases, with_defaults, with_keywords

import spindle
from spindle.rpc import lazy_class

Use = Callable[[Any, dict[str, Any]], Any]
USES: dict[str, Use] = {}


def use(function: Use) -> Use:
    USES[function.__name__] = function
    return function


def outcome(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """The result of the call, or the error."""
    try:
        return function(*args, **kwargs)
    except Exception as error:
        return type(error), str(error)


def values(instance: Any) -> list[Any]:
    names = [field.name for field in attrs.fields(type(instance))]
    return [getattr(instance, name, "unset") for name in names]


@use
def is_looked_at(cls: Any, arguments: dict[str, Any]) -> Any:
    return attrs.has(cls), attrs.fields(cls), [*attrs.fields_dict(cls)], cls.__doc__, cls.__name__, cls.__qualname__


@use
def shows_its_signature(cls: Any, arguments: dict[str, Any]) -> Any:
    return str(inspect.signature(cls)), cls.__init__.__annotations__, cls.__init__.__qualname__


@use
def is_resolved(cls: Any, arguments: dict[str, Any]) -> Any:
    attrs.resolve_types(cls)
    return [field.type for field in attrs.fields(cls)]


@use
def is_made(cls: Any, arguments: dict[str, Any]) -> Any:
    return values(cls(**arguments))


@use
def is_made_wrongly(cls: Any, arguments: dict[str, Any]) -> Any:
    return outcome(lambda: cls(nothing=1)), outcome(lambda: cls(1, 2, 3, 4, 5, 6)), outcome(lambda: values(cls()))


@use
def is_compared(cls: Any, arguments: dict[str, Any]) -> Any:
    one, other = cls(**arguments), cls(**arguments)
    hashed = outcome(lambda: hash(one) == hash(other))
    return one == other, one != other, one == 1, cls.__eq__(one, 1), hashed


@use
def is_hashed(cls: Any, arguments: dict[str, Any]) -> Any:
    return outcome(lambda: hash(cls(**arguments)) and 1), cls.__hash__ is None, cls.__hash__ is object.__hash__


@use
def is_shown(cls: Any, arguments: dict[str, Any]) -> Any:
    return outcome(lambda: repr(cls(**arguments))), outcome(lambda: str(cls(**arguments)))


@use
def is_frozen(cls: Any, arguments: dict[str, Any]) -> Any:
    made = cls(**arguments)
    return [(outcome(setattr, made, name, 1), outcome(delattr, made, name)) for name in ("first", "second", "more")]


@use
def matches(cls: Any, arguments: dict[str, Any]) -> Any:
    match cls(**arguments):
        case cls(first, second):
            return first, second, cls.__match_args__
        case cls(first):
            return first, cls.__match_args__
        case _:
            return cls.__match_args__


@use
def matches_wrongly(cls: Any, arguments: dict[str, Any]) -> Any:
    def look() -> Any:
        match cls(**arguments):
            case cls(a, b, c, d, e):
                return a, b, c, d, e

    return outcome(look)


@use
def evolves(cls: Any, arguments: dict[str, Any]) -> Any:
    made = cls(**arguments)
    name = next(iter(arguments), "none")
    same, changed = outcome(lambda: attrs.evolve(made)), outcome(lambda: attrs.evolve(made, **{name: 9}))
    return [values(each) if isinstance(each, cls) else each for each in (same, changed)]


@use
def is_replaced(cls: Any, arguments: dict[str, Any]) -> Any:
    if sys.version_info < (3, 13):
        return hasattr(cls, "__replace__")
    return outcome(lambda: values(copy.replace(cls(**arguments))))


@use
def is_copied(cls: Any, arguments: dict[str, Any]) -> Any:
    made = cls(**arguments)
    return [outcome(lambda: values(copy.copy(made))), outcome(lambda: values(copy.deepcopy(made)))]


@use
def is_pickled(cls: Any, arguments: dict[str, Any]) -> Any:
    cls.__qualname__ = cls.__name__
    setattr(sys.modules[__name__], cls.__name__, cls)
    try:
        packed = outcome(pickle.dumps, cls(**arguments))
        return packed, outcome(lambda: values(pickle.loads(packed)))
    finally:
        delattr(sys.modules[__name__], cls.__name__)


@use
def becomes_a_dict(cls: Any, arguments: dict[str, Any]) -> Any:
    return outcome(lambda: attrs.asdict(cls(**arguments))), outcome(lambda: attrs.astuple(cls(**arguments)))


@use
def is_converted(cls: Any, arguments: dict[str, Any]) -> Any:
    converter = Converter()
    given = outcome(lambda: converter.unstructure(cls(**arguments)))
    return given, outcome(lambda: values(converter.structure(given, cls)))


@use
def takes_memory(cls: Any, arguments: dict[str, Any]) -> Any:
    made = cls(**arguments)
    return sys.getsizeof(made), hasattr(made, "__dict__"), weakref.ref(made)() is made, sorted(cls.__slots__)


@use
def is_a_base(cls: Any, arguments: dict[str, Any]) -> Any:
    class Plain(cls):  # type: ignore[misc]
        pass

    @attrs.frozen
    class Eager(cls):  # type: ignore[misc]
        more: int = 0

    @lazy_class.frozen
    class Lazy(cls):  # type: ignore[misc]
        more: int = 0

    @lazy_class.frozen
    class Lowest(Lazy):
        most: int = 1

    @attrs.define
    class Defined(cls):  # type: ignore[misc]
        more: int = 0

    subclasses = Plain, Lowest, Lazy, Eager, Defined
    made = [outcome(each, **arguments) for each in subclasses]
    shown = [(outcome(values, each), outcome(repr, each), outcome(hash, each) == outcome(hash, each)) for each in made]
    return shown, outcome(setattr, made[-1], "more", 2), outcome(lambda: made[0] == Plain(**arguments))


@use
def uses_its_methods(cls: Any, arguments: dict[str, Any]) -> Any:
    made = cls(**arguments)
    kind = getattr(made, "kind", cls)
    name = made.name() if hasattr(made, "name") and callable(made.name) else None
    return kind is cls or kind, name, outcome(lambda: values(cls.make(3)))


@use
def has_all_that_attrs_writes(cls: Any, arguments: dict[str, Any]) -> Any:
    for name in [*vars(cls)]:
        getattr(cls, name, None)
    # attrs repeats the slot of a base whose default is redefined
    return {name: type(value).__name__ for name, value in vars(cls).items() if type(value) is not MemberDescriptorType}


@pytest.mark.parametrize("first_use", USES)
@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda each: each.__name__)
def test_it_is_as_the_class_that_attrs_makes(definition: Callable[[Frozen], Any], first_use: str) -> None:
    for arguments in ARGUMENTS[definition]:
        used = [outcome(USES[first_use], definition(frozen), arguments) for frozen in (lazy_class.frozen, attrs.frozen)]
        assert used[0] == used[1]


FIELDS = st.fixed_dictionaries(
    {
        "annotation": st.sampled_from(
            [int, "int", "str | None", ClassVar[int], "ClassVar[int]", "typing.ClassVar[int]"]
        ),
        "value": st.sampled_from([None, 5, {}, {"default": 6}, {"factory": list}, {"eq": False, "repr": False}]),
        "kw_only": st.sampled_from([None, True]),
        "init": st.booleans(),
        "metadata": st.sampled_from([None, {"wire": "x"}]),
    }
)


@settings(max_examples=40, deadline=None)
@given(st.lists(FIELDS, max_size=4), st.booleans(), st.booleans())
def test_any_fields_are_those_of_attrs(fields: list[dict[str, Any]], kw_only: bool, derived: bool) -> None:
    def define(frozen: Frozen) -> Any:
        members: dict[str, Any] = {"__annotations__": {}, "__module__": __name__, "__qualname__": "Any"}
        for number, each in enumerate(fields):
            members["__annotations__"][f"a{number}"] = each["annotation"]
            more = {name: each[name] for name in ("kw_only", "init", "metadata") if each[name] is not None}
            if each["value"] is not None and "ClassVar" not in str(each["annotation"]):
                members[f"a{number}"] = attrs.field(**each["value"], **more) if isinstance(each["value"], dict) else 5
        cls = type("Any", (), members)
        if derived:
            base = frozen(cls)
            cls = type("Lower", (base,), {"__annotations__": {"a0": int, "b": int}, "a0": 1, "b": 2})
        return frozen(kw_only=kw_only)(cls)

    def tried(frozen: Frozen) -> Any:
        cls = define(frozen)
        made = [cls(**{f.alias: 1 for f in attrs.fields(cls) if f.init}) for _ in range(2)]
        slots = {name for base in cls.__mro__ for name in getattr(base, "__slots__", ())}
        return (
            attrs.fields(cls),
            str(inspect.signature(cls)),
            cls.__match_args__,
            slots,
            outcome(lambda: made[0] == made[1]),
        )

    assert outcome(lambda: tried(lazy_class.frozen)) == outcome(lambda: tried(attrs.frozen))


def test_a_class_is_written_when_it_is_used_and_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[tuple[str, bool]] = []
    make = attrs.frozen

    def frozen(**options: Any) -> Any:
        def wrap(cls: type) -> type:
            written.append((cls.__name__, options.get("eq", True)))
            return make(cls, **options)

        return wrap

    monkeypatch.setattr(attrs, "frozen", frozen)
    keywords, derived = with_keywords(lazy_class.frozen), with_bases(lazy_class.frozen)
    assert written == []
    made = keywords(second=[])
    assert written == [("Keywords", False)]
    made = copy.copy(attrs.evolve(made, first=len(attrs.fields(keywords)), second=[*keywords.__match_args__]))
    assert written == [("Keywords", False)]
    assert repr(made) == repr(keywords(first=3, second=[]))
    assert made == made
    assert written == [("Keywords", False), ("Keywords", True)]
    derived(1)
    assert written[2:] == [("Derived", False), ("Base", False)]


def test_threads_that_come_at_once_write_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    make, calls = attrs.frozen, list[type]()
    both = threading.Barrier(2)

    def frozen(**options: Any) -> Any:
        def wrap(cls: type) -> type:
            calls.append(cls)
            with suppress(threading.BrokenBarrierError):
                both.wait(0.1)  # the other one comes here only if it writes too
            return make(cls, **options)

        return wrap

    cls = with_defaults(lazy_class.frozen)
    monkeypatch.setattr(attrs, "frozen", frozen)
    made: list[Any] = []
    threads = [threading.Thread(target=lambda: made.append(cls(1))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [each.first for each in made] == [1, 1]
    assert len(calls) == 1


def test_what_the_decorator_does_not_have_is_refused() -> None:
    with pytest.raises(TypeError, match="order"):
        lazy_class.frozen(order=True)(type("Ordered", (), {}))


def test_every_class_has_the_slots_of_its_fields() -> None:
    """The fields are found without attrs, so that no class is written early: all of ours are looked at by attrs here."""
    classes: set[type] = set()
    for module in walk_packages(spindle.__path__, "spindle."):
        if not module.name.endswith("__main__"):
            found = vars(import_module(module.name)).values()
            classes |= {each for each in found if isinstance(each, type) and each.__module__.startswith("spindle.")}
    lazy = [cls for cls in classes if attrs.has(cls) and "__slots__" in vars(cls)]
    assert len(lazy) > 400
    for cls in lazy:
        for field in attrs.fields(cls):
            assert isinstance(getattr(cls, field.name), MemberDescriptorType), (cls, field.name)


def test_the_protocol_is_imported_unwritten() -> None:
    """A constant or a default that is an instance would have its class written in each process."""
    program = """
import importlib, pkgutil, sys
import spindle.rpc.protocol as protocol
for module in pkgutil.iter_modules(protocol.__path__, "spindle.rpc.protocol."):
    importlib.import_module(module.name)
modules = [module for name, module in sys.modules.items() if name.startswith("spindle.rpc.protocol")]
members = [member for module in modules for member in vars(module).values()]
fields = {member.__name__: vars(member).get("__attrs_attrs__") for member in members if type(member) is type}
print(*sorted(name for name, written in fields.items() if isinstance(written, tuple)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    # annotations are hashed when they are used, so plain attrs is cheaper for their classes; Method is that of the catalogue
    assert done.stdout.split() == ["Absolute", "Bounds", "Keyed", "Method", "Path", "Tagged", "Untagged"]
