"""The tables of the benchmarks: two servers run in turn, and their medians and ratio are shown."""

import shlex
import sys

import pytest
from benchmarks.driving import Refused
from benchmarks.driving.comparing import Figure, arguments, compare

OURS, THEIRS = f"{shlex.quote(sys.executable)} ours", f"{shlex.quote(sys.executable)} theirs"


class Parts:
    """Two parts whose figures are given, by server; `runs` has what ran, in order."""

    def __init__(self, **values):
        self.values = {server: iter(figures) for server, figures in values.items()}
        self.runs = []

    def start(self, command):
        self.runs.append(command[1])
        value = next(self.values[command[1]])
        if isinstance(value, Exception):
            raise value
        yield Figure("a start", value, "ms")

    def other(self, command):
        yield Figure("something else", 1, "")


def shown(capsys, parts, *options):
    """(exit code, the lines above the table, the cells of its rows below the head)"""
    code = compare([parts.start, parts.other], arguments("").parse_args(["--server", OURS, *options]))
    lines = capsys.readouterr().out.splitlines()
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return code, [line for line in lines if not line.startswith("|")], table[2:]


def test_servers_take_turns_and_the_medians_and_their_ratio_are_shown(capsys):
    parts = Parts(ours=[30, 10, 20], theirs=[40, 90, 40])
    code, above, table = shown(capsys, parts, "--against", THEIRS, "--repeats", "3", "--only", "start")
    assert parts.runs == ["ours", "theirs"] * 3
    assert (code, table) == (0, [["a start", "20 ms", "40 ms", "0.50"]])
    said = "\n".join(above)
    assert sys.version.split()[0] in said
    assert "trio " in said
    assert "median of 3" in said
    assert OURS in said
    assert THEIRS in said


def test_one_server_has_no_ratio(capsys):
    code, _, table = shown(capsys, Parts(ours=[1.234]))
    assert (code, table) == (0, [["a start", "1.23 ms"], ["something else", "1"]])


def test_a_part_that_fails_on_one_server_shows_what_there_is(capsys):
    refusal = Refused({"code": -32600, "message": "not here"})
    parts = Parts(ours=[1, 2], theirs=[refusal])
    code, _, table = shown(capsys, parts, "--against", THEIRS, "--repeats", "2", "--only", "start")
    assert parts.runs == ["ours", "theirs", "ours"]
    assert (code, table) == (1, [["a start", "1.50 ms", "-", "-"], ["start", "", "failed: not here"]])


def test_an_unknown_command_or_part_is_refused(capsys):
    with pytest.raises(SystemExit, match="no such command: /no/such"):
        shown(capsys, Parts(ours=[]), "--against", "/no/such")
    with pytest.raises(SystemExit, match="no part stop; there are start, other"):
        shown(capsys, Parts(ours=[]), "--only", "stop")
