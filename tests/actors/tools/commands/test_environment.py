"""The environment of a command, and the shell that runs it."""

import os

import pytest

from spindle.actors.tools.commands.environment import (
    EnvironmentPolicy,
    Programs,
    command_environment,
    environment_policy,
    find_shell,
    shell_argv,
    user_shell,
    with_programs,
)

INHERITED = {"PATH": "/bin", "HOME": "/h", "FOO": "1", "FOO_KEY": "2", "My_Token": "3", "foot": "4"}


def env(**policy):
    return command_environment(EnvironmentPolicy(**policy), thread_id="t", inherited=INHERITED)


@pytest.mark.parametrize(
    ("policy", "wanted"),
    [
        ({}, INHERITED),
        ({"inherit": "core"}, {"PATH": "/bin", "HOME": "/h"}),
        ({"inherit": "none", "set": {"A": "1", "A_KEY": "2"}}, {"A": "1", "A_KEY": "2"}),
        ({"ignore_default_excludes": False}, {"PATH": "/bin", "HOME": "/h", "FOO": "1", "foot": "4"}),
        ({"exclude": ["foo*", "p?th"]}, {"HOME": "/h", "My_Token": "3"}),
        ({"exclude": ["FOO"], "set": {"FOO": "new"}}, {**INHERITED, "FOO": "new"}),
        ({"include_only": ["*KEY"], "set": {"A": "1", "B_KEY": "2"}}, {"FOO_KEY": "2", "B_KEY": "2"}),
        ({"exclude": ["."]}, INHERITED),
        ({"keys": {"FOO", "path", "HOME"}}, {k: v for k, v in INHERITED.items() if k != "FOO"}),
        ({"keys": {"FOO", "foot"}, "allow_keys": ["foo"]}, {k: v for k, v in INHERITED.items() if k != "foot"}),
        ({"keys": {"FOO"}, "set": {"FOO": "mine"}}, {**INHERITED, "FOO": "mine"}),
    ],
)
def test_the_policy_is_applied_in_its_order(policy, wanted):
    assert env(**policy) == {**wanted, "CODEX_THREAD_ID": "t"}


def test_exec_command_gets_a_plain_text_environment_and_the_sandbox_variable():
    got = command_environment(
        EnvironmentPolicy(inherit="none"), thread_id="t", inherited=INHERITED, network=False, quiet=True
    )
    assert got["TERM"] == "dumb"
    assert got["NO_COLOR"] == got["CODEX_CI"] == got["CODEX_SANDBOX_NETWORK_DISABLED"] == "1"
    assert got["PAGER"] == "cat"


def test_an_invalid_member_of_the_policy_has_its_default():
    table = {"inherit": "core", "exclude": ["A", 1], "set": {"N": 1}, "include_only": "x", "ignore_default_excludes": 0}
    assert environment_policy(table) == EnvironmentPolicy(inherit="core", exclude=("A",), set={"N": "1"})
    assert environment_policy({"allow_keys": ["A", 2]}, {"A"}) == EnvironmentPolicy(keys={"A"}, allow_keys=("A",))
    assert environment_policy(None) == environment_policy({"inherit": "some"}) == EnvironmentPolicy()


def test_shells_are_found_by_path_or_name_and_replaced_by_sh(tmp_path):
    own = tmp_path / "bash"
    own.write_text("#!/bin/sh\n")
    own.chmod(0o755)
    assert find_shell(str(own)) == str(own)
    assert find_shell("/nowhere/sh") == "/bin/sh"
    assert find_shell("fish") == find_shell("") == "/bin/sh"
    assert os.path.isabs(user_shell())
    assert shell_argv("ls", shell="sh") == ["/bin/sh", "-lc", "ls"]
    assert shell_argv("ls", login=False) == [user_shell(), "-c", "ls"]


OWN = Programs("/own programs", ("apply_patch", "applypatch"), ())


@pytest.mark.parametrize(
    ("policy", "path"),
    [
        ({}, "/own programs:/bin"),
        ({"inherit": "core", "set": {"PATH": "/else"}}, "/own programs:/else"),
        ({"include_only": ["FOO"]}, None),
        ({"inherit": "none"}, None),
    ],
)
def test_our_own_programs_are_first_on_any_path(policy, path):
    got = command_environment(EnvironmentPolicy(**policy), thread_id="t", inherited=INHERITED, programs=OWN)
    assert got.get("PATH") == path


@pytest.mark.parametrize(
    ("argv", "env", "changed"),
    [
        (["/bin/bash", "-lc", "apply_patch x"], {"PATH": "/bin"}, True),
        (["bash", "-lc", "true; applypatch x"], {"PATH": "/bin"}, True),
        (["sh", "-c", "apply_patch x"], {}, True),
        (["sh", "-c", "apply_patch x"], {"PATH": "/bin"}, False),
        (["bash", "-lc", "make"], {"PATH": "/bin"}, False),
        (["python", "-c", "apply_patch"], {}, False),
        (["apply_patch", "x"], {}, False),
    ],
)
def test_a_script_that_may_lose_its_path_finds_the_programs_it_names(argv, env, changed):
    *rest, script = argv
    wanted = [*rest, f"PATH='/own programs':$PATH; {script}"] if changed else argv
    assert with_programs(argv, env, OWN) == wanted
