"""Methods that need the vendor's cloud, hardware or another operating system.

Spindle has none of them, and answers as Codex 0.171 (device keys: 0.124) answers on Linux a user who is not signed in: with
an empty list, or with an error that names what is missing. Parameters are checked as there. Each method is one row below.
"""

from __future__ import annotations

import re
import socket
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import trio
from attrs import evolve

from spindle.actors.clients.identity import thread_id
from spindle.actors.kernel.mailbox import Reply
from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol import account_services as services
from spindle.rpc.protocol import (
    apps,
    cloud_providers,
    device_keys,
    mcp_events,
    plugin_shares,
    realtime,
    remote_control,
    user_verification,
    windows_sandbox,
)
from spindle.rpc.protocol.errors import INTERNAL_ERROR, INVALID_PARAMS, RpcError, ThreadNotFound, invalid_request
from spindle.storage.installation import installation_id

if TYPE_CHECKING:
    from spindle.actors.clients.caller import Caller

ACCOUNT: Final = "codex account authentication required"
CHATGPT: Final = "chatgpt authentication required"
REMOTE: Final = "remote control requires ChatGPT authentication"
NO_KEY: Final = "; API key auth is not supported"
UNPAIRED: Final = "remote control pairing requires remote control to be enabled"


@frozen
class Elsewhere:
    """A row, which is the method's handler.

    check: raises RpcError for parameters that are refused first.
    answer: makes the result from the parameters, or is the error.
    thread: the member `thread_id` names a loaded thread, if it is given.
    after: makes the notification that follows the answer.
    with_key: the error for a user who has logged in with an API key.
    """

    answer: Callable[[Any], object] | RpcError
    check: Callable[[Any], None] | None = None
    thread: bool = False
    after: Callable[[Any], object] | None = None
    with_key: RpcError | None = None

    def __call__(self, caller: Caller, params: Any, reply: Reply[Any]) -> None:
        """Answer."""
        if self.check is not None:
            self.check(params)
        if self.thread and params.thread_id is not None:
            _loaded(caller, params.thread_id)
        if isinstance(self.answer, RpcError):
            if self.with_key is None:
                raise self.answer
            caller.later(reply, partial(_refuse, caller, self.answer, self.with_key))
            return
        reply.resolve(self.answer(params))
        if self.after is not None:
            caller.notify(self.after(params))


async def _refuse(caller: Caller, signed_out: RpcError, with_key: RpcError) -> object:
    key = await trio.to_thread.run_sync(caller.backend.credentials.api_key, abandon_on_cancel=True)
    raise with_key if key else signed_out


def _needs(account: str, signed_out: str, with_key: str) -> Elsewhere:
    """A row that needs an account of ChatGPT."""
    return Elsewhere(invalid_request(f"{signed_out}{account}"), with_key=invalid_request(f"{with_key}{account}"))


def _loaded(caller: Caller, id: str) -> None:
    id = thread_id(id)
    if id not in caller.backend.loaded():
        raise ThreadNotFound(f"thread not found: {id}")


# -- apps

app_list = Elsewhere(lambda params: apps.AppsListResponse(()), thread=True)
app_read = Elsewhere(lambda params: apps.AppsReadResponse((), params.app_ids), thread=True)
app_installed = Elsewhere(lambda params: apps.AppsInstalledResponse(()), thread=True)


# -- services of a ChatGPT account


def _key(params: services.ConsumeAccountRateLimitResetCreditParams) -> None:
    if not params.idempotency_key:
        raise invalid_request("idempotencyKey must not be empty")


rate_limits = _needs(" to read rate limits", ACCOUNT, CHATGPT)
usage = _needs(" to read token usage", ACCOUNT, CHATGPT)
workspace_messages = _needs(" to read workspace messages", ACCOUNT, CHATGPT)
nudge = _needs(" to notify workspace owner", ACCOUNT, CHATGPT)
reset_credit = evolve(_needs(" for rate limit reset credits", ACCOUNT, CHATGPT), check=_key)
security_setup = Elsewhere(lambda params: services.GetAccountSecuritySetupResponse())
sessions = Elsewhere(lambda params: services.AccountSessionsResponse(()))
switch_session = Elsewhere(invalid_request("Workspace switching requires a managed ChatGPT login"))


# -- voice sessions

_V1: Final[Sequence[realtime.RealtimeVoice]] = (
    "juniper",
    "maple",
    "spruce",
    "ember",
    "vale",
    "breeze",
    "arbor",
    "sol",
    "cove",
)
_V2: Final[Sequence[realtime.RealtimeVoice]] = (
    "alloy",
    "ash",
    "ballad",
    "coral",
    "echo",
    "sage",
    "shimmer",
    "verse",
    "marin",
    "cedar",
)
_V3: Final[Sequence[realtime.RealtimeVoice]] = (
    *_V1,
    *(
        "marin",
        "aube",
        "bubbie",
        "haetsal",
        "hanul",
        "himari",
        "leher",
        "miko",
        "neer",
        "porto",
        "rindo",
        "rio",
        "rivage",
    ),
    *("selva", "sonna", "tinta", "viola"),
)


def _realtime_error(message: str) -> Callable[[Any], object]:
    return lambda params: realtime.ThreadRealtimeErrorNotification(message, thread_id(params.thread_id))


def _page(params: realtime.ThreadRealtimeListParams) -> None:
    thread_id(params.thread_id)
    if params.limit is not None and not 1 <= params.limit <= 500:
        raise invalid_request("realtime page size must be between 1 and 500")


_IDLE: Final = _realtime_error("conversation is not running")

realtime_start = Elsewhere(
    lambda params: realtime.ThreadRealtimeStartResponse(),
    thread=True,
    after=_realtime_error("realtime conversation requires API key auth"),
)
realtime_audio = Elsewhere(lambda params: realtime.ThreadRealtimeAppendAudioResponse(), thread=True, after=_IDLE)
realtime_text = Elsewhere(lambda params: realtime.ThreadRealtimeAppendTextResponse(), thread=True, after=_IDLE)
realtime_speech = Elsewhere(lambda params: realtime.ThreadRealtimeAppendSpeechResponse(), thread=True, after=_IDLE)
realtime_stop = Elsewhere(
    lambda params: realtime.ThreadRealtimeStopResponse(),
    thread=True,
    after=lambda params: realtime.ThreadRealtimeClosedNotification(thread_id(params.thread_id), "requested"),
)
realtime_voices = Elsewhere(
    lambda params: realtime.ThreadRealtimeListVoicesResponse(
        realtime.RealtimeVoicesList("cove", "marin", _V1, _V2, _V3)
    )
)
realtime_list = Elsewhere(lambda params: realtime.ThreadRealtimeListResponse("unsupported", (), 0, 0), check=_page)


# -- verification of the user

UNVERIFIABLE: Final = "User verification is not available in this build or account."
_UNAVAILABLE: Final = RpcError(INTERNAL_ERROR, UNVERIFIABLE, {"type": "unavailable", "reason": "providerUnavailable"})
_CHALLENGE: Final = re.compile(r"[A-Za-z0-9_-]{2,}")
_TITLE, _DESCRIPTION = 256, 4096
"""The longest texts, in bytes of UTF-8."""


def _challenge(params: user_verification.UserVerificationVerifyParams) -> None:
    """Bytes in base64url without padding; a title and a description."""
    fits = 0 < len(params.title.encode()) <= _TITLE and 0 < len(params.description.encode()) <= _DESCRIPTION
    if not fits or not _is_base64url(params.challenge):
        what = {"type": "invalidRequest", "reason": "invalidParams"}
        raise RpcError(INVALID_PARAMS, "Invalid verification challenge or display text.", what)


def _is_base64url(text: str) -> bool:
    if _CHALLENGE.fullmatch(text) is None or len(text) % 4 == 1:
        return False
    padding = "=" * (-len(text) % 4)
    return urlsafe_b64encode(urlsafe_b64decode(text + padding)) == f"{text}{padding}".encode()


def _request_id(params: user_verification.UserVerificationCancelParams) -> None:
    if isinstance(params.request_id, bool) or not isinstance(params.request_id, str | int):
        raise invalid_request("Invalid request: data did not match any variant of untagged enum RequestId")


verification_status = Elsewhere(
    lambda params: user_verification.UserVerificationStatusResponse(None, UNVERIFIABLE, "providerUnavailable")
)
verification_enroll = Elsewhere(_UNAVAILABLE)
verification_delete = Elsewhere(_UNAVAILABLE)
verification_verify = Elsewhere(_UNAVAILABLE, check=_challenge)
verification_cancel = Elsewhere(lambda params: user_verification.UserVerificationCancelResponse(), check=_request_id)


# -- remote control


def _code(params: remote_control.RemoteControlPairingStatusParams) -> None:
    given = (params.pairing_code is not None) + (params.manual_pairing_code is not None)
    if given == 0:
        raise invalid_request("remoteControl/pairing/status requires pairingCode or manualPairingCode")
    if given == 2:
        raise invalid_request("remoteControl/pairing/status accepts either pairingCode or manualPairingCode, not both")


def remote_control_status(caller: Caller, params: object, reply: Reply[Any]) -> None:
    """remoteControl/status/read: disabled, and the id of this installation."""
    home = caller.backend.home.path

    async def work() -> object:
        id = await trio.to_thread.run_sync(installation_id, home)
        return remote_control.RemoteControlStatusReadResponse(id, socket.gethostname(), "disabled")

    caller.later(reply, work)


remote_control_enable = _needs("", REMOTE, REMOTE + NO_KEY)
remote_control_disable = _needs("", REMOTE, REMOTE + NO_KEY)
remote_control_pair = Elsewhere(invalid_request(UNPAIRED))
remote_control_paired = Elsewhere(invalid_request(UNPAIRED), check=_code)
remote_control_clients = _needs("", REMOTE, REMOTE + NO_KEY)
remote_control_revoke = _needs("", REMOTE, REMOTE + NO_KEY)


# -- the remote catalogue of plugins

_ID: Final = re.compile(r"[A-Za-z0-9_~-]+")


def _catalogue(what: str, check: Callable[[Any], None] | None = None) -> Elsewhere:
    needed = f"{what}: {CHATGPT} for remote plugin catalog"
    with_key = invalid_request(f"{needed}; api key auth is not supported")
    return Elsewhere(invalid_request(needed), check, with_key=with_key)


def _remote_id(params: Any) -> None:
    if params.remote_plugin_id is not None and _ID.fullmatch(params.remote_plugin_id) is None:
        raise invalid_request("invalid remote plugin id")


def _skill(params: plugin_shares.PluginSkillReadParams) -> None:
    if _ID.fullmatch(params.remote_plugin_id) is None:
        raise invalid_request("invalid remote plugin id: only ASCII letters, digits, `_`, `-`, and `~` are allowed")
    if not params.skill_name:
        raise invalid_request("invalid remote plugin skill name: cannot be empty")


def _shared(params: plugin_shares.PluginShareSaveParams) -> None:
    _remote_id(params)
    if params.discoverability == "LISTED":
        raise invalid_request("discoverability LISTED is not supported for plugin/share/save; use UNLISTED or PRIVATE")
    if params.remote_plugin_id is not None and (params.discoverability, params.share_targets) != (None, None):
        raise invalid_request(
            "discoverability and shareTargets are only supported when creating a plugin share; "
            "use plugin/share/updateTargets to update share settings"
        )


plugin_skill = _catalogue("read remote plugin skill details", _skill)
share_save = _catalogue("save remote plugin share", _shared)
share_update = _catalogue("update remote plugin share targets", _remote_id)
share_list = _catalogue("list remote plugin shares")
share_checkout = _catalogue("checkout plugin share", _remote_id)
share_delete = _catalogue("delete remote plugin share", _remote_id)


# -- providers of models in clouds


def _project(params: cloud_providers.GcpSetupParams) -> None:
    if re.fullmatch(r"[A-Za-z0-9-]+", params.project_id) is None:
        raise invalid_request(
            "model_providers.gcp.project_id must be non-empty and contain only ASCII letters, digits, and hyphens"
        )


gateway_login = Elsewhere(invalid_request("The selected provider does not use gateway OAuth"))
gateway_cancel = Elsewhere(lambda params: cloud_providers.GatewayOAuthCancelResponse())
bedrock_setup = Elsewhere(invalid_request("Amazon Bedrock is not supported by this server"))
gcp_setup = Elsewhere(invalid_request("Google Cloud is not supported by this server"), check=_project)
gov_cloud = Elsewhere(lambda params: cloud_providers.BedrockCheckGovCloudRequirementsResponse(False, False))


# -- hosted apps, Windows

event_start = Elsewhere(invalid_request("MCP event subscriptions are only supported for hosted apps"))
event_stop = Elsewhere(lambda params: mcp_events.McpServerEventStreamStopResponse())

_SETUPS: Final = {"elevated": "elevated", "unelevated": "legacy"}

windows_readiness = Elsewhere(lambda params: windows_sandbox.WindowsSandboxReadinessResponse("notConfigured"))
windows_setup = Elsewhere(
    lambda params: windows_sandbox.WindowsSandboxSetupStartResponse(True),
    after=lambda params: windows_sandbox.WindowsSandboxSetupCompletedNotification(
        params.mode, False, f"{_SETUPS[params.mode]} Windows sandbox setup is only supported on Windows"
    ),
)


# -- device keys

_KEY_ID: Final = re.compile(r"dk_(hse|tpm|osn)_[A-Za-z0-9_-]{43}")


def _invalid_payload(what: str) -> RpcError:
    return invalid_request(f"invalid device key payload: {what}")


def _owner(params: device_keys.DeviceKeyCreateParams) -> None:
    for name, value in (("accountUserId", params.account_user_id), ("clientId", params.client_id)):
        if not value:
            raise _invalid_payload(f"{name} must not be empty")


def _key_id(params: device_keys.DeviceKeyPublicParams | device_keys.DeviceKeySignParams) -> None:
    if _KEY_ID.fullmatch(params.key_id) is None:
        kinds = "dk_hse_, dk_tpm_, or dk_osn_ followed by unpadded base64url-encoded 32 bytes"
        raise _invalid_payload(f"keyId must be {kinds}")


device_key_create = Elsewhere(
    invalid_request("hardware-backed device keys are not available on this platform"), check=_owner
)
device_key_public = Elsewhere(invalid_request("device key not found"), check=_key_id)
device_key_sign = Elsewhere(invalid_request("device key not found"), check=_key_id)
