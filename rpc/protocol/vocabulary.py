"""Members of parameters that are not served: which are refused, and which are harmless.

Each member that a client may send is one of three. *Served*: the class of the parameters has it. *Refused*: it
restricts an action or a result, or asks to keep something, so any value that asks for something is an error with the
member's name. *Harmless*: it adds comfort, or turns off something that Spindle never does; it is ignored.

The tables are keyed by the name of the class, nested classes included. A harmless member may still have an attribute,
to check its type or the experimentalApi capability. A test compares the tables with the schemas of Codex 0.124 and
0.171, and `docs/protocol.md` lists them.
"""

from collections.abc import Mapping
from typing import Final

REFUSED: Final[Mapping[str, Mapping[str, tuple[object, ...]]]] = {
    "BedrockPatch": {"profile": (), "region": ()},
    "GcpPatch": {"credentialFile": (), "location": (), "projectId": ()},
    "ThreadForkParams": {
        "attachToSource": (False,),
        "deferGoalContinuation": (False,),
        "experimentalDisablePredictionMcp": (False,),
        "experimentalPredictionMode": (False,),
    },
    "ThreadListParams": {"attachedToThreadId": (), "originators": ([],)},
    "ThreadMetadataUpdateParams": {"daybreakEnabled": ()},
    "ThreadStartParams": {"selectedCapabilityRoots": ([],)},
    "ThreadSettingsUpdateParams": {"disabledPluginIds": ([],)},
    "TurnToolOutput": {"retain": (False,)},
    "TurnStartParams": {"disabledPluginIds": ([],)},
}
"""Refused members, with the values (besides null) that ask for nothing."""

HARMLESS: Final[Mapping[str, frozenset[str]]] = {
    name: frozenset(members.split())
    for name, members in {
        "AccountSessionsListParams": "refreshWorkspaceMetadata",
        "AccountSessionsSwitchParams": "accountId allowBrowserLogin",
        "AppsInstalledParams": "forceRefresh",
        "AppsListParams": "forceRefetch",
        "AppsReadParams": "includeTools",
        "ChatgptLogin": "appBrand codexStreamlinedLogin useHostedLoginSuccessPage",
        "ConnectionSignPayload": "nonce targetOrigin targetPath tokenExpiresAt tokenSha256Base64url",
        "ConsumeAccountRateLimitResetCreditParams": "creditId",
        "DeviceKeyCreateParams": "protectionPolicy",
        "DynamicToolSpec": "deferLoading",
        "EnrollmentSignPayload": "challengeExpiresAt challengeId deviceIdentitySha256Base64url nonce targetOrigin "
        "targetPath",
        "EnvironmentAddParams": "authBearerToken connectTimeoutMs websocketRequestId",
        "GatewayOAuthLoginParams": "deviceAuth",
        "GcpSetupParams": "credentialFile",
        "GetAccountParams": "refreshToken",
        "GetAccountRateLimitsParams": "excludeResetCreditDetails supportsLunaReserve",
        "GetAuthStatusParams": "refreshToken",
        "GranularSettings": "skill_approval",
        "InitializeCapabilities": "explicitGatewayOauth extensions mcpServerOpenaiFormElicitation requestAttestation "
        "requiredHumanApproval",
        "McpResourceReadTarget": "connectorId linkId",
        "McpServerEventStreamStartParams": "subscriptionId",
        "McpServerEventStreamStopParams": "subscriptionId",
        "PluginInstallParams": "installAttemptId",
        "PluginListParams": "forceRefetch",
        "PluginReconcileParams": "reason",
        "PluginShareSaveParams": "pluginPath",
        "PluginShareTarget": "principalId principalType",
        "RemoteControlPairingStartParams": "manualCode",
        "SendAddCreditsNudgeEmailParams": "creditType",
        "ThreadForkParams": "persistExtendedHistory",
        "ThreadItemsListParams": "deferOutput",
        "ThreadListParams": "currentAccountOnly includeAttachedThreads useStateDbOnly",
        "ThreadPredictionRequestParams": "sourceTurnId threadId",
        "ThreadRealtimeAudioChunk": "numChannels sampleRate samplesPerChannel",
        "ThreadRealtimeListParams": "afterPosition eventId fromObservedAtMs requiredThroughPosition snapshotEnd "
        "toObservedAtMs",
        "ThreadRealtimeStartParams": "outputModality backendReasoningStatus clientManagedHandoffs "
        "codexResponseHandoffChannelPrefixes codexResponseHandoffMode codexResponseItemPrefix "
        "codexResponsesAsItems delegationAckFiller flushTranscriptTailOnSessionEnd "
        "includeStartupContext initialItems realtimeEndInstructions realtimeSessionId "
        "realtimeStartInstructions voice voiceSessionId sessionId",
        "ThreadResumeParams": "persistExtendedHistory",
        "ThreadSampleParams": "disableMcp interruptOnCancel threadSource turnTrigger",
        "ThreadSearchParams": "currentAccountOnly includeAttachedThreads",
        "ThreadSettingsUpdateParams": "multiAgentMode",
        "ThreadStartParams": "allowProviderModelFallback daybreakEnabled mockExperimentalField multiAgentMode "
        "persistExtendedHistory serviceName",
        "TurnSettingsUpdateParams": "approvalsReviewer effort environments model serviceTier summary turnId",
        "TurnStartParams": "cyberAccessProgram multiAgentMode",
        "WebrtcRealtimeTransport": "sdp",
    }.items()
}
"""Harmless members. All threads of a home belong to its one account, no thread is attached to another, and there is no
catalogue of plugins but those of marketplaces. Logins of ChatGPT are refused, so their members do not matter. So are the
methods of `actors/clients/methods/elsewhere.py`, `thread/prediction/request` and `turn/settings/update`. A sample offers no
tools, and has no thread of its own.
"""
