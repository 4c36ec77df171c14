"""request_permissions: the model asks for permissions beyond its sandbox, for the turn or the session."""

import os
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import orjson
import trio
from attrs import field

from spindle.actors.tools.approvals.remembered import Remembered
from spindle.actors.tools.interface import Call, Output, Refusal, Reviewed, ToolHost, ToolRefused, function
from spindle.actors.tools.notifications import now_ms
from spindle.actors.tools.sandbox.confinement import Access, Grants, Place
from spindle.actors.tools.sandbox.profile import ProfileError, read
from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.approvals import PermissionsRequestApprovalParams, PermissionsRequestApprovalResponse
from spindle.rpc.protocol.converter import InvalidValue, structure
from spindle.rpc.protocol.errors import RpcError
from spindle.rpc.protocol.settings import AskForApproval, GranularApproval

_PATHS = {"type": "array", "items": {"type": "string"}}


@frozen
class _Files:
    read: Sequence[str] | None = None
    write: Sequence[str] | None = None


@frozen
class _Network:
    enabled: bool | None = None


@frozen
class _Wanted:
    file_system: _Files | None = field(default=None, metadata={"wire": "file_system"})
    network: _Network | None = None


@frozen
class _Request:
    permissions: _Wanted
    reason: str | None = None


class RequestPermissions:
    """The tool."""

    name = "request_permissions"
    namespace = None
    offer = function(
        name,
        "Asks the user for permissions beyond the sandbox, of which any part may be granted. What is granted holds for the "
        "commands that follow in this turn, or in the whole session if the user says so.",
        {
            "reason": {"type": "string", "description": "What they are needed for, in a sentence."},
            "permissions": {
                "type": "object",
                "properties": {
                    "file_system": {
                        "type": "object",
                        "properties": {
                            "read": {**_PATHS, "description": "Absolute paths to read from."},
                            "write": {**_PATHS, "description": "Absolute paths to write to."},
                        },
                        "additionalProperties": False,
                    },
                    "network": {
                        "type": "object",
                        "properties": {"enabled": {"type": "boolean", "description": "true to reach the network."}},
                        "additionalProperties": False,
                    },
                },
                "additionalProperties": False,
            },
        },
        ["permissions"],
    )

    def __init__(self, remembered: Remembered, place: Place) -> None:
        self._remembered, self._place = remembered, place

    def exclusive(self, call: Call) -> bool:
        """Later calls of the answer may need the permissions."""
        return True

    async def run(self, call: Call, host: ToolHost) -> Output:
        """Ask, unless the policy forbids asking. An error or an invalid answer grants nothing."""
        given = call.arguments(_Request)
        files, network = given.permissions.file_system, given.permissions.network
        wanted = _paths(files, host.cwd)
        online = bool(network and network.enabled)
        if not wanted and not online:
            raise ToolRefused("request_permissions requires at least one permission")
        if not _may_ask(host.approval):
            return _answer({}, False, "turn")
        entries = [
            {"path": {"type": "path", "path": path}, "access": kind} for kind, paths in wanted.items() for path in paths
        ]
        asked: dict[str, Any] = {
            "network": {"enabled": True} if online else None,
            "fileSystem": {"read": wanted.get("read"), "write": wanted.get("write"), "entries": entries}
            if wanted
            else None,
        }
        if (decision := await host.review(partial(_review, call.id, host.cwd, given.reason, asked))) is not None:
            if not decision.allowed:
                return _answer({}, False, "turn", decision.reason)
            every: dict[str, Access] = {path: kind for kind, paths in wanted.items() for path in paths}
            self._remembered.grant(Grants(every, online), host.turn_id, session=False)
            return _answer(every, online, "turn")
        params = PermissionsRequestApprovalParams(
            thread_id=host.thread_id,
            turn_id=host.turn_id,
            item_id=call.id,
            started_at_ms=now_ms(),
            cwd=host.cwd,
            reason=given.reason,
            permissions=asked,
        )
        try:
            answer = structure(await host.ask(params, "waitingOnApproval", repeats=call.id), PermissionsRequestApprovalResponse)
            granted = await trio.to_thread.run_sync(read, answer.permissions, self._place)
        except Refusal as refusal:
            return _answer({}, False, "turn", refusal.reason)
        except (RpcError, InvalidValue, ProfileError):
            return _answer({}, False, "turn")
        grants = Grants(_asked_for(granted.entries, wanted), granted.network and online)
        self._remembered.grant(grants, host.turn_id, session=answer.scope == "session")
        strict = bool(answer.strict_auto_review)
        if strict:
            self._remembered.be_strict(host.turn_id)
        return _answer(grants.entries, grants.network, answer.scope, strict=strict)


def _review(item_id: str, cwd: str, reason: str | None, asked: dict[str, Any]) -> Reviewed:
    from spindle.rpc.protocol.guardian import RequestPermissionsGuardianApprovalReviewAction

    return Reviewed(
        action=RequestPermissionsGuardianApprovalReviewAction(reason, asked),
        item_id=item_id,
        planned={"type": "permissions", "reason": reason, "permissions": asked, "cwd": cwd},
    )


def _paths(files: _Files | None, cwd: str) -> dict[Access, list[str]]:
    """The requested paths by access; absolute."""
    kinds: dict[Access, Sequence[str] | None] = {"read": files.read, "write": files.write} if files else {}
    return {
        kind: [os.path.normpath(os.path.join(cwd, path)) for path in paths] for kind, paths in kinds.items() if paths
    }


def _may_ask(approval: AskForApproval) -> bool:
    if isinstance(approval, GranularApproval):
        return approval.granular.request_permissions
    return approval != "never"


def _asked_for(granted: Mapping[str, Access], wanted: Mapping[Access, Sequence[str]]) -> dict[str, Access]:
    """The granted paths that were requested or lie below a requested one; others may be a mistake and are dropped."""

    def covered(path: str, kinds: Sequence[Access]) -> bool:
        roots = [root for kind in kinds for root in wanted.get(kind, ())]
        return any(path == root or path.startswith(root.rstrip("/") + "/") for root in roots)

    kinds: Mapping[Access, Sequence[Access]] = {"read": ("read", "write"), "write": ("write",), "none": ()}
    return {path: access for path, access in granted.items() if covered(path, kinds[access])}


def _answer(
    entries: Mapping[str, Access], network: bool, scope: str, declined: str = "", *, strict: bool = False
) -> str:
    """The answer to the model, in the form of the request, with the reason of a program that has declined."""
    files = {
        kind: sorted(path for path, access in entries.items() if access == kind)
        for kind in ("read", "write")
        if kind in entries.values()
    }
    permissions = {"network": {"enabled": True} if network else None, "file_system": files or None}
    reason: dict[str, Any] = {"declined": declined} if declined else {}
    if strict:
        reason["strict_auto_review"] = True
    return orjson.dumps({"permissions": permissions, "scope": scope, **reason}).decode()
