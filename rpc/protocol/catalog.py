"""The methods a client may call: their parameters, and which of them need the experimentalApi capability.

The names are those of Codex 0.124, in its order, followed by those of later versions, in theirs. The error for an
unknown method lists them. A parameter class is imported when its method is first called.
"""

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from types import MappingProxyType
from typing import Any, Final

import attrs

from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.converter import structure
from spindle.rpc.protocol.errors import RpcError, invalid_request
from spindle.rpc.protocol.invalid import InvalidValue, Unsupported, invalid_type, one_of
from spindle.rpc.protocol.shapes import ABSENT, wire_name


@frozen
class Method:
    """A method. `params` and `response` name classes in `module` of this package.

    `params` is None where there are none; a "?" behind it says that a request may leave them out.
    """

    name: str
    module: str
    params: str | None
    response: str
    experimental: bool


STABLE: Final = False
EXPERIMENTAL: Final = True

# name, module, class of the parameters, class of the answer, whether it needs the experimentalApi capability
_TABLE: Final[tuple[tuple[str, str, str | None, str, bool], ...]] = (
    ("initialize", "initialize", "InitializeParams", "InitializeResponse", STABLE),
    ("thread/start", "threads", "ThreadStartParams", "ThreadStartResponse", STABLE),
    ("thread/resume", "threads", "ThreadResumeParams", "ThreadResumeResponse", STABLE),
    ("thread/fork", "threads", "ThreadForkParams", "ThreadForkResponse", STABLE),
    ("thread/archive", "threads", "ThreadArchiveParams", "ThreadArchiveResponse", STABLE),
    ("thread/unsubscribe", "threads", "ThreadUnsubscribeParams", "ThreadUnsubscribeResponse", STABLE),
    (
        "thread/increment_elicitation", "thread_changes", "ThreadElicitationParams",
        "ThreadElicitationResponse", EXPERIMENTAL,
    ),
    (
        "thread/decrement_elicitation", "thread_changes", "ThreadElicitationParams",
        "ThreadElicitationResponse", EXPERIMENTAL,
    ),
    ("thread/name/set", "thread_changes", "ThreadSetNameParams", "ThreadSetNameResponse", STABLE),
    ("thread/metadata/update", "thread_changes", "ThreadMetadataUpdateParams", "ThreadMetadataUpdateResponse", STABLE),
    ("thread/memoryMode/set", "thread_changes", "ThreadMemoryModeSetParams", "ThreadMemoryModeSetResponse", EXPERIMENTAL),
    ("memory/reset", "memories", None, "MemoryResetResponse", EXPERIMENTAL),
    ("thread/unarchive", "threads", "ThreadUnarchiveParams", "ThreadUnarchiveResponse", STABLE),
    ("thread/compact/start", "thread_changes", "ThreadCompactStartParams", "ThreadCompactStartResponse", STABLE),
    ("thread/shellCommand", "thread_changes", "ThreadShellCommandParams", "ThreadShellCommandResponse", STABLE),
    (
        "thread/approveGuardianDeniedAction", "guardian", "ThreadApproveGuardianDeniedActionParams",
        "ThreadApproveGuardianDeniedActionResponse", STABLE,
    ),
    (
        "thread/backgroundTerminals/clean", "thread_changes", "ThreadBackgroundTerminalsCleanParams",
        "ThreadBackgroundTerminalsCleanResponse", EXPERIMENTAL,
    ),
    ("thread/rollback", "thread_changes", "ThreadRollbackParams", "ThreadRollbackResponse", STABLE),
    ("thread/list", "threads", "ThreadListParams", "ThreadListResponse", STABLE),
    ("thread/loaded/list", "threads", "ThreadLoadedListParams", "ThreadLoadedListResponse", STABLE),
    ("thread/read", "threads", "ThreadReadParams", "ThreadReadResponse", STABLE),
    ("thread/turns/list", "turn_pages", "ThreadTurnsListParams", "ThreadTurnsListResponse", STABLE),
    ("thread/inject_items", "thread_changes", "ThreadInjectItemsParams", "ThreadInjectItemsResponse", STABLE),
    ("skills/list", "skills", "SkillsListParams", "SkillsListResponse", STABLE),
    ("marketplace/add", "marketplaces", "MarketplaceAddParams", "MarketplaceAddResponse", STABLE),
    ("marketplace/remove", "marketplaces", "MarketplaceRemoveParams", "MarketplaceRemoveResponse", STABLE),
    ("plugin/list", "plugins", "PluginListParams", "PluginListResponse", STABLE),
    ("plugin/read", "plugins", "PluginReadParams", "PluginReadResponse", STABLE),
    ("app/list", "apps", "AppsListParams", "AppsListResponse", STABLE),
    ("device/key/create", "device_keys", "DeviceKeyCreateParams", "DeviceKeyCreateResponse", STABLE),
    ("device/key/public", "device_keys", "DeviceKeyPublicParams", "DeviceKeyPublicResponse", STABLE),
    ("device/key/sign", "device_keys", "DeviceKeySignParams", "DeviceKeySignResponse", STABLE),
    ("fs/readFile", "files", "FsReadFileParams", "FsReadFileResponse", STABLE),
    ("fs/writeFile", "files", "FsWriteFileParams", "FsWriteFileResponse", STABLE),
    ("fs/createDirectory", "files", "FsCreateDirectoryParams", "FsCreateDirectoryResponse", STABLE),
    ("fs/getMetadata", "files", "FsGetMetadataParams", "FsGetMetadataResponse", STABLE),
    ("fs/readDirectory", "files", "FsReadDirectoryParams", "FsReadDirectoryResponse", STABLE),
    ("fs/remove", "files", "FsRemoveParams", "FsRemoveResponse", STABLE),
    ("fs/copy", "files", "FsCopyParams", "FsCopyResponse", STABLE),
    ("fs/watch", "files", "FsWatchParams", "FsWatchResponse", STABLE),
    ("fs/unwatch", "files", "FsUnwatchParams", "FsUnwatchResponse", STABLE),
    ("skills/config/write", "skills", "SkillsConfigWriteParams", "SkillsConfigWriteResponse", STABLE),
    ("plugin/install", "plugins", "PluginInstallParams", "PluginInstallResponse", STABLE),
    ("plugin/uninstall", "plugins", "PluginUninstallParams", "PluginUninstallResponse", STABLE),
    ("turn/start", "turns", "TurnStartParams", "TurnStartResponse", STABLE),
    ("turn/steer", "turns", "TurnSteerParams", "TurnSteerResponse", STABLE),
    ("turn/interrupt", "turns", "TurnInterruptParams", "TurnInterruptResponse", STABLE),
    ("thread/realtime/start", "realtime", "ThreadRealtimeStartParams", "ThreadRealtimeStartResponse", EXPERIMENTAL),
    (
        "thread/realtime/appendAudio", "realtime", "ThreadRealtimeAppendAudioParams",
        "ThreadRealtimeAppendAudioResponse", EXPERIMENTAL,
    ),
    (
        "thread/realtime/appendText", "realtime", "ThreadRealtimeAppendTextParams",
        "ThreadRealtimeAppendTextResponse", EXPERIMENTAL,
    ),
    ("thread/realtime/stop", "realtime", "ThreadRealtimeStopParams", "ThreadRealtimeStopResponse", EXPERIMENTAL),
    (
        "thread/realtime/listVoices", "realtime", "ThreadRealtimeListVoicesParams",
        "ThreadRealtimeListVoicesResponse", EXPERIMENTAL,
    ),
    ("review/start", "reviews", "ReviewStartParams", "ReviewStartResponse", STABLE),
    ("model/list", "models", "ModelListParams", "ModelListResponse", STABLE),
    (
        "experimentalFeature/list", "features", "ExperimentalFeatureListParams",
        "ExperimentalFeatureListResponse", STABLE,
    ),
    (
        "experimentalFeature/enablement/set", "features", "ExperimentalFeatureEnablementSetParams",
        "ExperimentalFeatureEnablementSetResponse", STABLE,
    ),
    ("collaborationMode/list", "models", "CollaborationModeListParams", "CollaborationModeListResponse", EXPERIMENTAL),
    ("mock/experimentalMethod", "models", "MockExperimentalMethodParams", "MockExperimentalMethodResponse", EXPERIMENTAL),
    ("mcpServer/oauth/login", "mcp", "McpServerOauthLoginParams", "McpServerOauthLoginResponse", STABLE),
    ("config/mcpServer/reload", "mcp", None, "McpServerRefreshResponse", STABLE),
    ("mcpServerStatus/list", "mcp", "ListMcpServerStatusParams", "ListMcpServerStatusResponse", STABLE),
    ("mcpServer/resource/read", "mcp", "McpResourceReadParams", "McpResourceReadResponse", STABLE),
    ("mcpServer/tool/call", "mcp", "McpServerToolCallParams", "McpServerToolCallResponse", STABLE),
    (
        "windowsSandbox/setupStart", "windows_sandbox", "WindowsSandboxSetupStartParams",
        "WindowsSandboxSetupStartResponse", STABLE,
    ),
    ("account/login/start", "accounts", "LoginAccountParams", "LoginAccountResponse", STABLE),
    ("account/login/cancel", "accounts", "CancelLoginAccountParams", "CancelLoginAccountResponse", STABLE),
    ("account/logout", "accounts", None, "LogoutAccountResponse", STABLE),
    ("account/rateLimits/read", "account_services", "GetAccountRateLimitsParams?", "GetAccountRateLimitsResponse", STABLE),
    (
        "account/sendAddCreditsNudgeEmail", "account_services", "SendAddCreditsNudgeEmailParams",
        "SendAddCreditsNudgeEmailResponse", STABLE,
    ),
    ("feedback/upload", "feedback", "FeedbackUploadParams", "FeedbackUploadResponse", STABLE),
    ("command/exec", "processes", "CommandExecParams", "CommandExecResponse", STABLE),
    ("command/exec/write", "processes", "CommandExecWriteParams", "CommandExecWriteResponse", STABLE),
    ("command/exec/terminate", "processes", "CommandExecTerminateParams", "CommandExecTerminateResponse", STABLE),
    ("command/exec/resize", "processes", "CommandExecResizeParams", "CommandExecResizeResponse", STABLE),
    ("config/read", "config", "ConfigReadParams", "ConfigReadResponse", STABLE),
    ("config/value/write", "config", "ConfigValueWriteParams", "ConfigWriteResponse", STABLE),
    ("config/batchWrite", "config", "ConfigBatchWriteParams", "ConfigWriteResponse", STABLE),
    ("configRequirements/read", "config", None, "ConfigRequirementsReadResponse", STABLE),
    ("account/read", "accounts", "GetAccountParams", "GetAccountResponse", STABLE),
    ("getConversationSummary", "conversations", "GetConversationSummaryParams", "GetConversationSummaryResponse", STABLE),
    ("gitDiffToRemote", "repositories", "GitDiffToRemoteParams", "GitDiffToRemoteResponse", STABLE),
    ("getAuthStatus", "accounts", "GetAuthStatusParams", "GetAuthStatusResponse", STABLE),
    ("fuzzyFileSearch", "file_search", "FuzzyFileSearchParams", "FuzzyFileSearchResponse", STABLE),
    (
        "fuzzyFileSearch/sessionStart", "file_search", "FuzzyFileSearchSessionStartParams",
        "FuzzyFileSearchSessionStartResponse", EXPERIMENTAL,
    ),
    (
        "fuzzyFileSearch/sessionUpdate", "file_search", "FuzzyFileSearchSessionUpdateParams",
        "FuzzyFileSearchSessionUpdateResponse", EXPERIMENTAL,
    ),
    (
        "fuzzyFileSearch/sessionStop", "file_search", "FuzzyFileSearchSessionStopParams",
        "FuzzyFileSearchSessionStopResponse", EXPERIMENTAL,
    ),
    ("server/diagnostics", "diagnostics", "ServerDiagnosticsParams", "ServerDiagnosticsResponse", EXPERIMENTAL),
    (
        "userVerification/status", "user_verification", "UserVerificationStatusParams",
        "UserVerificationStatusResponse", EXPERIMENTAL,
    ),
    (
        "userVerification/enroll", "user_verification", "UserVerificationEnrollParams",
        "UserVerificationEnrollResponse", EXPERIMENTAL,
    ),
    (
        "userVerification/delete", "user_verification", "UserVerificationDeleteParams",
        "UserVerificationDeleteResponse", EXPERIMENTAL,
    ),
    (
        "userVerification/verify", "user_verification", "UserVerificationVerifyParams",
        "UserVerificationVerifyResponse", EXPERIMENTAL,
    ),
    (
        "userVerification/cancel", "user_verification", "UserVerificationCancelParams",
        "UserVerificationCancelResponse", EXPERIMENTAL,
    ),
    ("thread/sample", "samples", "ThreadSampleParams", "ThreadSampleResponse", EXPERIMENTAL),
    ("thread/sample/cancel", "samples", "ThreadSampleCancelParams", "ThreadSampleCancelResponse", EXPERIMENTAL),
    ("thread/delete", "removal", "ThreadDeleteParams", "ThreadDeleteResponse", STABLE),
    (
        "thread/prediction/request", "samples", "ThreadPredictionRequestParams",
        "ThreadPredictionRequestResponse", EXPERIMENTAL,
    ),
    ("thread/goal/set", "goals", "ThreadGoalSetParams", "ThreadGoalSetResponse", STABLE),
    ("thread/goal/get", "goals", "ThreadGoalGetParams", "ThreadGoalGetResponse", STABLE),
    ("thread/goal/clear", "goals", "ThreadGoalClearParams", "ThreadGoalClearResponse", STABLE),
    ("thread/queue/add", "queue", "ThreadQueueAddParams", "ThreadQueueAddResponse", EXPERIMENTAL),
    ("thread/queue/list", "queue", "ThreadQueueListParams", "ThreadQueueListResponse", EXPERIMENTAL),
    ("thread/queue/update", "queue", "ThreadQueueUpdateParams", "ThreadQueueUpdateResponse", EXPERIMENTAL),
    ("thread/queue/delete", "queue", "ThreadQueueDeleteParams", "ThreadQueueDeleteResponse", EXPERIMENTAL),
    ("thread/queue/reorder", "queue", "ThreadQueueReorderParams", "ThreadQueueReorderResponse", EXPERIMENTAL),
    ("thread/queue/start", "queue", "ThreadQueueStartParams", "ThreadQueueStartResponse", EXPERIMENTAL),
    (
        "thread/attachment/add", "attachments", "ThreadAttachmentAddParams",
        "ThreadAttachmentAddResponse", STABLE,
    ),
    (
        "thread/attachment/list", "attachments", "ThreadAttachmentListParams",
        "ThreadAttachmentListResponse", STABLE,
    ),
    (
        "thread/attachmentOwner/list", "attachments", "ThreadAttachmentOwnerListParams",
        "ThreadAttachmentOwnerListResponse", STABLE,
    ),
    (
        "thread/attachment/remove", "attachments", "ThreadAttachmentRemoveParams",
        "ThreadAttachmentRemoveResponse", STABLE,
    ),
    ("thread/section/move", "sections", "ThreadSectionMoveParams", "ThreadSectionMoveResponse", STABLE),
    (
        "thread/settings/update", "thread_settings", "ThreadSettingsUpdateParams",
        "ThreadSettingsUpdateResponse", EXPERIMENTAL,
    ),
    ("thread/memory/read", "memories", "ThreadMemoryReadParams", "ThreadMemoryReadResponse", EXPERIMENTAL),
    ("memory/status", "memories", "MemoryStatusParams", "MemoryStatusResponse", EXPERIMENTAL),
    ("rollout/compress", "maintenance", None, "RolloutCompressResponse", EXPERIMENTAL),
    (
        "thread/backgroundTerminals/list", "thread_changes", "ThreadBackgroundTerminalsListParams",
        "ThreadBackgroundTerminalsListResponse", EXPERIMENTAL,
    ),
    (
        "thread/backgroundTerminals/terminate", "thread_changes", "ThreadBackgroundTerminalsTerminateParams",
        "ThreadBackgroundTerminalsTerminateResponse", EXPERIMENTAL,
    ),
    ("thread/revert", "removal", "ThreadRevertParams", "ThreadRevertResponse", STABLE),
    ("project/list", "projects", "ProjectListParams", "ProjectListResponse", EXPERIMENTAL),
    ("project/read", "projects", "ProjectReadParams", "ProjectReadResponse", EXPERIMENTAL),
    ("project/create", "projects", "ProjectCreateParams", "ProjectCreateResponse", EXPERIMENTAL),
    ("project/import", "projects", "ProjectImportParams", "ProjectImportResponse", EXPERIMENTAL),
    ("project/update", "projects", "ProjectUpdateParams", "ProjectUpdateResponse", EXPERIMENTAL),
    ("project/move", "projects", "ProjectMoveParams", "ProjectMoveResponse", EXPERIMENTAL),
    ("project/delete", "projects", "ProjectDeleteParams", "ProjectDeleteResponse", EXPERIMENTAL),
    ("threadSection/list", "sections", "ThreadSectionListParams", "ThreadSectionListResponse", STABLE),
    ("threadSection/create", "sections", "ThreadSectionCreateParams", "ThreadSectionCreateResponse", STABLE),
    ("threadSection/update", "sections", "ThreadSectionUpdateParams", "ThreadSectionUpdateResponse", STABLE),
    ("threadSection/delete", "sections", "ThreadSectionDeleteParams", "ThreadSectionDeleteResponse", STABLE),
    ("thread/search", "search", "ThreadSearchParams", "ThreadSearchResponse", EXPERIMENTAL),
    ("thread/search/stream", "search", "ThreadSearchParams", "ThreadSearchResponse", EXPERIMENTAL),
    ("thread/search/cancel", "search", "ThreadSearchCancelParams", "ThreadSearchCancelResponse", EXPERIMENTAL),
    ("thread/search/stream/cancel", "search", "ThreadSearchCancelParams", "ThreadSearchCancelResponse", EXPERIMENTAL),
    (
        "thread/searchOccurrences", "search", "ThreadSearchOccurrencesParams",
        "ThreadSearchOccurrencesResponse", EXPERIMENTAL,
    ),
    (
        "thread/readState/update", "read_states", "ThreadReadStateUpdateParams",
        "ThreadReadStateUpdateResponse", EXPERIMENTAL,
    ),
    ("thread/items/list", "turn_pages", "ThreadItemsListParams", "ThreadItemsListResponse", STABLE),
    ("thread/items/read", "turn_pages", "ThreadItemsReadParams", "ThreadItemsReadResponse", EXPERIMENTAL),
    (
        "thread/prepareApprovedPlan", "plans", "ThreadPrepareApprovedPlanParams",
        "ThreadPrepareApprovedPlanResponse", EXPERIMENTAL,
    ),
    ("skills/extraRoots/set", "skills", "SkillsExtraRootsSetParams", "SkillsExtraRootsSetResponse", STABLE),
    ("hooks/list", "hooks", "HooksListParams", "HooksListResponse", STABLE),
    ("marketplace/upgrade", "marketplaces", "MarketplaceUpgradeParams", "MarketplaceUpgradeResponse", STABLE),
    ("plugin/search", "plugins", "PluginSearchParams", "PluginSearchResponse", EXPERIMENTAL),
    ("plugin/installed", "plugins", "PluginInstalledParams", "PluginInstalledResponse", STABLE),
    ("plugin/reconcile", "plugins", "PluginReconcileParams", "PluginReconcileResponse", STABLE),
    ("plugin/skill/read", "plugin_shares", "PluginSkillReadParams", "PluginSkillReadResponse", STABLE),
    ("plugin/share/save", "plugin_shares", "PluginShareSaveParams", "PluginShareSaveResponse", STABLE),
    (
        "plugin/share/updateTargets", "plugin_shares", "PluginShareUpdateTargetsParams",
        "PluginShareUpdateTargetsResponse", STABLE,
    ),
    ("plugin/share/list", "plugin_shares", "PluginShareListParams", "PluginShareListResponse", STABLE),
    ("plugin/share/checkout", "plugin_shares", "PluginShareCheckoutParams", "PluginShareCheckoutResponse", STABLE),
    ("plugin/share/delete", "plugin_shares", "PluginShareDeleteParams", "PluginShareDeleteResponse", STABLE),
    ("app/read", "apps", "AppsReadParams", "AppsReadResponse", STABLE),
    ("app/installed", "apps", "AppsInstalledParams", "AppsInstalledResponse", STABLE),
    ("turn/settings/update", "turn_settings", "TurnSettingsUpdateParams", "TurnSettingsUpdateResponse", EXPERIMENTAL),
    (
        "thread/realtime/appendSpeech", "realtime", "ThreadRealtimeAppendSpeechParams",
        "ThreadRealtimeAppendSpeechResponse", EXPERIMENTAL,
    ),
    ("thread/timeline/list", "timeline", "ThreadTimelineListParams", "ThreadTimelineListResponse", EXPERIMENTAL),
    ("thread/realtime/list", "realtime", "ThreadRealtimeListParams", "ThreadRealtimeListResponse", EXPERIMENTAL),
    ("account/gatewayOAuth/read", "cloud_providers", "GatewayOAuthReadParams?", "GatewayOAuthReadResponse", STABLE),
    ("account/gatewayOAuth/login", "cloud_providers", "GatewayOAuthLoginParams?", "GatewayOAuthLoginResponse", STABLE),
    ("account/gatewayOAuth/cancel", "cloud_providers", None, "GatewayOAuthCancelResponse", STABLE),
    ("modelProvider/list", "model_providers", "ModelProviderListParams", "ModelProviderListResponse", STABLE),
    (
        "modelProvider/config/write", "model_providers", "ModelProviderConfigWriteParams",
        "ModelProviderConfigWriteResponse", STABLE,
    ),
    ("modelProvider/default/set", "config", "ModelProviderDefaultSetParams", "ConfigWriteResponse", STABLE),
    (
        "modelProvider/capabilities/read", "model_providers", "ModelProviderCapabilitiesReadParams",
        "ModelProviderCapabilitiesReadResponse", STABLE,
    ),
    (
        "permissionProfile/list", "permission_profiles", "PermissionProfileListParams",
        "PermissionProfileListResponse", STABLE,
    ),
    ("remoteControl/enable", "remote_control", "RemoteControlEnableParams?", "RemoteControlEnableResponse", EXPERIMENTAL),
    (
        "remoteControl/disable", "remote_control", "RemoteControlDisableParams?",
        "RemoteControlDisableResponse", EXPERIMENTAL,
    ),
    ("remoteControl/status/read", "remote_control", None, "RemoteControlStatusReadResponse", EXPERIMENTAL),
    (
        "remoteControl/pairing/start", "remote_control", "RemoteControlPairingStartParams",
        "RemoteControlPairingStartResponse", EXPERIMENTAL,
    ),
    (
        "remoteControl/pairing/status", "remote_control", "RemoteControlPairingStatusParams",
        "RemoteControlPairingStatusResponse", EXPERIMENTAL,
    ),
    (
        "remoteControl/client/list", "remote_control", "RemoteControlClientsListParams",
        "RemoteControlClientsListResponse", EXPERIMENTAL,
    ),
    (
        "remoteControl/client/revoke", "remote_control", "RemoteControlClientsRevokeParams",
        "RemoteControlClientsRevokeResponse", EXPERIMENTAL,
    ),
    ("environment/add", "environments", "EnvironmentAddParams", "EnvironmentAddResponse", EXPERIMENTAL),
    ("environment/info", "environments", "EnvironmentInfoParams", "EnvironmentInfoResponse", EXPERIMENTAL),
    ("environment/status", "environments", "EnvironmentStatusParams", "EnvironmentStatusResponse", EXPERIMENTAL),
    (
        "mcpServer/event/stream/start", "mcp_events", "McpServerEventStreamStartParams",
        "McpServerEventStreamStartResponse", EXPERIMENTAL,
    ),
    (
        "mcpServer/event/stream/stop", "mcp_events", "McpServerEventStreamStopParams",
        "McpServerEventStreamStopResponse", EXPERIMENTAL,
    ),
    ("windowsSandbox/readiness", "windows_sandbox", None, "WindowsSandboxReadinessResponse", STABLE),
    ("account/bedrock/discover", "cloud_providers", "BedrockDiscoverParams", "BedrockDiscoverResponse", EXPERIMENTAL),
    ("account/bedrock/setup", "cloud_providers", "BedrockSetupParams", "BedrockSetupResponse", EXPERIMENTAL),
    ("account/gcp/setup", "cloud_providers", "GcpSetupParams", "GcpSetupResponse", EXPERIMENTAL),
    (
        "account/bedrock/checkGovCloudRequirements", "cloud_providers", "BedrockCheckGovCloudRequirementsParams",
        "BedrockCheckGovCloudRequirementsResponse", EXPERIMENTAL,
    ),
    ("accountSession/list", "account_services", "AccountSessionsListParams", "AccountSessionsResponse", EXPERIMENTAL),
    (
        "accountSession/switch", "account_services", "AccountSessionsSwitchParams",
        "AccountSessionsSwitchResponse", EXPERIMENTAL,
    ),
    ("account/securitySetup/read", "account_services", None, "GetAccountSecuritySetupResponse", STABLE),
    (
        "account/rateLimitResetCredit/consume", "account_services", "ConsumeAccountRateLimitResetCreditParams",
        "ConsumeAccountRateLimitResetCreditResponse", STABLE,
    ),
    ("account/usage/read", "account_services", "GetAccountTokenUsageParams?", "GetAccountTokenUsageResponse", STABLE),
    ("account/workspaceMessages/read", "account_services", None, "GetWorkspaceMessagesResponse", STABLE),
    ("feedback/save", "feedback", "FeedbackSaveParams", "FeedbackSaveResponse", STABLE),
    ("process/spawn", "processes", "ProcessSpawnParams", "ProcessSpawnResponse", EXPERIMENTAL),
    ("process/writeStdin", "processes", "ProcessWriteStdinParams", "ProcessWriteStdinResponse", EXPERIMENTAL),
    ("process/kill", "processes", "ProcessKillParams", "ProcessKillResponse", EXPERIMENTAL),
    ("process/resizePty", "processes", "ProcessResizePtyParams", "ProcessResizePtyResponse", EXPERIMENTAL),
    (
        "thread/settings/update", "thread_settings", "ThreadSettingsUpdateParams",
        "ThreadSettingsUpdateResponse", EXPERIMENTAL,
    ),
    ("thread/start", "threads", "ThreadStartParams", "ThreadStartResponse", STABLE),
    ("turn/start", "turns", "TurnStartParams", "TurnStartResponse", STABLE),
    ("thread/list", "threads", "ThreadListParams", "ThreadListResponse", STABLE),
    ("thread/metadata/update", "thread_changes", "ThreadMetadataUpdateParams", "ThreadMetadataUpdateResponse", STABLE),
    ("thread/fork", "threads", "ThreadForkParams", "ThreadForkResponse", STABLE),
    ("thread/items/list", "turn_pages", "ThreadItemsListParams", "ThreadItemsListResponse", STABLE),
    ("hooks/list", "hooks", "HooksListParams", "HooksListResponse", STABLE),
    ("config/read", "config", "ConfigReadParams", "ConfigReadResponse", STABLE),
)


EXPERIMENTAL_NOTIFICATIONS: Final = frozenset(
    (
        "process/exited",
        "process/outputDelta",
        "project/changed",
        "rawResponse/completed",
        "thread/project/updated",
        "thread/queue/changed",
        "thread/readState/changed",
        "thread/search/partial",
        "thread/settings/updated",
        "turn/moderationMetadata",
    )
)
"""Notifications that are sent only to connections with the experimentalApi capability."""


METHODS: Final[Mapping[str, Method]] = MappingProxyType(
    {row[0]: Method(*row) for row in _TABLE}
)
"""All served methods, by name."""


@cache
def params_class(method: str) -> Any | None:
    """The class (or tagged union) of a method's parameters; None where it has none."""
    entry = METHODS[method]
    if entry.params is None:
        return None
    return getattr(import_module(f"spindle.rpc.protocol.{entry.module}"), entry.params.rstrip("?"))


@cache
def response_class(method: str) -> Any:
    """The class (or tagged union) of the answer to a method."""
    entry = METHODS[method]
    return getattr(import_module(f"spindle.rpc.protocol.{entry.module}"), entry.response)


def structure_params(method: str, params: object, has_params: bool = True) -> Any:
    """Structure a request's decoded parameters as the class of its method.

    Returns None for methods without parameters. Raises `RpcError` (-32600) for an unknown method, missing parameters,
    parameters of the wrong shape, and unsupported members.
    """
    entry = METHODS.get(method)
    if entry is None:
        raise _invalid(f"unknown variant `{method}`, expected {one_of(tuple(METHODS))}")
    if entry.params is None:
        if params is None or params == {}:
            return None
        raise _invalid(invalid_type(params, "unit").message)
    if not has_params or params is None:
        if not entry.params.endswith("?"):
            raise _invalid("missing field `params`")
        params = {}
    cls: Any = params_class(method)
    try:
        return structure(params, cls)
    except Unsupported as error:
        raise invalid_request(f"{method}.{error.path} is not supported") from error
    except InvalidValue as error:
        raise _invalid(str(error)) from error


def check_experimental(method: str, params: object) -> None:
    """Refuse methods and members that need the experimentalApi capability.

    `params` is the result of `structure_params`. Raises `RpcError` (-32600) with the name of the method or member.
    """
    reason = _experimental_use(method, params)
    if reason is not None:
        raise invalid_request(f"{reason} requires experimentalApi capability")


def parse_params(method: str, params: object, has_params: bool, experimental: bool) -> Any:
    """Structure the parameters, then check them unless the connection is `experimental`. Raises `RpcError`."""
    structured = structure_params(method, params, has_params)
    if not experimental:
        check_experimental(method, structured)
    return structured


def _invalid(message: str) -> RpcError:
    return invalid_request(f"Invalid request: {message}")


def _experimental_use(method: str, params: object) -> str | None:
    if METHODS[method].experimental:
        return method
    cls: Any = type(params)
    if not attrs.has(cls):
        return None
    variant: str | None = getattr(params, "EXPERIMENTAL", None)
    if variant is not None:
        return variant
    for attribute, field, nullable in _gated(cls):
        value = getattr(params, attribute)
        if field is not None and (value is not ABSENT if nullable else value is not None and value is not False):
            return f"{method}.{field}"
        if field is None:
            inner: str | None = getattr(value, "EXPERIMENTAL", None)
            if inner is not None:
                return inner
    return None


@cache
def _gated(cls: Any) -> tuple[tuple[str, str | None, bool], ...]:
    """The attributes to check, in order: their names, their names in errors (None if only some values are experimental), and
    whether null is a value of its own.
    """
    gated: list[tuple[str, str | None, bool]] = []
    for attribute in attrs.fields(cls):
        mark = attribute.metadata.get("experimental")
        if mark is not None:
            name = mark if isinstance(mark, str) else wire_name(attribute)
            gated.append((attribute.name, name, attribute.default is ABSENT))
        elif attribute.name == "approval_policy":
            gated.append((attribute.name, None, False))
    return tuple(gated)
