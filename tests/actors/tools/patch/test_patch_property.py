"""Any edit of any files, written down as a patch, gives the edited files."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from spindle.actors.tools.patch.apply import apply
from spindle.actors.tools.patch.line_diff import matching
from spindle.actors.tools.patch.plan import plan

# distinct lines, so that a chunk fits in one place only; some of them would mislead a careless parser
LINES = ["*** End Patch", "@@", "+", "-x", " y", "EOF", "*** Delete File: a", "\tz", "—", "a\u2028b", "*** End of File"]
TEXT = st.lists(st.sampled_from([*LINES, *(f"line {n}" for n in range(20))]), unique=True, max_size=20)
END = st.sampled_from(["\n", "\r\n"])
NAMES = ["a", "b", "d/c", "d/e"]


def update(name, old, new, move_to):
    """The hunk for one file: a chunk for each difference, with a line before and after it as context."""
    body = [f"*** Update File: {name}"]
    if move_to is not None:
        body.append(f"*** Move to: {move_to}")
    at = other = shown = 0
    for run in matching(old, new):
        if (run.old, run.new) != (at, other):
            before = max(at - 1, 0)
            if before >= shown or not at:  # else the line between is the last one of the chunk before, which goes on
                body.append("@@")
                body += [f" {line}" for line in old[before:at]]
            body += [f"-{line}" for line in old[at : run.old]]
            body += [f"+{line}" for line in new[other : run.new]]
            body += [f" {line}" for line in old[run.old : run.old + min(run.count, 1)]]
            shown = run.old + 1
        at, other = run.old + run.count, run.new + run.count
    return body


def joined(lines, end):
    return "".join(f"{line}{end}" for line in lines).encode()


@st.composite
def edits(draw):
    """Files before and after, and the patch between them."""
    before, after, body = {}, {}, []
    free = ["new", "far/away/new"]
    for name in NAMES:
        old, new, end = draw(TEXT), draw(TEXT), draw(END)
        match draw(st.sampled_from(["keep", "add", "delete", "update", "move"])):
            case "keep":
                before[name] = after[name] = joined(old, end)
            case "add":
                after[name] = joined(new, "\n")
                body += [f"*** Add File: {name}", *(f"+{line}" for line in new)]
            case "delete":
                before[name] = joined(old, end)
                body.append(f"*** Delete File: {name}")
            case kind:
                if old == new:
                    continue
                goal = free.pop() if kind == "move" and free else None
                before[name] = joined(old, end)
                after[goal or name] = joined(new, end if old else "\n")
                body += update(name, old, new, goal)
    return before, after, body


@settings(deadline=None)
@given(edits())
def test_the_patch_of_an_edit_makes_the_edit(case):
    before, after, body = case
    if not body:
        return
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name, data in before.items():
            (root / name).parent.mkdir(exist_ok=True)
            (root / name).write_bytes(data)
        outcome = apply(plan("\n".join(["*** Begin Patch", *body, "*** End Patch"]), folder))
        assert outcome.stderr == ""
        found = {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}
        assert found == after
