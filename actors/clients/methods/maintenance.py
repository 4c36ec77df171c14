"""rollout/compress: maintenance of the home's files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spindle.actors.kernel.mailbox import Reply
from spindle.rpc.protocol.maintenance import RolloutCompressResponse

if TYPE_CHECKING:
    from spindle.actors.clients.caller import Caller


def compress(caller: Caller, params: None, reply: Reply[Any]) -> None:
    """rollout/compress: answers at once, and compresses in the background, also if the client leaves."""
    caller.backend.compress_rollouts()
    reply.resolve(RolloutCompressResponse())
