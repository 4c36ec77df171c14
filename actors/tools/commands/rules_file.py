"""Parse a file of rules.

The files are Starlark. We interpret the part that rules need: calls of `prefix_rule`, `network_rule` and `host_executable`,
assignments, lists, sums of them, and `for` over a list. The syntax of this part is Python's, so Python's parser reads it;
nothing is executed.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias, cast

from spindle.actors.tools.commands import quoting
from spindle.actors.tools.commands.rules import CommandRule, Decision, Rules

_DECISIONS: Final = {"allow": Decision.ALLOW, "prompt": Decision.PROMPT, "forbidden": Decision.FORBIDDEN}


class RulesError(Exception):
    """The file is not a valid rules file. Lines and columns count from 1."""

    def __init__(self, path: str, message: str, start: tuple[int, int], end: tuple[int, int]) -> None:
        super().__init__(f"{path}:{start[0]}: {message}")
        self.path, self.message, self.start, self.end = path, message, start, end


def parse_rules(source: str, path: str) -> Rules:
    """The rules of one file. Raises RulesError with the position."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError) as error:
        at = (getattr(error, "lineno", None) or 1, getattr(error, "offset", None) or 1)
        raise RulesError(path, f"parse error: {getattr(error, 'msg', error)}", at, at) from None
    except RecursionError:
        raise RulesError(path, "parse error: nested too deeply", (1, 1), (1, 1)) from None
    reader = _Reader(path)
    reader.run(tree.body)
    reader.check_examples()
    return Rules(reader.rules, reader.executables)


class _Invalid(Exception):
    """A rule is invalid; the reader adds the position."""


class _Reader:
    """Interprets the statements of one file."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._names: dict[str, object] = {"True": True, "False": False, "None": None}
        self._examples: list[tuple[ast.AST, CommandRule, list[list[str]], list[list[str]]]] = []
        self._steps = 0
        self.rules: list[CommandRule] = []
        self.executables: dict[str, list[str]] = {}

    def run(self, statements: Sequence[ast.stmt]) -> None:
        for statement in statements:
            self._steps += 1
            if self._steps > 10_000:
                raise self._error(statement, "too many steps")
            match statement:
                case ast.Expr(value=ast.Call() as call):
                    self._call(call)
                case ast.Expr(value=ast.Constant()) | ast.Pass():
                    pass
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    self._names[name] = self._value(value)
                case ast.For(target=ast.Name(id=name), iter=values, body=body, orelse=[]):
                    for element in self._list(values):
                        self._names[name] = element
                        self.run(body)
                case _:
                    raise self._error(statement, "unsupported statement")

    def check_examples(self) -> None:
        """Check that every `match` example matches and no `not_match` does, with all host executables known."""
        for node, rule, matching, other in self._examples:
            rules = Rules([rule], self.executables)
            for words in other:
                if rules.matches(words):
                    raise self._error(node, f"expected example to not match the rule: {quoting.join(words)}")
            missed = [quoting.join(words) for words in matching if not rules.matches(words)]
            if missed:
                raise self._error(node, f"expected every example to match the rule; unmatched examples: {missed}")

    def _error(self, node: ast.AST, message: str) -> RulesError:
        line, column = getattr(node, "lineno", 1), getattr(node, "col_offset", 0) + 1
        last = (getattr(node, "end_lineno", None) or line, (getattr(node, "end_col_offset", None) or column - 1) + 1)
        return RulesError(self._path, message, (line, column), last)

    def _value(self, node: ast.expr) -> object:
        match node:
            case ast.Constant(value=str() | bool() | int() | None as value):
                return value
            case ast.List(elts=parts) | ast.Tuple(elts=parts):
                return [self._value(part) for part in parts]
            case ast.Name(id=name):
                if name not in self._names:
                    raise self._error(node, f"variable `{name}` not found")
                return self._names[name]
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                first, second = self._value(left), self._value(right)
                if isinstance(first, str) and isinstance(second, str):
                    return first + second
                if isinstance(first, list) and isinstance(second, list):
                    return [*cast("list[object]", first), *cast("list[object]", second)]
                raise self._error(node, "only two strings or two lists can be added")
            case _:
                raise self._error(node, "unsupported expression")

    def _list(self, node: ast.expr) -> list[object]:
        value = self._value(node)
        if not isinstance(value, list):
            raise self._error(node, "expected a list")
        return cast("list[object]", value)

    def _call(self, call: ast.Call) -> None:
        name = call.func.id if isinstance(call.func, ast.Name) else ""
        if name not in _CALLS:
            raise self._error(call, f"unknown function `{name}`" if name else "unsupported expression")
        parameters, act = _CALLS[name]
        given = [(part, None) for part in call.args] + [(word.value, word.arg) for word in call.keywords]
        arguments: dict[str, object] = {}
        for number, (node, keyword) in enumerate(given):
            key = keyword or (parameters[number] if number < len(parameters) else "")
            if key not in parameters or isinstance(node, ast.Starred):
                raise self._error(call, f"unexpected parameter `{key}` for call to `{name}`")
            if key in arguments:
                raise self._error(call, f"parameter `{key}` is given twice in call to `{name}`")
            arguments[key] = self._value(node)
        try:
            act(self, call, arguments)
        except _Invalid as error:
            raise self._error(call, str(error)) from None

    def prefix_rule(self, node: ast.AST, given: Mapping[str, object]) -> None:
        if "pattern" not in given:
            raise _Invalid("missing parameter `pattern` for call to `prefix_rule`")
        rule = CommandRule(_pattern(given["pattern"]), _decision(given.get("decision", "allow")), _justification(given))
        self._examples.append((node, rule, _examples(given.get("match")), _examples(given.get("not_match"))))
        self.rules.append(rule)

    def network_rule(self, node: ast.AST, given: Mapping[str, object]) -> None:
        """Checked but not used: rules for commands do not decide about the network."""
        for name in ("host", "protocol", "decision"):
            if not isinstance(given.get(name), str):
                raise _Invalid(f"missing parameter `{name}` for call to `network_rule`")
        if given["decision"] != "deny":
            _decision(given["decision"])
        _justification(given)

    def host_executable(self, node: ast.AST, given: Mapping[str, object]) -> None:
        name = given.get("name")
        if not isinstance(name, str) or not name or "/" in name:
            raise _Invalid(f"host_executable name must be a bare executable name (got {name})")
        paths = _strings(given.get("paths"), "host_executable paths")
        for path in paths:
            if not path.startswith("/") or os.path.basename(path) != name:
                raise _Invalid(f"host_executable path `{path}` must be absolute and have basename `{name}`")
        self.executables[name] = paths


_Act: TypeAlias = Callable[[_Reader, ast.AST, Mapping[str, object]], None]
_CALLS: Final[Mapping[str, tuple[tuple[str, ...], _Act]]] = {
    "prefix_rule": (("pattern", "decision", "match", "not_match", "justification"), _Reader.prefix_rule),
    "network_rule": (("host", "protocol", "decision", "justification"), _Reader.network_rule),
    "host_executable": (("name", "paths"), _Reader.host_executable),
}


def _strings(value: object, what: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(part, str) for part in cast("list[object]", value)):
        raise _Invalid(f"invalid rule: {what} must be strings")
    return cast("list[str]", value)


def _pattern(value: object) -> list[list[str]]:
    if not isinstance(value, list):
        raise _Invalid("invalid pattern element: pattern must be a list")
    pattern: list[list[str]] = []
    for part in cast("list[object]", value):
        if isinstance(part, str):
            pattern.append([part])
        elif isinstance(part, list) and part and all(isinstance(word, str) for word in cast("list[object]", part)):
            pattern.append(cast("list[str]", part))
        else:
            kind = "an empty list" if part == [] else type(part).__name__  # pyright: ignore[reportUnknownArgumentType]
            raise _Invalid(f"invalid pattern element: pattern element must be a string or list of strings (got {kind})")
    if not pattern:
        raise _Invalid("invalid pattern element: pattern cannot be empty")
    return pattern


def _decision(value: object) -> Decision:
    decision = _DECISIONS.get(value) if isinstance(value, str) else None
    if decision is None:
        raise _Invalid(f"invalid decision: {value}")
    return decision


def _justification(given: Mapping[str, Any]) -> str | None:
    value = given.get("justification")
    if value is None:
        return None
    if not isinstance(value, str) or not value.strip():
        raise _Invalid("invalid rule: justification cannot be empty")
    return value


def _examples(value: object) -> list[list[str]]:
    return list(_each_example(value)) if value is not None else []


def _each_example(value: object) -> Iterator[list[str]]:
    if not isinstance(value, list):
        raise _Invalid("invalid example: examples must be a list")
    for example in cast("list[object]", value):
        words: object = quoting.split(example) if isinstance(example, str) else example
        if not isinstance(words, list) or not all(isinstance(word, str) for word in cast("list[object]", words)):
            raise _Invalid("invalid example: example must be a string or list of strings")
        if not words:
            raise _Invalid("invalid example: example cannot be empty")
        yield cast("list[str]", words)
