"""Answers of a given type: the schema that a provider holds the model to, and the value in its text."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import orjson

from spindle.actors.tools.functions.conversion import Conversion, Misfit
from spindle.actors.tools.functions.schema import NoSchema, Schema
from spindle.rpc.lenient import mapping
from spindle.rpc.protocol.values import loads

T = TypeVar("T")

_VALUE = "value"


class AnswerType(Generic[T]):
    """Answers that are values of the type `kind`. Raises TypeError for a type that has no strict JSON schema.

    The root of a strict schema is an object. Any other value is the member `value` of one.
    """

    def __init__(self, kind: Any) -> None:
        try:
            self._conversion: Conversion[T] = Conversion(kind, strict=True)
        except NoSchema as error:
            raise TypeError(f"output_type: {error}") from error
        self.schema = self._conversion.schema
        self._wrapped = self.schema.get("type") != "object"
        if self._wrapped:
            self.schema = _around(dict(self.schema))

    def read(self, text: str) -> T:
        """The value in an answer. Raises Misfit."""
        try:
            given: Any = loads(text)
        except orjson.JSONDecodeError as error:
            raise Misfit(f"it is no JSON: {error}") from error
        if self._wrapped:
            if _VALUE not in mapping(given):
                raise Misfit(f"{_VALUE}: is missing")
            given = given[_VALUE]
        return self._conversion.read(given)


def _around(schema: Schema) -> Schema:
    defs = schema.pop("$defs", None)
    root = {"type": "object", "properties": {_VALUE: schema}, "required": [_VALUE], "additionalProperties": False}
    return root if defs is None else root | {"$defs": defs}


def repair(reason: str) -> str:
    """What the model is asked if its answer does not fit."""
    return f"Your answer does not fit the schema: {reason}. Answer again, with JSON that fits it and nothing else."
