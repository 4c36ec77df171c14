"""The programs that names resolve to, which of them may be started by name, and how they are started."""

import os

import pytest
from attrs import evolve

from spindle.actors.tools.commands.decision import AskUser, Run
from spindle.actors.tools.commands.judging import judge, may_write
from spindle.actors.tools.commands.locating import BUILTIN, loads_only_fixed, locate
from spindle.actors.tools.commands.process import Command
from spindle.actors.tools.commands.rules import Rules
from spindle.actors.tools.commands.rules_file import parse_rules
from spindle.actors.tools.sandbox.confinement import Place, of_policy
from spindle.rpc.protocol.settings import DangerFullAccessPolicy, ReadOnlyPolicy, WorkspaceWritePolicy


@pytest.fixture
def root(tmp_path):
    return tmp_path.resolve()


@pytest.fixture
def program(root):
    """program(path) makes a program below the root."""

    def make(path):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text("#!/bin/sh\n")
        (root / path).chmod(0o755)
        return str(root / path)

    return make


def below(root, name):
    return lambda path: path.startswith(f"{root}/{name}")


def found(root, name, *folders, shell="", **more):
    path = os.pathsep.join(str(folder) for folder in folders)
    return locate([name], path=path, writable=below(root, "ws"), shell=shell, **more).get(name)


def test_a_name_leads_to_the_first_program_on_the_path(root, program):
    program("opt/tool")
    program("ws/bin/tool")
    assert found(root, "tool", root / "opt", root / "ws/bin").path == f"{root}/opt/tool"
    assert found(root, "tool", root / "opt", root / "ws/bin").fixed
    assert not found(root, "tool", root / "ws/bin", root / "opt").fixed
    assert found(root, "tool", root / "none") is None


@pytest.mark.parametrize("folder", ["", ".", "bin"])
def test_a_relative_folder_on_the_path_finds_nothing(root, program, monkeypatch, folder):
    program("opt/tool")
    program("ws/tool")
    program("ws/bin/tool")
    monkeypatch.chdir(root / "ws")
    assert found(root, "tool", folder, root / "opt") is None


def test_a_link_into_the_workspace_and_one_out_of_it_may_both_be_changed(root, program):
    target = program("ws/tool")
    (root / "opt").mkdir()
    (root / "opt/tool").symlink_to(target)
    (root / "ws/ls").symlink_to("/bin/ls")
    assert not found(root, "tool", root / "opt").fixed
    assert not found(root, "ls", root / "ws").fixed


def test_the_systems_programs_are_those_that_only_root_may_change(root, program):
    assert found(root, "ls", "/usr/bin", "/bin").system
    assert not found(root, program("opt/tool"), "").system
    assert found(root, program("opt/sh"), "", shell=f"{root}/opt/sh").system
    assert not found(root, program("ws/sh"), "", shell=f"{root}/ws/sh").system


def test_builtins_are_words_of_scripts_and_relative_paths_lead_nowhere(root):
    assert found(root, "cd", "/usr/bin", builtins=True) is BUILTIN
    assert found(root, "cd", root) is None
    assert found(root, "./ls", "/bin") is None


@pytest.mark.parametrize(
    ("env", "profiles", "fixed"),
    [
        ({"HOME": "{ws}"}, False, True),
        ({"HOME": "{ws}"}, True, False),
        ({"HOME": "/opt/home", "ZDOTDIR": "{ws}/x"}, True, False),
        ({"HOME": "/opt/home"}, True, True),
        ({"PATH": "/bin"}, True, True),
        ({"BASH_ENV": "{ws}/x"}, False, False),
        ({"BASH_ENV": "x"}, False, False),
        ({"BASH_ENV": ""}, False, True),
        ({"LD_PRELOAD": "/lib/a.so {ws}/b.so"}, False, False),
        ({"LD_LIBRARY_PATH": "/opt/lib:"}, False, False),
        ({"LD_LIBRARY_PATH": "/opt/lib"}, False, True),
    ],
)
def test_files_loaded_before_a_command_must_not_be_writable_by_the_model(root, env, profiles, fixed):
    given = {name: value.format(ws=root / "ws") for name, value in env.items()}
    assert loads_only_fixed(given, profiles=profiles, writable=below(root, "ws")) is fixed


def test_the_workspace_counts_as_written_by_the_model_under_any_policy(root):
    place = Place(str(root / "ws"), str(root / "home"), str(root / "temporary"))
    for policy in (ReadOnlyPolicy(), DangerFullAccessPolicy()):
        writable = may_write(place, policy, None)
        assert [writable(f"{root}/{name}/x") for name in ("ws", "temporary")] == [True, True]
        assert writable("/tmp/x")
        assert not writable("/opt/x")
    wide = WorkspaceWritePolicy(writable_roots=["/opt/a"])
    writable = may_write(place, wide, of_policy(wide, place))
    assert (writable("/opt/a/x"), writable("/opt/b")) == (True, False)


# ---- what is started

RULES = parse_rules('prefix_rule(pattern=[["tool", "ls"]], decision="allow")', "x")


def started(root, argv, env, *, rules=RULES, approval="on-request", **more):
    command = Command(argv=argv, cwd=str(root / "ws"), env=env)
    return judge(
        command, below(root, "ws"), approval=approval, sandbox=WorkspaceWritePolicy(), rules=rules, **more
    )


def test_an_allowed_command_starts_by_path_and_finds_no_program_of_the_workspace(root, program):
    tool = program("opt dir/tool")
    program("ws/.venv/bin/other")
    env = {"PATH": f"{root}/ws/.venv/bin:rel:{root}/opt dir:/usr/bin:/bin", "X": "y"}
    judged = started(root, ["bash", "-c", "tool a 'b c'; ls"], env)
    assert judged.verdict == Run(False, by_path=True)
    ls, bash = (found(root, name, "/usr/bin", "/bin").path for name in ("ls", "bash"))
    assert judged.command.argv == [bash, "-c", f"'{tool}' a 'b c'; {ls}"]
    assert judged.command.env == {"PATH": f"{root}/opt dir:/usr/bin:/bin", "X": "y"}
    judged = started(root, ["tool", "a"], env)
    assert judged.command.argv == [tool, "a"]


def test_a_rule_holds_for_no_program_that_the_model_may_have_written(root, program):
    program("opt/tool")
    program("ws/bin/tool")
    env = {"PATH": f"{root}/ws/bin:{root}/opt"}
    for argv in (["tool"], [f"{root}/ws/bin/tool"], [f"{root}/opt/tool"], ["./tool"]):
        judged = started(root, argv, env)
        assert judged.verdict == Run(True)
        assert judged.command.argv == argv
    assert started(root, [f"{root}/opt/tool"], {"PATH": f"{root}/opt"}).verdict == Run(False, by_path=True)


def test_a_rule_for_a_path_holds_for_it_as_it_is_written(root, program):
    program("ws/tool")
    rules = Rules().with_prefix(["./tool"])
    assert started(root, ["./tool"], {}, rules=rules).verdict == Run(False, by_path=True)
    assert started(root, [f"{root}/ws/tool"], {}, rules=rules).verdict == Run(True)


def test_a_rule_holds_for_the_paths_that_stand_for_its_name(root, program):
    tool, other = program("opt/tool"), program("other/tool")
    rules = evolve(RULES, executables={"tool": [other]})
    env = {"PATH": f"{root}/opt"}
    assert [started(root, [word], env, rules=rules).verdict for word in (other, tool, "tool")] == [
        Run(False, by_path=True),
        Run(True),
        Run(True),
    ]


def test_a_rule_that_forbids_holds_for_every_path_and_for_what_a_link_leads_to(root, program):
    program("ws/rm")
    (root / "ws/harmless").symlink_to("/bin/rm")
    rules = parse_rules('prefix_rule(pattern=["rm"], decision="prompt")', "x")
    for word in ("rm", "./rm", f"{root}/ws/rm", f"{root}/ws/harmless"):
        assert isinstance(started(root, [word, "x"], {"PATH": "/bin"}, rules=rules).verdict, AskUser)


def test_a_rule_that_would_not_match_is_not_proposed(root, program):
    program("ws/bin/tool")
    program("opt/fixed")
    env = {"PATH": f"{root}/ws/bin:{root}/opt"}

    def offered(*argv, **more):
        return started(root, list(argv), env, rules=Rules(), approval="untrusted", **more).verdict.amendment

    assert offered("tool", "x") is None
    assert offered("fixed", "x") == ["fixed", "x"]
    assert offered("fixed", "x", prefix_rule=["fixed"]) == ["fixed"]
    assert offered("tool", "x", prefix_rule=["tool"]) is None


def test_nothing_is_allowed_by_name_if_the_shell_reads_writable_files(root):
    env = {"PATH": "/usr/bin:/bin", "HOME": f"{root}/ws"}
    assert started(root, ["/bin/bash", "-c", "ls"], env).verdict == Run(False, by_path=True)
    assert started(root, ["/bin/bash", "-lc", "ls"], env).verdict == Run(True)
