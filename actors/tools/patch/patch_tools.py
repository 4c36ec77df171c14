"""The tool `apply_patch`, in its two forms."""

from __future__ import annotations

from typing import Any

from spindle.actors.tools.interface import Call, Output, ToolHost, ToolRefused, Use
from spindle.actors.tools.patch.answers import json_output, patch_use, plain_output
from spindle.actors.tools.patch.hunks import PatchError
from spindle.actors.tools.patch.tool import NAME, function_tool, grammar_tool, patch_in_arguments
from spindle.actors.tools.patch.turn_patches import TurnPatches


class ApplyPatch:
    """Changes files. `custom`: called with the patch itself, which follows a grammar, and not with JSON."""

    name: str = NAME
    namespace: str | None = None

    def __init__(self, patches: TurnPatches, *, custom: bool) -> None:
        self._patches = patches
        self.offer: dict[str, Any] = grammar_tool() if custom else function_tool()

    def exclusive(self, call: Call) -> bool:
        """Calls before it are done first, and those behind it see what it changed."""
        return True

    def use(self, call: Call) -> Use | None:
        """See Hooked."""
        try:
            return patch_use(call.id, call.payload if call.custom else patch_in_arguments(call.payload))
        except PatchError:
            return None

    async def run(self, call: Call, host: ToolHost) -> Output:
        """Apply the patch, whole or not at all."""
        try:
            text = call.payload if call.custom else patch_in_arguments(call.payload)
        except PatchError as error:
            raise ToolRefused(str(error)) from None
        outcome = await self._patches.carry_out(host, call.id, text, host.cwd)
        if outcome.success:
            call.report(patch_use(call.id, text), json_output(outcome))
        return plain_output(outcome)
