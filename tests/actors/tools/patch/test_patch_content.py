"""A patch keeps the bytes that it does not change: line ends, context, links, modes."""

from __future__ import annotations

import os

import pytest

from spindle.actors.tools.patch.hunks import PatchError

UPDATE = "*** Update File: b.txt\n"


@pytest.mark.parametrize(
    ("before", "chunks", "after"),
    [
        pytest.param("a\r\nb\r\nc\r\n", "@@\n a\n-b\n+x\n+y\n", "a\r\nx\r\ny\r\nc\r\n", id="CRLF is given to added lines"),
        pytest.param("a\r\nb\nc\n", "@@\n-c\n+x\n", "a\r\nb\nx\n", id="mixed ends: as the line before"),
        pytest.param("a\r\nb", "@@\n b\n+c\n", "a\r\nb\r\nc\r\n", id="CRLF, appended after a bare last line"),
        pytest.param("a\nb", "@@\n-a\n+x\n", "x\nb", id="an untouched bare last line stays bare"),
        pytest.param("a\nb", "@@\n-a\n+x\n b\n", "x\nb", id="so does one that is context"),
        pytest.param("a\nb", "@@\n-b\n+x\n", "a\nx\n", id="a replaced one is ended"),
        pytest.param("a\nb", "@@\n+x\n", "a\nb\nx\n", id="one that lines follow is ended"),
        pytest.param("a\nb", "@@\n-b\n", "a\n", id="a removed one"),
        pytest.param("  a\n\tb  \nc\n", "@@\n a\n-b\n+x\n", "  a\nx\nc\n", id="context found by tolerance stays as it is"),
        pytest.param("“a” — b\nc\n", '@@\n "a" - b\n-c\n+x\n', "“a” — b\nx\n", id="typographic context stays as it is"),
        pytest.param("‘q’ − ‑ \u3000\u202f.\n", "@@\n-'q' - -   .\n+x\n", "x\n", id="typography is matched"),
        pytest.param("a\n\n\n", "@@\n+x\n", "a\n\n\nx\n", id="appended after blank lines"),
        pytest.param("a\nb\n", "@@ a\n+x\n", "a\nx\nb\n", id="lines without context go after the named line"),
        pytest.param("a\nb\n", "@@ a\n+x\n*** End of File\n", "a\nb\nx\n", id="or to the end if the patch says so"),
        pytest.param("a\nx \nx\n", "@@\n-x\n+y\n", "a\nx \ny\n", id="an exact match later beats a tolerant one before"),
        pytest.param("a\rb\n", "@@\n-a\rb\n+z\n", "z\n", id="a lone carriage return ends no line"),
        pytest.param("x\n" * 700 + "end\n", "@@\n x\n-end\n+fin\n", "x\n" * 700 + "fin\n", id="far down among equal lines"),
    ],
)
def test_an_update(before, chunks, after, tree):
    tree.write({"b.txt": before})
    assert tree.apply(UPDATE + chunks).success
    assert tree.read() == {"b.txt": after.encode()}


@pytest.mark.parametrize(
    ("body", "after"),
    [
        ("*** Add File: n\n+a\n*** Update File: n\n@@\n-a\n+b\n", {"b.txt": "a\nb\n", "n": "b\n"}),
        (UPDATE + "@@\n-a\n+x\n" + UPDATE + "@@\n-x\n+y\n", {"b.txt": "y\nb\n"}),
        (UPDATE + "*** Move to: c\n@@\n-a\n+x\n*** Update File: c\n@@\n-x\n+y\n", {"c": "y\nb\n"}),
        (UPDATE + "*** Move to: c\n@@\n-a\n+x\n*** Add File: b.txt\n+new\n", {"c": "x\nb\n", "b.txt": "new\n"}),
        (UPDATE + "*** Move to: b.txt\n@@\n-a\n+x\n", {"b.txt": "x\nb\n"}),
    ],
)
def test_a_hunk_sees_what_the_hunks_before_it_did(body, after, tree):
    tree.write({"b.txt": "a\nb\n"})
    assert tree.apply(body).success
    assert tree.read() == {name: text.encode() for name, text in after.items()}


@pytest.mark.parametrize("body", ["*** Delete File: b.txt\n" + UPDATE + "@@\n-a\n+b\n", "*** Delete File: b.txt\n" * 2])
def test_a_file_that_an_earlier_hunk_removed_is_missing(body, tree):
    tree.write({"b.txt": "a\nb\n"})
    with pytest.raises(PatchError, match="No such file or directory \\(os error 2\\)"):
        tree.plan(body)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"three\n" * 6000 + b"\xff\n", "invalid utf-8 sequence of 1 bytes from index 36000"),
        (b"one\n\xe2\x82", "incomplete utf-8 byte sequence from index 4"),
        (b"x" * 40000 + b"\xff", "invalid utf-8 sequence of 1 bytes from index 40000"),
    ],
)
@pytest.mark.parametrize(
    ("body", "doing"), [(UPDATE + "@@\n-one\n+x\n", "file to update "), ("*** Delete File: b.txt\n", "")]
)
def test_a_file_that_is_no_text_is_named_and_unchanged(data, why, body, doing, tree):
    tree.write({"b.txt": data})
    with pytest.raises(PatchError) as caught:
        tree.plan(body)
    assert str(caught.value) == f"apply_patch verification failed: Failed to read {doing}{tree.root}/b.txt: {why}"


def test_a_binary_file_can_be_replaced(tree):
    tree.write({"b.txt": b"\xff\0"})
    outcome = tree.apply("*** Add File: b.txt\n+x\n")
    assert outcome.success
    assert tree.read() == {"b.txt": b"x\n"}


@pytest.mark.parametrize("special", ["fifo", "large", "loop"])
def test_a_special_file_is_refused_without_waiting_for_it(special, tree, monkeypatch):
    path = tree.root / "b.txt"
    if special == "fifo":
        os.mkfifo(path)
    elif special == "loop":
        path.symlink_to("b.txt")
    else:
        path.write_bytes(b"a\n" * 100)
        monkeypatch.setattr("spindle.actors.tools.patch.content.MAX_BYTES", 199)
    with pytest.raises(PatchError, match=r"Failed to read file to update .*b.txt: (not a|larger|Too many)"):
        tree.plan(UPDATE + "@@\n-a\n+b\n")


@pytest.mark.parametrize("path", ["a\0b", "\udc80"])
def test_an_impossible_path_is_refused(path, tree):
    with pytest.raises(PatchError, match=r"^apply_patch verification failed: invalid patch: "):
        tree.plan(f"*** Add File: {path}\n+x\n")


def test_the_mode_of_a_file_is_kept_also_when_it_moves(tree):
    tree.write({"run": "a\n", "old": "a\n"})
    for name in ("run", "old"):
        (tree.root / name).chmod(0o751)
    tree.apply("*** Update File: run\n@@\n-a\n+b\n*** Update File: old\n*** Move to: new\n@@\n-a\n+b\n")
    assert [(tree.root / name).stat().st_mode & 0o7777 for name in ("run", "new")] == [0o751, 0o751]


def test_a_changed_program_no_longer_runs_as_its_owner(tree):
    tree.write({"run": "a\n"})
    (tree.root / "run").chmod(0o4755)
    tree.apply("*** Update File: run\n@@\n-a\n+b\n")
    assert (tree.root / "run").stat().st_mode & 0o7777 == 0o755


def test_a_new_file_gets_the_mode_of_any_new_file(tree):
    tree.apply("*** Add File: a\n+x\n")
    tree.write({"b": "x"})
    assert (tree.root / "a").stat().st_mode == (tree.root / "b").stat().st_mode


def test_links_are_written_through_and_deleted_themselves(tree):
    tree.write({"b.txt": "a\n", "c.txt": "a\n"})
    for name in ("through", "gone", "moved"):
        (tree.root / name).symlink_to("c.txt" if name == "moved" else "b.txt")
    outcome = tree.apply(
        "*** Update File: through\n@@\n-a\n+x\n*** Delete File: gone\n*** Update File: moved\n*** Move to: m\n@@\n-a\n+y\n"
    )
    assert outcome.success
    assert tree.read() == {"b.txt": b"x\n", "c.txt": b"a\n", "through": b"-> b.txt", "m": b"y\n"}
    names = ("b.txt", "gone", "m", "moved")
    assert outcome.plan.touched == tuple(os.path.join(os.path.realpath(tree.root), name) for name in names)
    assert [os.path.basename(change.path) for change in outcome.plan.changes] == ["gone", "moved", "through"]


def test_a_link_that_the_patch_removes_is_no_longer_followed_by_it(tree):
    tree.write({"b.txt": "a\n"})
    (tree.root / "l").symlink_to("b.txt")
    assert tree.apply("*** Delete File: l\n*** Add File: l\n+x\n").success
    assert tree.read() == {"b.txt": b"a\n", "l": b"x\n"}


def test_the_touched_paths_are_the_targets_of_links(tree, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (tree.root / "d").symlink_to(outside)
    planned = tree.plan("*** Add File: d/../d/a\n+x\n*** Add File: e/f\n+x\n")
    assert planned.touched == tuple(map(os.path.realpath, (f"{outside}/a", f"{tree.root}/e/f")))
