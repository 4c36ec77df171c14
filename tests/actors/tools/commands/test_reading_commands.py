"""How commands are read: from scripts, quoted, as actions, as safe or dangerous, and by the user's rules.

`observed.jsonl` holds scripts with what Codex 0.124 made of them: how it spells the script, which actions it shows (null: the
whole script is unknown), whether it asks before running it under `untrusted`, and which rule it offers. The directory is /w.
Every program is taken to be one of the system's; what they are found to be is in `test_locating.py`.
"""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spindle.actors.tools.commands import quoting
from spindle.actors.tools.commands.actions import command_actions
from spindle.actors.tools.commands.decision import RETRY, AskUser, Forbid, Run, decide, programs_of
from spindle.actors.tools.commands.locating import Program
from spindle.actors.tools.commands.rule_book import allow_prefix, load_rules
from spindle.actors.tools.commands.rules import Decision, Rules
from spindle.actors.tools.commands.rules_file import RulesError, parse_rules
from spindle.actors.tools.commands.safety import is_dangerous
from spindle.actors.tools.commands.script import LONGEST, heredoc_command, plain_commands, read_script
from spindle.rpc.protocol.items import ListFilesAction, ReadAction, SearchAction, UnknownAction
from spindle.rpc.protocol.settings import (
    DangerFullAccessPolicy,
    GranularApproval,
    GranularSettings,
    ReadOnlyPolicy,
    WorkspaceWritePolicy,
)

OBSERVED = [json.loads(line) for line in Path(__file__).with_name("observed.jsonl").read_text().splitlines()]
KINDS = {"read": ReadAction, "list": ListFilesAction, "search": SearchAction, "unknown": UnknownAction}
NO_RULES = Rules()

# not asked about by the reference, but here
STRICTER = ("git", "/usr/bin/git", "uniq", "bash", "sh", "zsh", "sed -n 5p -i", "rg -zn f")


def stricter(row):
    """The first command of a script that is asked about here but not in Codex."""
    found = () if row["asked"] else read_script(row["script"]) or ()
    return next((each for each in found if each.words[0] in STRICTER or " ".join(each.words) in STRICTER), None)


def offered(row):
    """The proposed rule: none if the shell changes a word, because it would not match."""
    if command := stricter(row):
        return command.words
    inexact = [command.words for command in read_script(row["script"]) or () if None in command.exact]
    return None if row["rule"] in inexact else row["rule"]


def judged(argv, **more):
    """The decision with system programs only."""
    paths = {name: name if name.startswith("/") else f"/usr/bin/{os.path.basename(name)}" for name in programs_of(argv)}
    return decide(argv, programs={name: Program(path, path) for name, path in paths.items()}, **more)


def bash(script):
    return ["/bin/bash", "-c", script]


def each(key=lambda row: row["script"]):
    return pytest.mark.parametrize("row", OBSERVED, ids=key)


# ---- as observed


def test_all_observations_are_present():
    assert len(OBSERVED) > 500
    assert sum(row["actions"] is not None for row in OBSERVED) > 200
    assert sum(row["asked"] for row in OBSERVED) > 200


@each()
def test_actions_are_those_of_codex(row, monkeypatch):
    monkeypatch.setenv("HOME", "/home/u")
    script = row["script"]
    wanted = [("unknown", script)] if row["actions"] is None else row["actions"]
    assert command_actions(bash(script), "/w") == [KINDS[kind](*values) for kind, *values in wanted]


@each()
def test_questions_and_proposed_rules_are_as_in_codex(row):
    verdict = judged(bash(row["script"]), approval="untrusted", sandbox=ReadOnlyPolicy(), rules=NO_RULES)
    if row["asked"] or stricter(row):
        assert isinstance(verdict, AskUser)
        assert (verdict.reason, verdict.amendment) == (None, offered(row))
    else:
        assert verdict == Run(True, AskUser(RETRY, offered(row), False), by_path=True)


def test_the_list_has_the_commands_that_are_asked_about_here_alone():
    assert {stricter(row).words[0] for row in OBSERVED if stricter(row)} == {name.split()[0] for name in STRICTER}


@each()
def test_words_are_quoted_as_in_codex(row):
    assert quoting.quote(row["script"]) == row["quoted"]


@given(st.lists(st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"))))
def test_quoted_words_are_read_back(words):
    assert quoting.split(quoting.join(words)) == words


# ---- scripts


@given(st.text("ab '\"\\$`|&;<>(){}#!~*\n=1", max_size=12))
def test_any_script_is_read_or_refused(script):
    commands = plain_commands(script)
    assert commands is None or all(commands)
    assert command_actions(bash(script), "/w") is not None


@pytest.mark.parametrize(
    "script",
    [
        "echo x\n" * 20_000,
        "true;" * 20_000 + "ls",
        "cat " + " " * 100_000 + "$x",
        "echo " + "{" * 100_000,
        "echo '" + 'it"s $x ' * 20_000 + "'",
        "echo \"it's" + "$" * 100_000,
        "a" * 100_000 + " <<E\n" + "x\n" * 50_000,
    ],
    ids=lambda script: script[:8],
)
def test_long_scripts_are_read_in_one_go(script):
    """More than one pass over them would exceed the time limit."""
    assert len(command_actions(bash(script), "/w")) == 1
    judged(bash(script), approval="untrusted", sandbox=ReadOnlyPolicy(), rules=NO_RULES)


@pytest.mark.parametrize(
    ("script", "commands"),
    [
        ("ls\npwd\n", [["ls"], ["pwd"]]),
        ("ls &&\npwd", [["ls"], ["pwd"]]),
        ("ls \\\n -a", [["ls", "-a"]]),
        ("echo 'a\nb'", [["echo", "a\nb"]]),
        ("ls\n&& pwd", None),
        ("ls &", None),
        ("echo {1..3}", None),
        ("export A=b", None),
        ("", None),
    ],
)
def test_lines_and_scripts_that_are_not_plain(script, commands):
    assert plain_commands(script) == commands


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("cat <<'E'\n$(x)\nE\n", ["cat"]),
        ("python3 - <<-E\n\tx\n\tE", ["python3", "-"]),
        ("cat <<E\n$(x)\nE", None),
        ("cat <<E\nx\nE\nls", None),
        ("cat <<E\nx", None),
        ("a=b cat <<E\nE", None),
        ("cat <<E > f\nx\nE", None),
    ],
)
def test_a_command_with_a_here_document(script, words):
    assert heredoc_command(script) == words


# ---- safe and dangerous


UNTRUSTED = {"approval": "untrusted", "sandbox": DangerFullAccessPolicy(), "rules": NO_RULES}


@pytest.mark.parametrize(
    "script",
    [
        *(r"find . -del\ete", "find . -del\\\nete", "find . {-delete,.}", "find . -exe? touch x {} +", "find -files0-fro[m] x"),
        *(r"rg --pr\e x y", "rg --search-zi x", "rg -iz x", "rg --hostname-bin=x y", "rg x *"),
        *("base64 --outp=x y", "base64 -Do x", "sed -n 1p '-e1e touch x'", "sed -n 1p *", "sed -n '1p;w x' y"),
        *("ls \\\r\ntouch x", "ls \\\n-a", "ls 'a\r'", "t\\\nouch x", "uniq a b", "git status", "git -C sub log -p"),
        *("l* x", "time ls", "noglob ls", "%1", "cat <<E\nx\nE", "=ls x"),
    ],
)
def test_a_command_that_may_do_more_than_read_is_not_safe(script):
    assert isinstance(judged(bash(script), **UNTRUSTED), AskUser)


@pytest.mark.parametrize(
    "script", [r'rg "a\.b" x && find . -name "*.{a,b}"', "ls *.py; cat ~/x", "find ! -name x", "grep -n a=b c | wc -l"]
)
def test_quoted_patterns_and_names_of_files_are_safe(script):
    assert judged(bash(script), **UNTRUSTED) == Run(True, AskUser(RETRY, OFFERED.get(script), False), by_path=True)


OFFERED = {
    r'rg "a\.b" x && find . -name "*.{a,b}"': ["rg", r"a\.b", "x"],
    "find ! -name x": ["find", "!", "-name", "x"],
    "grep -n a=b c | wc -l": ["grep", "-n", "a=b", "c"],
}


@pytest.mark.parametrize(
    ("argv", "dangerous"),
    [
        (["rm", "-f", "x"], True),
        (["rm", "-rf", "x"], True),
        (["/bin/rm", "-r", "--force", "x"], True),
        (["sudo", "rm", "-fr", "x"], True),
        (["bash", "-lc", "ls && rm -f x"], True),
        (["rm", "--", "-f"], False),
        (["rm", "-r", "x"], False),
        (["bash", "-lc", "echo 'rm -rf x'"], False),
        (["git", "reset", "--hard"], False),
    ],
)
def test_removing_by_force_is_dangerous(argv, dangerous):
    assert is_dangerous(argv) is dangerous


# ---- rules

RULES = parse_rules(
    """
COMMON = ["a", "b"]
prefix_rule(pattern=["okcmd"], decision="allow")
prefix_rule(
    pattern=["askme", COMMON],
    decision="prompt",
    justification="ask first",
    match=["askme a", ["askme", "b", "x"]],
    not_match=["askme c"],
)
prefix_rule(pattern=["askplain"], decision="prompt")
prefix_rule(pattern=["never", "do"], decision="forbidden", justification="use other")
for name in ["nope", "nay"]:
    prefix_rule(pattern=[name], decision="forbidden")
prefix_rule(pattern=["multi"], decision="prompt", justification="multi j")
prefix_rule(pattern=["multi", "a", "b"], decision="prompt")
prefix_rule(pattern=["hosty"], decision="forbidden")
host_executable(name="hosty", paths=["/usr/bin/hosty"])
""",
    "test.rules",
)


def granular(sandbox, rules):
    return GranularApproval(GranularSettings(sandbox_approval=sandbox, rules=rules, mcp_elicitations=True))


def verdict(script, approval="on-request", sandbox=None, **asked):
    argv = bash(script) if isinstance(script, str) else script
    return judged(argv, approval=approval, sandbox=sandbox or WorkspaceWritePolicy(), rules=RULES, **asked)


@pytest.mark.parametrize(
    ("script", "wanted"),
    [
        ("okcmd x", Run(False, by_path=True)),
        ("okcmd && ls", Run(True)),
        ("no\\\npe x", Forbid('`/bin/bash -c "no\\\\\npe x"` rejected: policy forbids commands starting with `nope`')),
        ("okcmd <<E\nx\nE", Run(True)),
        ("okcmd \\\r\n x", Run(True)),
        (r"okc\md x", Run(True)),
        ("touch x", Run(True)),
        ("askme a", AskUser("`/bin/bash -c 'askme a'` requires approval: ask first")),
        ("askplain", AskUser("`/bin/bash -c askplain` requires approval by policy")),
        ("multi a", AskUser("`/bin/bash -c 'multi a'` requires approval: multi j")),
        ("multi a b", AskUser("`/bin/bash -c 'multi a b'` requires approval by policy")),
        ("multi && rm -f q", AskUser("`/bin/bash -c 'multi && rm -f q'` requires approval: multi j")),
        ("rm -rf x", AskUser(None, ["rm", "-rf", "x"])),
        ("never do it", Forbid("`/bin/bash -c 'never do it'` rejected: use other")),
        (
            "ls && nope x",
            Forbid("`/bin/bash -c 'ls && nope x'` rejected: policy forbids commands starting with `nope`"),
        ),
        (
            "askplain; nay",
            Forbid("`/bin/bash -c 'askplain; nay'` rejected: policy forbids commands starting with `nay`"),
        ),
        ("./nope", Forbid("`/bin/bash -c ./nope` rejected: policy forbids commands starting with `nope`")),
        (
            "/usr/bin/hosty",
            Forbid("`/bin/bash -c /usr/bin/hosty` rejected: policy forbids commands starting with `hosty`"),
        ),
        ("/opt/hosty", Run(True)),
        (r"n\ope", Forbid('`/bin/bash -c "n\\\\ope"` rejected: policy forbids commands starting with `nope`')),
        ("cat <<E\nx\nE", Run(True)),
        (["bash", "-lc", "nope"], Forbid("`bash -lc nope` rejected: policy forbids commands starting with `nope`")),
        ([], Forbid("command args are empty")),
    ],
)
def test_verdicts_with_rules_under_on_request(script, wanted):
    assert verdict(script) == wanted


NEVER = "approval required by policy, but AskForApproval is set to Never"
BLOCKED = Forbid("`/bin/bash -c 'rm -f x'` rejected: blocked by policy")


@pytest.mark.parametrize(
    ("approval", "sandbox", "script", "wanted"),
    [
        ("never", ReadOnlyPolicy(), "touch x", Run(True)),
        ("never", ReadOnlyPolicy(), "askplain", Forbid(NEVER)),
        ("never", ReadOnlyPolicy(), "rm -f x", BLOCKED),
        ("never", DangerFullAccessPolicy(), "rm -f x", Run(True)),
        ("on-request", DangerFullAccessPolicy(), "rm -f x", AskUser(None, ["rm", "-f", "x"])),
        ("on-request", DangerFullAccessPolicy(), "touch x", Run(True)),
        ("untrusted", DangerFullAccessPolicy(), "touch x", AskUser(None, ["touch", "x"])),
        ("untrusted", ReadOnlyPolicy(), "okcmd && ls", Run(True, AskUser(RETRY, None, False), True)),
        ("untrusted", ReadOnlyPolicy(), "okcmd && touch x", AskUser(None, ["touch", "x"])),
        ("untrusted", ReadOnlyPolicy(), "cat <<E\nx\nE", AskUser(None, None)),
        ("on-failure", ReadOnlyPolicy(), "touch a && touch b", Run(True, AskUser(RETRY, ["touch", "a"], False))),
        ("on-failure", ReadOnlyPolicy(), "okcmd", Run(False, by_path=True)),
        (granular(True, True), ReadOnlyPolicy(), "touch x", Run(True, AskUser(RETRY, ["touch", "x"], False))),
        (granular(False, True), ReadOnlyPolicy(), "touch x", Run(True)),
        (
            granular(False, True),
            ReadOnlyPolicy(),
            "askplain",
            AskUser("`/bin/bash -c askplain` requires approval by policy"),
        ),
    ],
)
def test_verdicts_by_policy_and_sandbox(approval, sandbox, script, wanted):
    assert verdict(script, approval, sandbox) == wanted


def test_a_granular_policy_names_the_switch_that_forbids():
    for approval, script, switch in [
        (granular(True, False), "askplain", "rules"),
        (granular(False, True), "rm -f x", "sandbox"),
    ]:
        refused = verdict(script, approval)
        assert isinstance(refused, Forbid)
        assert f"Granular.{switch}" in refused.reason


def test_escalation_is_asked_for_under_on_request_only():
    escalated = {"permissions": "require_escalated", "justification": "I need it"}
    assert verdict("touch x", **escalated) == AskUser("I need it", ["touch", "x"], False)
    assert verdict("multi", **escalated) == AskUser("`/bin/bash -c multi` requires approval: multi j", None, False)
    assert verdict("ls", **escalated) == AskUser("I need it", ["ls"], False)
    assert verdict("okcmd && ls", **escalated) == AskUser("I need it", ["ls"], False)
    assert verdict("okcmd x", **escalated) == Run(False, by_path=True)
    assert verdict("touch x", sandbox=DangerFullAccessPolicy(), **escalated) == Run(False)
    for approval, name in [("never", "Never"), ("untrusted", "UnlessTrusted"), ("on-failure", "OnFailure")]:
        assert verdict("ls", approval, **escalated) == Forbid(
            f"approval policy is {name}; reject command — you cannot ask for escalated permissions if the approval policy "
            f"is {name}",
            shown=False,
        )
    assert isinstance(verdict("ls", permissions="with_additional_permissions"), Forbid)


@pytest.mark.parametrize(
    ("script", "prefix", "offered"),
    [
        ("touch x y", ["touch"], ["touch"]),
        ("touch x && mkdir y", ["touch"], ["touch", "x"]),
        ("python3 -c 1", ["python3", "-c"], ["python3", "-c", "1"]),
        ("touch x", [], ["touch", "x"]),
    ],
)
def test_a_proposed_rule_is_offered_if_it_is_narrow_and_suffices(script, prefix, offered):
    ask = verdict(script, permissions="require_escalated", prefix_rule=prefix)
    assert isinstance(ask, AskUser)
    assert ask.amendment == offered


@pytest.mark.parametrize(
    ("source", "line", "message"),
    [
        ("foo(", 1, "parse error"),
        ("x = 1\nprefix_rule(pattern=['a'], decision='maybe')", 2, "invalid decision: maybe"),
        ("prefix_rule(pattern=[])", 1, "pattern cannot be empty"),
        ("prefix_rule(pattern=[1])", 1, "(got int)"),
        ("prefix_rule(pattern=[['a', []]])", 1, "pattern element"),
        ("prefix_rule(decision='allow')", 1, "missing parameter `pattern`"),
        ("prefix_rule(patern=['a'])", 1, "unexpected parameter `patern`"),
        ("prefix_rule(['a'], pattern=['a'])", 1, "given twice"),
        ("\n\nprefix_rule(pattern=['a'], match=['b'])", 3, "unmatched examples"),
        ("prefix_rule(pattern=['a'], not_match=['a x'])", 1, "expected example to not match"),
        ("prefix_rule(pattern=['a'], justification=' ')", 1, "justification cannot be empty"),
        ("import os", 1, "unsupported statement"),
        ("a = b", 1, "variable `b` not found"),
        ("__import__('os').system('x')", 1, "unsupported expression"),
        ("open('x')", 1, "unknown function `open`"),
        ("a = [1]\n" + "for i in a + a:\n  pass\n" + "b = 'x' * 9", 4, "unsupported expression"),
        ("(" * 5000, 1, "parse error"),
        ("host_executable(name='a', paths=['/b'])", 1, "basename `a`"),
    ],
)
def test_an_error_in_a_rules_file_has_its_position(source, line, message):
    with pytest.raises(RulesError) as caught:
        parse_rules(source, "/home/rules/x.rules")
    assert caught.value.path == "/home/rules/x.rules"
    assert caught.value.start[0] == line
    assert message in str(caught.value)
    assert f"x.rules:{line}: " in str(caught.value)


def test_rules_that_loop_without_end_are_refused():
    loops = "".join("    " * depth + "for i in L:\n" for depth in range(8)) + "    " * 8 + "pass\n"
    with pytest.raises(RulesError, match="too many steps"):
        parse_rules("L = [1, 2, 3, 4, 5, 6, 7, 8]\n" + loops, "x")


def test_files_are_read_in_order_and_amendments_are_written_once(tmp_path):
    folder = tmp_path / "rules"
    assert load_rules(folder) == Rules()
    allow_prefix(folder, ["touch", 'a "b"', "é"])
    allow_prefix(folder, ["touch", 'a "b"', "é"])
    assert (
        folder / "default.rules"
    ).read_text() == 'prefix_rule(pattern=["touch", "a \\"b\\"", "é"], decision="allow")\n'
    (folder / "a.rules").write_text('prefix_rule(pattern=["x"], decision="forbidden")')
    (folder / "other.txt").write_text("not rules")
    assert [rule.decision for rule in load_rules(folder).rules] == [Decision.FORBIDDEN, Decision.ALLOW]
    allow_prefix(folder, ["y"])
    (folder / "default.rules").write_text((folder / "default.rules").read_text().rstrip("\n"))
    allow_prefix(folder, ["z"])
    assert [rule.pattern[0][0] for rule in load_rules(folder).rules] == ["x", "touch", "y", "z"]
    with pytest.raises(ValueError, match="at least one word"):
        allow_prefix(folder, [])
    (folder / "bad.rules").write_text("x(")
    with pytest.raises(RulesError, match=r"bad\.rules:1"):
        load_rules(folder)


def test_a_very_long_script_is_not_read():
    words = ["true"] * (LONGEST // 5)
    assert plain_commands(" ".join(words)) == [words]
    assert plain_commands("true " * 2_000_000) is None
