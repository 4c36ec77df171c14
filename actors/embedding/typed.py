"""Runs with an answer of a given type: its value, after one more turn if the first answer does not fit."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast

from attrs import evolve

from spindle.actors.embedding.failures import OutputInvalid
from spindle.actors.embedding.results import TurnResult
from spindle.actors.tools.functions.answers import AnswerType, repair
from spindle.actors.tools.functions.conversion import Misfit
from spindle.rpc.large import apart
from spindle.rpc.protocol.turns import TurnStartParams
from spindle.rpc.protocol.user_input import TextInput

T = TypeVar("T")


async def typed(
    answers: AnswerType[T], run: Callable[[TurnStartParams], Awaitable[TurnResult[str]]], params: TurnStartParams
) -> TurnResult[T]:
    """The result of a run with the value of its answer.

    If the answer does not fit, a second turn says why. The result is then that of the second turn. Raises OutputInvalid.
    """
    result = await run(params)
    try:
        return await _valued(answers, result)
    except Misfit as misfit:
        result = await run(evolve(params, input=[TextInput(repair(str(misfit)))]))
    try:
        return await _valued(answers, result)
    except Misfit as misfit:
        raise OutputInvalid(result, str(misfit)) from None


async def _valued(answers: AnswerType[T], result: TurnResult[str]) -> TurnResult[T]:
    value = await apart(len(result.text), None, answers.read, result.text)
    return cast("TurnResult[T]", evolve(cast("TurnResult[Any]", result), output=value))
