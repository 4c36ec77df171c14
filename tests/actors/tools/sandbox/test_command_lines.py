"""The command lines and programs of the mechanisms, tested without running them."""

from __future__ import annotations

import os
import struct
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spindle.actors.tools.sandbox import enter, seatbelt, seccomp
from spindle.actors.tools.sandbox.confinement import AccessRule, Confinement
from spindle.actors.tools.sandbox.mechanism import Seatbelt, confine

CONFINEMENT = Confinement(
    (
        AccessRule("/", "read"),
        AccessRule("/w", "write"),
        AccessRule("/w/.git", "read"),
        AccessRule('/w/a/(allow default)"', "write"),
        AccessRule("/w/a/b/c", "none"),
    ),
    network=False,
)


def test_seatbelt_says_the_rules_in_order_so_that_the_deepest_comes_last() -> None:
    text, parameters = seatbelt.profile(CONFINEMENT)
    lines = [line for line in text.splitlines() if "RULE_" in line]
    assert lines == [
        '(allow file-read* (subpath (param "RULE_0")))',
        '(deny file-write* (subpath (param "RULE_0")))',
        '(allow file-read* file-write* (subpath (param "RULE_1")))',
        '(allow file-read* (subpath (param "RULE_2")))',
        '(deny file-write* (subpath (param "RULE_2")))',
        '(allow file-read* file-write* (subpath (param "RULE_3")))',
        '(deny file-read* file-write* (subpath (param "RULE_4")))',
    ]
    assert parameters["RULE_3"] == '/w/a/(allow default)"'
    assert '(deny file-write-unlink (literal (param "PIN_0")))' in text
    assert parameters["PIN_0"] == "/w/a"


def test_seatbelt_allows_the_way_through_a_hidden_folder() -> None:
    rules = (AccessRule("/", "read"), AccessRule("/home", "none"), AccessRule("/home/skills", "read"))
    text, _ = seatbelt.profile(Confinement(rules, network=False))
    assert [line for line in text.splitlines() if "RULE_1" in line] == [
        '(deny file-read* file-write* (subpath (param "RULE_1")))',
        '(allow file-read-metadata (literal (param "RULE_1")))',
    ]


def test_seatbelt_keeps_the_devices_every_program_writes_to() -> None:
    text, _ = seatbelt.profile(CONFINEMENT)
    assert text.index("/dev/null") > text.index('(deny file-write* (subpath (param "RULE_0")))')


def test_seatbelt_is_balanced_text_that_denies_first() -> None:
    for network in (False, True):
        text, _ = seatbelt.profile(Confinement(CONFINEMENT.rules, network))
        assert text.count("(") == text.count(")")
        assert text.startswith("(version 1)\n(deny default)")
        assert ("network-outbound" in text) == network


def test_seatbelt_passes_paths_as_parameters_and_names_itself() -> None:
    argv, env = confine(Seatbelt(), CONFINEMENT, ["ls", "-l"], {"A": "b"})
    assert argv[:2] == ["/usr/bin/sandbox-exec", "-p"]
    assert "(allow default)" not in argv[2]
    assert argv[-3:] == ["--", "ls", "-l"]
    assert env == {"A": "b", "CODEX_SANDBOX": "seatbelt", "CODEX_SANDBOX_NETWORK_DISABLED": "1"}


def test_an_unknown_machine_has_no_filter() -> None:
    with pytest.raises(seccomp.UnknownMachine, match="vax"):
        seccomp.program("vax", network=False)


ALLOWED, REFUSED, UNKNOWN, KILLED = 0x7FFF0000, 0x00050001, 0x00050026, 0x80000000
AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}


def verdict(
    machine: str, network: bool, call: int, *arguments: int, audit: int | None = None, together: bool = False
) -> int:
    """The filter's verdict on a call, by interpreting its program as the kernel does."""
    data = struct.pack(
        "IIQ6Q", call, AUDIT[machine] if audit is None else audit, 0, *arguments, *[0] * (6 - len(arguments))
    )
    lines = list(struct.iter_unpack("HBBI", seccomp.program(machine, network=network, together=together)))
    value: int = 0
    at = 0
    while True:
        code, yes, no, operand = lines[at]
        at += 1
        match code:
            case 0x20:
                (value,) = struct.unpack_from("I", data, operand)
            case 0x54:
                value &= operand
            case 0x06:
                return int(operand)
            case 0x15 | 0x35 | 0x45:
                holds = {0x15: value == operand, 0x35: value >= operand, 0x45: bool(value & operand)}[code]
                at += yes if holds else no
            case _:
                raise AssertionError(hex(code))


@pytest.mark.parametrize("machine", seccomp.MACHINES)
@pytest.mark.parametrize("network", [False, True])
def test_the_filter_decides_by_call_and_argument(machine: str, network: bool) -> None:
    number = {**seccomp.EVERYWHERE, **seccomp.MACHINES[machine].calls}

    def says(call: str, *arguments: int) -> int:
        return verdict(machine, network, number[call], *arguments)

    by_network = ALLOWED if network else REFUSED
    for call in seccomp.REFUSED:
        assert says(call) == REFUSED
    for call in ("connect", "bind", "listen", "accept", "accept4"):
        assert says(call) == by_network
    for call in seccomp.REFUSED_TOGETHER:
        assert says(call) == ALLOWED
        assert verdict(machine, network, number[call], together=True) == REFUSED
    address = 0x7F0000000000
    assert (says("prlimit64", 0, 7, address), says("prlimit64", 5, 7, 0, address)) == (ALLOWED, ALLOWED)
    assert (says("prlimit64", 5, 7, address), says("prlimit64", 5, 7, 16)) == (REFUSED, REFUSED)
    assert says("clone3") == UNKNOWN
    assert says("clone", 0x01200011) == ALLOWED
    assert says("clone", 0x10000011) == REFUSED
    assert (says("unshare", 0x200), says("unshare", 0x80), says("unshare", 0x40000000)) == (ALLOWED, REFUSED, REFUSED)
    assert (says("ioctl", 0, 0x5401), says("ioctl", 0, 0x5412), says("ioctl", 0, 0x541C)) == (ALLOWED, REFUSED, REFUSED)
    assert says("ioctl", 0, 0xFFFFFFFF00005412) == REFUSED, "the kernel reads the lower half only"
    for family in (2, 10, 16):
        assert says("socket", family, 1) == by_network
    for family in (0, 3, 17, 38, 40):
        assert says("socket", family, 1) == REFUSED
    assert says("socket", 1, 1) == (REFUSED if network else ALLOWED)
    for kind in (1, 5, 1 | 0o2000000, 5 | 0o4000):
        assert says("socketpair", 1, kind) == ALLOWED
    for kind in (2, 3, 2 | 0o2000000):
        assert says("socketpair", 1, kind) == REFUSED
        assert says("socket", 1, kind) == REFUSED
    assert says("socketpair", 2, 1) == REFUSED
    assert says("sendto", 3, 0, 0, 0, 0) == ALLOWED
    assert says("sendto", 3, 0, 0, 0, 0x10) == by_network
    assert says("sendto", 3, 0, 0, 0, 0x10_0000_0000) == by_network


def test_the_filter_knows_no_other_numbering() -> None:
    assert verdict("x86_64", False, 102, audit=0x40000003) == KILLED
    assert verdict("x86_64", False, 0x40000000 + 41) == UNKNOWN


NAMES = st.sampled_from("abc")
PLACES = st.lists(NAMES, min_size=1, max_size=3).map("/".join)


@settings(max_examples=200, deadline=None)
@given(
    files=st.sets(PLACES, max_size=8),
    base=st.sampled_from(["none", "read", "write"]),
    rules=st.dictionaries(PLACES, st.sampled_from(["none", "read", "write"]), max_size=4),
)
def test_entry_by_entry_grants_are_never_more_than_the_rules_and_never_less_for_a_file(
    files: set[str], base: str, rules: dict[str, str]
) -> None:
    order = enter.ORDER
    with tempfile.TemporaryDirectory() as folder:
        root = os.path.realpath(folder)
        for file in files:
            made = Path(root, file)
            if any(parent.is_file() for parent in made.parents) or made.exists():
                continue
            made.parent.mkdir(parents=True, exist_ok=True)
            made.touch()
        table = {root: base, **{f"{root}/{place}": access for place, access in rules.items()}}
        grants = list(enter.split(root, base, table))

        def granted(path: str) -> str:
            above = [access for place, access in grants if path == place or path.startswith(place + "/")]
            return max(above, key=order.__getitem__, default="none")

        def ruled(path: str) -> str:
            return table[max((p for p in table if path == p or path.startswith(p + "/")), key=len)]

        for place, _, names in os.walk(root):
            for path in (place, *(os.path.join(place, name) for name in names), os.path.join(place, "new")):
                assert order[granted(path)] <= order[ruled(path)]
                if os.path.isfile(path):
                    assert granted(path) == ruled(path)
        for missing in table:
            if any(parent.is_file() for parent in Path(missing).parents):
                continue  # nothing can ever be there
            assert order[granted(missing)] <= order[ruled(missing)]


def test_the_helper_is_run_by_the_interpreter_itself() -> None:
    from spindle.actors.tools.sandbox.mechanism import Landlock

    argv, _ = confine(Landlock("x86_64"), CONFINEMENT, ["ls"], {})
    assert argv[:3] == [os.path.realpath(sys.executable), "-I", "-S"]
    assert os.path.isabs(argv[3])
    assert argv[-2:] == ["--", "ls"]
