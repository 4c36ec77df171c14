"""Patches that a model sends as commands, and what it is answered: the tool's result in the form of the command's."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from spindle.actors.tools.interface import Call, Output, ToolHost, ToolRefused
from spindle.actors.tools.patch.answers import json_output, plain_output, terminal_output
from spindle.actors.tools.patch.apply import Outcome
from spindle.actors.tools.patch.hunks import PatchError
from spindle.actors.tools.patch.invocation import in_command
from spindle.actors.tools.patch.parse import BEGIN
from spindle.actors.tools.patch.turn_patches import TurnPatches


class PatchCommands:
    """Takes commands that are patches. `grammar` says whether the tool is offered in that form."""

    def __init__(self, patches: TurnPatches, *, grammar: bool) -> None:
        self._patches = patches
        self._user_home = os.path.expanduser("~")
        self._forms: Mapping[str, Callable[[Outcome], str]] = {
            "exec_command": terminal_output,
            "shell_command": json_output,
            "shell": plain_output if grammar else json_output,
        }

    def suspects(self, call: Call) -> bool:
        """Whether the call may hold a patch; cheap."""
        return BEGIN in call.payload

    async def take(self, tool: str, argv: list[str], cwd: str, call_id: str, host: ToolHost) -> Output | None:
        """Apply the patch that the command is, and answer as the tool does; None if it is another command.

        Raises ToolRefused, TurnCancelled.
        """
        try:
            found = in_command(argv, cwd, self._user_home)
        except PatchError as error:
            raise ToolRefused(str(error)) from None
        if found is None:
            return None
        return self._forms[tool](await self._patches.carry_out(host, call_id, found.patch, found.cwd))
