"""Which commands are patches, and where they are applied."""

from __future__ import annotations

import pytest

from spindle.actors.tools.patch.hunks import PatchError
from spindle.actors.tools.patch.invocation import PatchCall, in_command, in_script

PATCH = "*** Begin Patch\n*** Add File: a.txt\n+hello $HOME `x`\n*** End Patch\n"
HERE = f"apply_patch <<'EOF'\n{PATCH}EOF\n"


@pytest.mark.parametrize(
    ("script", "cwd"),
    [
        (HERE, "/w"),
        (f"apply_patch <<EOF\n{PATCH}EOF", "/w"),
        (f'apply_patch <<"EOF"\n{PATCH}EOF', "/w"),
        (f"apply_patch<<'EOF'\n{PATCH}EOF", "/w"),
        (f"applypatch << 'A_PATCH'\n{PATCH}A_PATCH\n", "/w"),
        (f"apply_patch <<-'EOF'\n{PATCH}\tEOF\n", "/w"),
        (f"apply_patch <<'EOF'\n{PATCH}EOF  \n\n", "/w"),
        (f"\n  {HERE}\n\n", "/w"),
        (f"FOO=1 {HERE}", "/w"),
        (f"cd sub && {HERE}", "/w/sub"),
        (f"cd sub/dir&&{HERE}", "/w/sub/dir"),
        (f"cd 'su b' && {HERE}", "/w/su b"),
        (f'cd "su b" && {HERE}', "/w/su b"),
        (f"cd su\\ b && {HERE}", "/w/su b"),
        (f"cd sub &&\\\n{HERE}", "/w/sub"),
        (f"cd /else && {HERE}", "/else"),
        (f"cd ~ && {HERE}", "/home/me"),
        (f"cd ~/x && {HERE}", "/home/me/x"),
        (f"cd '~' && {HERE}", "/w/~"),
    ],
)
def test_a_script_that_only_applies_a_patch_is_one(script, cwd):
    assert in_script(script, "/w", "/home/me") == PatchCall(PATCH, cwd)


@pytest.mark.parametrize(
    "script",
    [
        f"cd sub; {HERE}",
        f"cd sub || {HERE}",
        f"cd sub | {HERE}",
        f"cd sub && cd .. && {HERE}",
        f"cd $HOME && {HERE}",
        f'cd "$HOME" && {HERE}',
        f"cd `x` && {HERE}",
        f"cd && {HERE}",
        f"{HERE}echo done\n",
        f"set -e\n{HERE}",
        f"# a patch\n{HERE}",
        f"(cd sub && {HERE})",
        f"{HERE} && echo ok",
        f"apply_patch <<'EOF' && echo ok\n{PATCH}EOF",
        f"apply_patch <<'EOF' > log\n{PATCH}EOF",
        f"apply_patch --check <<'EOF'\n{PATCH}EOF",
        f"cat <<'EOF' | apply_patch\n{PATCH}EOF",
        f"apply_patch <<'EOF'\n{PATCH}",
        f"apply_patch <<'EOF\"\n{PATCH}EOF",
        f"apply_patch '{PATCH}'",
        f"echo apply_patch <<'EOF'\n{PATCH}EOF",
        f"FOO=$(rm x) {HERE}",
        "ls",
        "",
    ],
)
def test_anything_else_is_left_to_the_shell(script):
    assert in_script(script, "/w", "/home/me") is None


@pytest.mark.parametrize(
    ("argv", "found"),
    [
        (["apply_patch", PATCH], True),
        (["applypatch", PATCH], True),
        (["bash", "-lc", HERE], True),
        (["/bin/bash", "-c", HERE], True),
        (["zsh", "-lc", HERE], True),
        (["sh", "-c", HERE], True),
        (["apply_patch", "no patch: the error is told when it is planned"], True),
        (["apply_patch"], False),
        (["apply_patch", PATCH, "x"], False),
        (["python", "-c", HERE], False),
        (["bash", "-x", HERE], False),
        (["ls"], False),
        ([], False),
    ],
)
def test_a_command_line(argv, found):
    call = in_command(argv, "/w")
    assert call == (PatchCall(argv[1] if len(argv) == 2 else PATCH, "/w") if found else None)


@pytest.mark.parametrize("argv", [[PATCH], ["bash", "-lc", PATCH], ["bash", "-lc", f"<<'EOF'\n{PATCH}EOF"]])
def test_a_bare_patch_is_refused_with_advice(argv):
    with pytest.raises(PatchError, match=r'^apply_patch verification failed: .* Rerun as \["apply_patch", "<patch>"\]$'):
        in_command(argv, "/w")


def test_the_end_mark_is_the_first_line_that_is_the_mark():
    script = f"apply_patch <<'EOF'\n{PATCH}EOF\nrm -rf x\nEOF\n"
    assert in_script(script, "/w") is None


def test_a_line_of_the_patch_that_says_the_mark_does_not_end_it():
    patch = PATCH.replace("+hello", " EOF\n+EOF\n+hello")
    assert in_script(f"apply_patch <<'EOF'\n{patch}EOF\n", "/w") == PatchCall(patch, "/w")


def test_a_long_script_is_judged_at_once():
    assert in_script("cd " + "a" * 50_000 + " && apply_patch <<'EOF'\n" + "EO\n" * 50_000, "/w") is None
