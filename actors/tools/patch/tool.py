"""How the apply_patch tool is offered to a model, and reading what the model calls it with."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

import orjson

from spindle.actors.tools.patch.hunks import PatchError
from spindle.rpc.protocol.values import loads

NAME = "apply_patch"

_DESCRIPTION = (
    "Changes files: adds, deletes, edits or renames them. The input is the text of one patch as such; do not put it "
    "into JSON or quotes."
)
_FORMAT = """Changes files: adds, deletes, edits or renames them. `input` is the text of one patch in this form:

*** Begin Patch
*** Add File: path/of/new_file.py
+each line of the new file, with a plus before it
*** Update File: path/of/existing_file.py
*** Move to: path/with/its/new_name.py
@@ def the_function_in_question():
 a line that stays, with a space before it
-a line that goes
+a line that takes its place
*** Delete File: path/of/obsolete_file.py
*** End Patch

There may be any number of files; `*** Move to:` is only for renaming. Show about three unchanged lines before and after
each edit. Where they do not make the place unique, name the class or function after `@@`. Start every further edit of the
same file with a line `@@`. `*** End of File` after an edit says that it is at the very end. Paths are relative to the working
directory."""


@cache
def grammar() -> str:
    """The Lark grammar of patches."""
    return files("spindle.actors.tools.patch").joinpath("grammar.lark").read_text(encoding="utf-8")


def grammar_tool() -> dict[str, Any]:
    """The tool for models that write free text under a grammar."""
    form = {"type": "grammar", "syntax": "lark", "definition": grammar()}
    return {"type": "custom", "name": NAME, "description": _DESCRIPTION, "format": form}


def function_tool() -> dict[str, Any]:
    """The tool for models that only call functions with JSON."""
    text = {"type": "string", "description": "The whole patch, from *** Begin Patch to *** End Patch."}
    parameters = {"type": "object", "properties": {"input": text}, "required": ["input"], "additionalProperties": False}
    return {"type": "function", "name": NAME, "description": _FORMAT, "strict": False, "parameters": parameters}


def patch_in_arguments(arguments: str) -> str:
    """The patch in the arguments of a function call. Raises PatchError."""
    try:
        given = loads(arguments)
    except orjson.JSONDecodeError as error:
        raise PatchError(f"failed to parse function arguments: {error}") from None
    match given:
        case {"input": str(patch)}:
            return patch
        case {"input": _}:
            raise PatchError("failed to parse function arguments: invalid type for `input`, expected a string")
        case _:
            line, column = arguments.count("\n") + 1, len(arguments.rpartition("\n")[2].encode())
            raise PatchError(f"failed to parse function arguments: missing field `input` at line {line} column {column}")
