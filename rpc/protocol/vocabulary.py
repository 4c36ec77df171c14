"""Members of parameters that no attribute serves: which of them are refused, and which are harmless.

Every member that a client may send is one of three. *Served*: the class of its parameters has it. *Refused*: it narrows what
may happen, or what is returned, or asks for something to be kept, and so a value that asks for anything is an error which
names it. *Harmless*: it only adds comfort, and is ignored, or something that Spindle never does is left undone.

The tables are by the name of the class, nested ones included. A member that is harmless may have an attribute all the same,
where its type is checked or it needs the experimentalApi capability. A test compares all of this with the schemas of Codex
0.124 and 0.171, and `docs/protocol.md` lists it.
"""

from collections.abc import Mapping
from typing import Final

REFUSED: Final[Mapping[str, Mapping[str, tuple[object, ...]]]] = {
    "HooksListParams": {"threadId": ()},
    "ImageInput": {"fileId": ()},
    "ListMcpServerStatusParams": {"environmentId": ()},
    "McpResourceReadParams": {"connectorId": (), "environmentId": (), "target": ()},
    "McpServerToolCallParams": {"environmentId": ()},
    "ThreadForkParams": {
        "attachToSource": (False,),
        "deferGoalContinuation": (False,),
        "experimentalDisablePredictionMcp": (False,),
        "experimentalPredictionMode": (False,),
    },
    "ThreadListParams": {"attachedToThreadId": (), "originators": ([],), "projectId": ()},
    "ThreadMetadataUpdateParams": {"daybreakEnabled": (), "projectId": ()},
    "ThreadStartParams": {"projectId": (), "selectedCapabilityRoots": ([],)},
    "TurnStartParams": {"toolOutput": ()},
}
"""Refused members, with the values beside null that ask for nothing."""

HARMLESS: Final[Mapping[str, frozenset[str]]] = {
    name: frozenset(members.split())
    for name, members in {
        "ChatgptLogin": "appBrand codexStreamlinedLogin useHostedLoginSuccessPage",
        "ChatgptAuthTokensLogin": "accessToken chatgptAccountId chatgptPlanType",
        "DynamicToolNamespace": "description",
        "DynamicToolSpec": "deferLoading",
        "GetAccountParams": "refreshToken",
        "GetAuthStatusParams": "refreshToken",
        "GranularSettings": "skill_approval",
        "ImageInput": "detail",
        "InitializeCapabilities": "explicitGatewayOauth extensions mcpServerOpenaiFormElicitation requestAttestation "
        "requiredHumanApproval",
        "ListMcpServerStatusParams": "threadId",
        "LocalImageInput": "detail",
        "McpResourceReadParams": "_meta originCallId",
        "McpServerOauthLoginParams": "clientRegistration environmentId scopes threadId timeoutSecs",
        "ThreadForkParams": "persistExtendedHistory",
        "ThreadItemsListParams": "deferOutput",
        "ThreadListParams": "currentAccountOnly includeAttachedThreads useStateDbOnly",
        "ThreadResumeParams": "persistExtendedHistory",
        "ThreadSearchParams": "currentAccountOnly includeAttachedThreads",
        "ThreadSettingsUpdateParams": "disabledPluginIds multiAgentMode",
        "ThreadStartParams": "allowProviderModelFallback daybreakEnabled mockExperimentalField multiAgentMode "
        "persistExtendedHistory serviceName",
        "TurnStartParams": "additionalContext clientUserMessageId cyberAccessProgram disabledPluginIds multiAgentMode "
        "parentTurnId responsesapiClientMetadataPatch rootTurnId turnTrigger",
        "TurnSteerParams": "additionalContext clientUserMessageId responsesapiClientMetadata "
        "responsesapiClientMetadataPatch",
    }.items()
}
"""Harmless members. All threads of a home belong to its one account, none is attached to another, and there are no plugins.
Logins of ChatGPT and of MCP servers are refused, whatever is in them."""
