"""Measures of one app-server, or of two in turn: medians and their ratio as a table, with what ran where."""

from __future__ import annotations

import argparse
import os
import platform
import queue
import shlex
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from .client import DEADLINE, Refused

Command = list[str]


@dataclass(frozen=True)
class Figure:
    """One number of one run."""

    name: str
    value: float
    unit: str


Part = Callable[[Command], Iterable[Figure]]
"""Starts the server with this command, as often as it needs, and measures it."""


def arguments(description: str | None, *, repeats: int = 1) -> argparse.ArgumentParser:
    """The options that every comparison has."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", metavar="COMMAND", help="another app-server to measure; else it is this Spindle")
    parser.add_argument("--against", metavar="COMMAND", help="an app-server to compare it with: runs take turns")
    parser.add_argument("--repeats", type=int, default=repeats, help="runs of each measure; the medians are shown")
    parser.add_argument("--only", metavar="PART", action="append", help="measure only this part; may be given again")
    return parser


def compare(parts: Sequence[Part], chosen: argparse.Namespace) -> int:
    """Run each part on each server in turn and print the table; returns the exit code."""
    servers = [_command(chosen.server or f"{shlex.quote(sys.executable)} -m spindle app-server")]
    servers += [_command(chosen.against)] if chosen.against else []
    names = [part.__name__ for part in parts]
    if unknown := set(chosen.only or ()) - set(names):
        raise SystemExit(f"no part {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    print("\n".join(described(servers, chosen.repeats)), flush=True)
    versions = [_version(command) for command in servers]
    _row("measured", versions, "ratio" if chosen.against else None)
    _row("---", ["---:"] * len(servers), "---:" if chosen.against else None)
    failed = False
    for part in parts:
        if chosen.only and part.__name__ not in chosen.only:
            continue
        found: list[dict[str, list[Figure]]] = [{} for _ in servers]
        failures = [""] * len(servers)
        for _ in range(chosen.repeats):
            for number, command in enumerate(servers):
                if not failures[number]:
                    failures[number] = _collect(part, command, found[number])
        for name in dict.fromkeys(name for figures in found for name in figures):
            _show(name, [figures.get(name, []) for figures in found])
        if any(failures):
            failed = True
            _row(part.__name__, [f"failed: {each[:200]}" if each else "" for each in failures])
    return 1 if failed else 0


def described(servers: Sequence[Command], repeats: int) -> list[str]:
    """Lines that say what runs where: machine, interpreter, versions, commands, date."""
    system = f"{platform.system()} {platform.release()} {platform.machine()}"
    build, compiler = platform.python_build(), platform.python_compiler()
    interpreter = f"{platform.python_implementation()} {platform.python_version()} ({', '.join(build)}; {compiler})"
    cache = ", modules are compiled at each start (PYTHONDONTWRITEBYTECODE)" if sys.dont_write_bytecode else ""
    return [
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores ({_processor()}), {system}, load {os.getloadavg()[0]:.1f}",
        f"{interpreter}, trio {metadata.version('trio')}{cache}",
        *(f"{_version(command)}: {shlex.join(command)}" for command in servers),
        f"median of {repeats}" if repeats > 1 else "one run",
        "",
    ]


def _collect(part: Part, command: Command, found: dict[str, list[Figure]]) -> str:
    """Run a part and add its figures; returns why it failed, if it did."""
    try:
        for figure in part(command):
            found.setdefault(figure.name, []).append(figure)
    except queue.Empty:
        return f"no answer in {DEADLINE:.0f} s"
    except (SystemExit, Refused, EOFError, OSError, AssertionError) as error:
        return str(error) or type(error).__name__
    return ""


def _show(name: str, figures: Sequence[list[Figure]]) -> None:
    medians = [statistics.median(each.value for each in those) if those else None for those in figures]
    unit = next(those[0].unit for those in figures if those)
    ratio = None
    if len(medians) > 1:
        ratio = f"{medians[0] / medians[1]:.2f}" if medians[0] is not None and medians[1] else "-"
    _row(name, ["-" if median is None else f"{_short(median)} {unit}".rstrip() for median in medians], ratio)


def _row(name: str, cells: Sequence[str], ratio: str | None = None) -> None:
    shown = [f"{name:68}", *(f"{cell:>20}" for cell in cells), *([f"{ratio:>6}"] if ratio is not None else [])]
    print(f"| {' | '.join(shown)} |", flush=True)


def _short(number: float) -> str:
    return (
        f"{number:.0f}"
        if number >= 100 or number == int(number)
        else f"{number:.1f}"
        if number >= 10
        else f"{number:.2f}"
    )


def _command(text: str) -> Command:
    """The words of a command, with the absolute path of its program. Servers run in another directory."""
    command = shlex.split(text)
    if not command or (found := shutil.which(command[0])) is None:
        raise SystemExit(f"no such command: {text}")
    return [os.path.abspath(found), *command[1:]]


def _version(command: Command) -> str:
    """What the program says to `--version`."""
    program = command[: command.index("app-server")] if "app-server" in command else command[:1]
    try:
        said = subprocess.run([*program, "--version"], capture_output=True, text=True, timeout=DEADLINE, check=True)
        return said.stdout.strip().splitlines()[0]
    except (OSError, subprocess.SubprocessError, IndexError):
        return os.path.basename(command[0])


def _processor() -> str:
    """The model of the processor, where the system says it."""
    try:
        rows = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((row.partition(":")[2].strip() for row in rows if row.startswith("model name")), platform.processor())
