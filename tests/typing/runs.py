"""What type checkers know of the answer of a run. mypy and pyright check this; each `type: ignore` has to hide an error."""

# pyright: reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, assert_type

import spindle


@dataclass
class Report:
    """An answer."""

    title: str


async def answers(thread: spindle.ThreadHandle) -> None:
    """`output` has the type that was given, text without one."""
    assert_type(await thread.run("go"), spindle.TurnResult[str])
    assert_type((await thread.run("go", output_type=Report)).output, Report)
    assert_type((await thread.run("go", output_type=list[Report], model="m")).output, list[Report])
    assert_type((await thread.run("go", output_type=dict[str, int])).output, dict[str, int])
    assert_type((await thread.run("go", output_type=int | str | None)).output, int | str | None)
    assert_type((await thread.run("go", output_type=Literal["yes", "no"])).output, Literal["yes", "no"])
    (await thread.run("go", output_type=Report)).output.heading  # type: ignore[attr-defined]  # noqa: B018
    await thread.run("go", output_type=7)  # type: ignore[call-overload]
    await thread.run("go", output_tipe=Report)  # type: ignore[call-overload]
    await thread.run("go", output_type=Report, modle="m")  # type: ignore[call-overload]
