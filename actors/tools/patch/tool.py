"""How a model sends patches: the tool `apply_patch` in its two forms, or a command that is a patch."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from spindle.actors.tools.interface import Call, Output, ToolHost, ToolRefused, Use
from spindle.actors.tools.patch.answers import NAME, json_output, patch_use, plain_output, terminal_output
from spindle.actors.tools.patch.hunks import PatchError
from spindle.actors.tools.patch.parse import BEGIN
from spindle.actors.tools.patch.turn_patches import TurnPatches
from spindle.rpc.protocol.values import loads

if TYPE_CHECKING:
    from spindle.actors.tools.patch.apply import PatchOutcome

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
    return Path(__file__).with_name("grammar.lark").read_text(encoding="utf-8")


def grammar_tool() -> dict[str, Any]:
    """The tool as free text under a grammar."""
    form = {"type": "grammar", "syntax": "lark", "definition": grammar()}
    return {"type": "custom", "name": NAME, "description": _DESCRIPTION, "format": form}


def function_tool() -> dict[str, Any]:
    """The tool as a function with JSON arguments."""
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
            raise PatchError(
                f"failed to parse function arguments: missing field `input` at line {line} column {column}"
            )


class ApplyPatch:
    """Changes files. `custom`: the call is the patch itself, under a grammar, instead of JSON."""

    name: str = NAME
    namespace: str | None = None

    def __init__(self, patches: TurnPatches, *, custom: bool) -> None:
        self._patches = patches
        self.offer: dict[str, Any] = grammar_tool() if custom else function_tool()

    def exclusive(self, call: Call) -> bool:
        """Earlier calls end first, and later calls see its changes."""
        return True

    def use(self, call: Call) -> Use | None:
        """See Hooked."""
        try:
            return patch_use(call.id, call.payload if call.custom else patch_in_arguments(call.payload))
        except PatchError:
            return None

    async def run(self, call: Call, host: ToolHost) -> Output:
        """Apply the patch, whole or not at all. Raises ToolRefused, TurnCancelled."""
        try:
            text = call.payload if call.custom else patch_in_arguments(call.payload)
        except PatchError as error:
            raise ToolRefused(str(error)) from None
        outcome = await self._patches.carry_out(host, call.id, text, host.cwd)
        if outcome.success:
            call.report(patch_use(call.id, text), json_output(outcome))
        return plain_output(outcome)


class PatchCommands:
    """Applies commands that are patches. `grammar`: whether the tool is offered with its grammar; `shell` then answers so."""

    def __init__(self, patches: TurnPatches, *, grammar: bool) -> None:
        self._patches = patches
        self._user_home = os.path.expanduser("~")
        self._forms: Mapping[str, Callable[[PatchOutcome], str]] = {
            "exec_command": terminal_output,
            "shell_command": json_output,
            "shell": plain_output if grammar else json_output,
        }

    def suspects(self, call: Call) -> bool:
        """Whether the call may contain a patch; cheap."""
        return BEGIN in call.payload

    async def take(self, tool: str, argv: list[str], cwd: str, call_id: str, host: ToolHost) -> Output | None:
        """Apply the patch in the command, and answer in the form of `tool`; None if it is another command.

        Raises ToolRefused, TurnCancelled.
        """
        from spindle.actors.tools.patch.invocation import in_command

        try:
            found = in_command(argv, cwd, self._user_home)
        except PatchError as error:
            raise ToolRefused(str(error)) from None
        if found is None:
            return None
        return self._forms[tool](await self._patches.carry_out(host, call_id, found.patch, found.cwd))
