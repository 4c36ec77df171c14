"""gitDiffToRemote: what a work tree has that its remote has not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from spindle.actors.kernel.mailbox import Reply
from spindle.actors.tools.git_diff import NoDifference
from spindle.actors.tools.git_diff import diff_to_remote as find
from spindle.rpc.protocol.errors import invalid_request
from spindle.rpc.protocol.repositories import GitDiffToRemoteParams, GitDiffToRemoteResponse

if TYPE_CHECKING:
    from spindle.actors.clients.caller import Caller


def diff_to_remote(caller: Caller, params: GitDiffToRemoteParams, reply: Reply[Any]) -> None:
    """gitDiffToRemote"""

    async def work() -> GitDiffToRemoteResponse:
        try:
            found = await find(params.cwd)
        except NoDifference as error:
            cwd = orjson.dumps(params.cwd).decode()
            why = f": {error}" if str(error) else ""
            raise invalid_request(f"failed to compute git diff to remote for cwd: {cwd}{why}") from error
        return GitDiffToRemoteResponse(found.sha, found.diff)

    caller.later(reply, work)
