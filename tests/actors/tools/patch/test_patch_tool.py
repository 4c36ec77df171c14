"""The offer, the calls, and the results of the tool."""

from __future__ import annotations

import json

import pytest
from attrs import evolve

from spindle.actors.tools.patch.answers import (
    applied_event,
    declined_event,
    file_change,
    json_output,
    plain_output,
    terminal_output,
)
from spindle.actors.tools.patch.hunks import PatchError
from spindle.actors.tools.patch.tool import function_tool, grammar_tool, patch_in_arguments
from spindle.rpc.protocol.converter import unstructure
from spindle.storage.rollout.items import EVENTS


def test_the_grammar_tool_carries_its_grammar():
    tool = grammar_tool()
    definition = tool["format"].pop("definition")
    assert (tool["type"], tool["name"], tool["format"]) == ("custom", "apply_patch", {"type": "grammar", "syntax": "lark"})
    for marker in ("Begin Patch", "Add File: ", "Delete File: ", "Update File: ", "Move to: ", "End of File", "End Patch"):
        assert f'"*** {marker}"' in definition


def test_the_function_tool_takes_one_text():
    tool = function_tool()
    assert (tool["type"], tool["name"], tool["parameters"]["required"]) == ("function", "apply_patch", ["input"])
    assert list(tool["parameters"]["properties"]) == ["input"]


def test_the_example_in_the_description_is_a_patch(tree):
    text = function_tool()["description"]
    example = text[text.index("*** Begin Patch") : text.index("*** End Patch")].removeprefix("*** Begin Patch\n")
    tree.write(
        {
            "path/of/existing_file.py": (
                "def the_function_in_question():\na line that stays, with a space before it\na line that goes\n"
            ),
            "path/of/obsolete_file.py": "",
        }
    )
    assert tree.apply(example).success


def test_arguments_hold_the_patch():
    assert patch_in_arguments('{"input": "x\\ny"}') == "x\ny"


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ('{"patch": "x"}', "missing field `input` at line 1 column 14"),
        ('{"input": 3}', "invalid type for `input`, expected a string"),
        ("notjson", ""),
        ("[]", ""),
        ("", ""),
    ],
)
def test_arguments_of_another_form_are_refused(arguments, why):
    with pytest.raises(PatchError) as caught:
        patch_in_arguments(arguments)
    assert str(caught.value).startswith(f"failed to parse function arguments: {why}")


def test_the_answers_to_the_model(tree):
    outcome = evolve(tree.apply("*** Add File: a.txt\n+x\n"), seconds=0.149)
    told = "Success. Updated the following files:\nA a.txt\n"
    assert plain_output(outcome) == f"Exit code: 0\nWall time: 0.1 seconds\nOutput:\n{told}"
    assert plain_output(evolve(outcome, seconds=0.04)).splitlines()[1] == "Wall time: 0 seconds"
    assert plain_output(evolve(outcome, seconds=12.04)).splitlines()[1] == "Wall time: 12 seconds"
    expected = {"output": told, "metadata": {"exit_code": 0, "duration_seconds": 0.1}}
    assert json.loads(json_output(outcome)) == expected
    head, _, body = terminal_output(outcome).partition("\nOutput:\n")
    assert (head, json.loads(body)) == ("Wall time: 0.1490 seconds", expected)


def test_the_event_of_the_rollout_reads_back_as_the_item(tree):
    tree.write({"b.txt": "one\n", "c.txt": "gone\n", "e.txt": "one\n"})
    outcome = tree.apply(
        "*** Add File: a.txt\n+x\n*** Update File: b.txt\n*** Move to: d.txt\n@@\n-one\n+eins\n*** Delete File: c.txt\n"
        "*** Update File: e.txt\n@@\n-one\n+1\n"
    )
    _, event = applied_event("call", "turn", outcome)
    root = tree.root
    assert event == {
        "type": "patch_apply_end",
        "call_id": "call",
        "turn_id": "turn",
        "stdout": "Success. Updated the following files:\nA a.txt\nM d.txt\nM e.txt\nD c.txt\n",
        "stderr": "",
        "success": True,
        "changes": {
            f"{root}/a.txt": {"type": "add", "content": "x\n"},
            f"{root}/b.txt": {
                "type": "update",
                "unified_diff": "@@ -1 +1 @@\n-one\n+eins\n",
                "move_path": f"{root}/d.txt",
            },
            f"{root}/c.txt": {"type": "delete", "content": "gone\n"},
            f"{root}/e.txt": {"type": "update", "unified_diff": "@@ -1 +1 @@\n-one\n+1\n", "move_path": None},
        },
        "status": "completed",
    }
    item = unstructure(file_change("call", outcome.plan.changes, "completed"))
    assert EVENTS["patch_apply_end"](event) == {key: value for key, value in item.items() if key != "id"}


def test_the_events_of_patches_that_were_not_applied(tree):
    tree.write({"d": ""})
    planned = tree.plan("*** Add File: d/x\n+x\n")
    _, failed = applied_event("call", "turn", tree.apply("*** Add File: d/x\n+x\n"))
    assert (failed["status"], failed["success"], failed["stdout"]) == ("failed", False, "")
    assert failed["stderr"] == f"Failed to write file {tree.root}/d/x\n"
    outcome = evolve(tree.apply("*** Add File: d/x\n+x\n"), seconds=0.04)
    assert plain_output(outcome) == f"Exit code: 1\nWall time: 0 seconds\nOutput:\n{outcome.stderr}"
    assert json.loads(terminal_output(outcome)) == {
        "output": outcome.stderr,
        "metadata": {"exit_code": 1, "duration_seconds": 0.0},
    }
    _, declined = declined_event("call", "turn", planned.changes)
    assert (declined["status"], declined["success"], declined["stderr"]) == ("declined", False, "patch rejected by user")
