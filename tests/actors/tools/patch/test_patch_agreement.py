"""The answers, items and files of Codex 0.124 for a list of patches: the same here.

`agreed.jsonl` holds the observations, one a line: the files before, the patch, the answer to the model, the changes of
the item (null: no item was made), and the files after. `{cwd}` stands for the working directory.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from spindle.actors.tools.patch.answers import plain_output
from spindle.actors.tools.patch.apply import apply
from spindle.actors.tools.patch.hunks import PatchError
from spindle.actors.tools.patch.plan import plan
from spindle.rpc.protocol.converter import unstructure

CASES = [json.loads(line) for line in Path(__file__).with_name("agreed.jsonl").read_bytes().splitlines()]


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_a_patch_does_what_it_does_in_codex(case: dict[str, Any], tree):
    tree.write(case["files"])
    changes = None
    try:
        planned = plan(case["patch"], str(tree.root))
        changes = unstructure(planned.changes)
        outcome = apply(planned)
        answer = plain_output(outcome).replace("Wall time: 0.1 ", "Wall time: 0 ")
    except PatchError as error:
        answer = str(error)
    expected = json.loads(json.dumps(case).replace("{cwd}", str(tree.root)))
    assert answer == expected["answer"]
    assert changes == expected["changes"]
    assert {name: text.decode() for name, text in tree.read().items()} == expected["after"]
