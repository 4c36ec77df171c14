"""What type checkers know of tools. mypy and pyright check this module; each `type: ignore` has to hide an error."""

# pyright: reportUnnecessaryTypeIgnoreComment=true, reportUnusedCoroutine=false

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, assert_type

import spindle


class Database:
    """Of an application."""

    async def count(self, table: str) -> int:
        """The rows of a table."""
        return len(table)


@spindle.tool
def twice(x: int) -> int:
    """A plain function."""
    return 2 * x


@spindle.tool(name="rows", timeout=5, on_error="type", needs_approval=True)
async def count(context: spindle.ToolContext[Database], table: str) -> int:
    """An async function with a context."""
    await context.emit_progress("counting")
    assert_type(context.deps, Database)
    return await context.deps.count(table)


class Shop:
    """A set of tools."""

    @spindle.tool
    def price(self, what: str) -> float:
        """A method."""
        return float(len(what))


async def calls(context: spindle.ToolContext[Database]) -> None:
    """A tool is called as its function."""
    assert_type(twice(1), int)
    assert_type(await count(context, table="a"), int)
    assert_type(Shop().price("tea"), float)
    twice("1")  # type: ignore[arg-type]
    twice()  # type: ignore[call-arg]
    Shop().price(1)  # type: ignore[arg-type]
    await count(context, tables="a")  # type: ignore[call-arg]
    context.deps.rows  # type: ignore[attr-defined]  # noqa: B018
    await context.emit_progress(7)  # type: ignore[arg-type]


def options(function: Callable[[int], int]) -> None:
    """The options of a tool are checked."""
    assert_type(spindle.tool(function, timeout=1), "spindle.FunctionTool[[int], int]")
    spindle.tool(function, timeout="1 s")  # type: ignore[call-overload]
    spindle.tool(function, on_error="ignore")  # type: ignore[call-overload]
    spindle.tool(function, needs_aproval=True)  # type: ignore[call-overload]
    spindle.tool(7)  # type: ignore[call-overload]


async def threads(runtime: spindle.Runtime) -> None:
    """Any object may have tools; an option that does not exist is an error."""
    async with runtime.start_thread(tools=[twice, count, Shop(), Shop, spindle], deps=Database()):
        pass
    runtime.start_thread(tool=[twice])  # type: ignore[call-arg]
    runtime.start_thread(tools=twice)  # type: ignore[arg-type]


def of_functions(count: spindle.FunctionTool[[spindle.ToolContext[Database], str], Coroutine[Any, Any, int]]) -> None:
    """The name, the description and the schema of a tool can be read."""
    assert_type(count.name, str)
    assert_type(count.description, str)
