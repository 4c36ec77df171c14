"""What a client may ask: one module per noun, one handler per method.

A handler gets the connection, the parameters and the reply. It decides at once and returns; what takes time it hands to
`caller.later` or to a thread's mailbox. The methods are those of `catalog.METHODS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from spindle.actors.kernel.mailbox import Reply

if TYPE_CHECKING:
    from spindle.actors.clients.caller import Caller

Handler = Callable[["Caller", Any, Reply[Any]], None]

_TABLE = {
    "thread/start": ("threads", "start"),
    "thread/resume": ("threads", "resume"),
    "thread/fork": ("threads", "fork"),
    "thread/read": ("threads", "read"),
    "thread/list": ("listing", "list_"),
    "thread/turns/list": ("turn_pages", "turns_list"),
    "thread/items/list": ("turn_pages", "items_list"),
    "thread/items/read": ("turn_pages", "items_read"),
    "thread/timeline/list": ("turn_pages", "timeline"),
    "thread/loaded/list": ("threads", "loaded_list"),
    "thread/archive": ("threads", "archive"),
    "thread/unarchive": ("threads", "unarchive"),
    "thread/delete": ("threads", "delete"),
    "thread/section/move": ("sections", "move"),
    "threadSection/list": ("sections", "list_"),
    "threadSection/create": ("sections", "create"),
    "threadSection/update": ("sections", "update"),
    "threadSection/delete": ("sections", "delete"),
    "thread/readState/update": ("read_states", "update"),
    "thread/goal/set": ("goals", "set_"),
    "thread/goal/get": ("goals", "get"),
    "thread/goal/clear": ("goals", "clear"),
    "thread/queue/add": ("queue", "add"),
    "thread/queue/list": ("queue", "list_"),
    "thread/queue/update": ("queue", "update"),
    "thread/queue/delete": ("queue", "delete"),
    "thread/queue/reorder": ("queue", "reorder"),
    "thread/queue/start": ("queue", "start"),
    "thread/attachment/add": ("attachments", "add"),
    "thread/attachment/list": ("attachments", "list_"),
    "thread/attachment/remove": ("attachments", "remove"),
    "thread/attachmentOwner/list": ("attachments", "owners"),
    "project/list": ("projects", "list_"),
    "project/read": ("projects", "read"),
    "project/create": ("projects", "create"),
    "project/import": ("projects", "import_"),
    "project/update": ("projects", "update"),
    "project/move": ("projects", "move"),
    "project/delete": ("projects", "delete"),
    "rollout/compress": ("maintenance", "compress"),
    "memory/reset": ("memories", "reset"),
    "memory/status": ("memories", "status"),
    "thread/memory/read": ("memories", "read"),
    "thread/prepareApprovedPlan": ("plans", "prepare"),
    "thread/sample": ("sampling", "sample"),
    "thread/sample/cancel": ("sampling", "cancel"),
    "thread/prediction/request": ("sampling", "predict"),
    "turn/settings/update": ("turns", "update_settings"),
    "thread/settings/update": ("thread_settings", "update"),
    "thread/search": ("search", "search"),
    "thread/searchOccurrences": ("search", "occurrences"),
    "thread/search/stream": ("search", "stream"),
    "thread/search/cancel": ("search", "cancel"),
    "thread/search/stream/cancel": ("search", "cancel_stream"),
    "thread/revert": ("threads", "revert"),
    "thread/unsubscribe": ("threads", "unsubscribe"),
    "thread/name/set": ("thread_changes", "set_name"),
    "thread/metadata/update": ("thread_changes", "update_metadata"),
    "thread/memoryMode/set": ("thread_changes", "set_memory_mode"),
    "thread/rollback": ("thread_changes", "roll_back"),
    "thread/inject_items": ("thread_changes", "inject_items"),
    "thread/compact/start": ("thread_changes", "compact"),
    "thread/shellCommand": ("terminals", "shell_command"),
    "thread/approveGuardianDeniedAction": ("guardian", "approve_denied"),
    "thread/backgroundTerminals/clean": ("terminals", "clean"),
    "thread/backgroundTerminals/list": ("terminals", "list_"),
    "thread/backgroundTerminals/terminate": ("terminals", "terminate"),
    "thread/increment_elicitation": ("thread_changes", "increment_elicitation"),
    "thread/decrement_elicitation": ("thread_changes", "decrement_elicitation"),
    "getConversationSummary": ("conversations", "summary"),
    "gitDiffToRemote": ("repositories", "diff_to_remote"),
    "turn/start": ("turns", "start"),
    "turn/steer": ("turns", "steer"),
    "turn/interrupt": ("turns", "interrupt"),
    "review/start": ("reviews", "start"),
    "model/list": ("models", "list_"),
    "experimentalFeature/list": ("features", "list_"),
    "experimentalFeature/enablement/set": ("features", "set_enablement"),
    "modelProvider/list": ("providers", "list_"),
    "modelProvider/config/write": ("providers", "write_config"),
    "modelProvider/default/set": ("providers", "set_default"),
    "modelProvider/capabilities/read": ("providers", "read_capabilities"),
    "permissionProfile/list": ("permission_profiles", "list_"),
    "collaborationMode/list": ("models", "modes"),
    "mock/experimentalMethod": ("models", "echo"),
    "account/read": ("accounts", "read"),
    "account/login/start": ("accounts", "login"),
    "account/logout": ("accounts", "logout"),
    "getAuthStatus": ("accounts", "auth_status"),
    "config/read": ("config", "read"),
    "config/value/write": ("config", "write_value"),
    "config/batchWrite": ("config", "write_batch"),
    "configRequirements/read": ("config", "requirements"),
    "hooks/list": ("hooks", "list_"),
    "marketplace/add": ("marketplaces", "add"),
    "marketplace/remove": ("marketplaces", "remove"),
    "marketplace/upgrade": ("marketplaces", "upgrade"),
    "plugin/list": ("plugins", "list_"),
    "plugin/search": ("plugins", "search_"),
    "plugin/installed": ("plugins", "installed"),
    "plugin/reconcile": ("plugins", "reconcile"),
    "plugin/read": ("plugins", "read"),
    "plugin/install": ("plugins", "install"),
    "plugin/uninstall": ("plugins", "uninstall"),
    "skills/list": ("skills", "list_"),
    "skills/extraRoots/set": ("skills", "extra_roots_set"),
    "skills/config/write": ("skills", "config_write"),
    "fuzzyFileSearch": ("file_search", "search"),
    "fuzzyFileSearch/sessionStart": ("file_search", "start"),
    "fuzzyFileSearch/sessionUpdate": ("file_search", "update"),
    "fuzzyFileSearch/sessionStop": ("file_search", "stop"),
    "fs/readFile": ("files", "read_file"),
    "fs/writeFile": ("files", "write_file"),
    "fs/createDirectory": ("files", "create_directory"),
    "fs/getMetadata": ("files", "get_metadata"),
    "fs/readDirectory": ("files", "read_directory"),
    "fs/remove": ("files", "remove"),
    "fs/copy": ("files", "copy"),
    "fs/watch": ("files", "watch"),
    "fs/unwatch": ("files", "unwatch"),
    "mcpServerStatus/list": ("mcp", "list_status"),
    "mcpServer/tool/call": ("mcp", "call_tool"),
    "mcpServer/resource/read": ("mcp", "read_resource"),
    "mcpServer/oauth/login": ("mcp", "log_in"),
    "config/mcpServer/reload": ("mcp", "reload"),
    "command/exec": ("command_exec", "execute"),
    "command/exec/write": ("command_exec", "write"),
    "command/exec/terminate": ("command_exec", "terminate"),
    "command/exec/resize": ("command_exec", "resize"),
    "process/spawn": ("processes", "spawn"),
    "process/writeStdin": ("processes", "write_stdin"),
    "process/kill": ("processes", "kill"),
    "process/resizePty": ("processes", "resize_pty"),
    "account/login/cancel": ("accounts", "cancel_login"),
    "server/diagnostics": ("diagnostics", "read"),
    "plugin/skill/read": ("elsewhere", "plugin_skill"),
    "plugin/share/save": ("elsewhere", "share_save"),
    "plugin/share/updateTargets": ("elsewhere", "share_update"),
    "plugin/share/list": ("elsewhere", "share_list"),
    "plugin/share/checkout": ("elsewhere", "share_checkout"),
    "plugin/share/delete": ("elsewhere", "share_delete"),
    "account/gatewayOAuth/read": ("cloud_providers", "read_gateway"),
    "account/gatewayOAuth/login": ("elsewhere", "gateway_login"),
    "account/gatewayOAuth/cancel": ("elsewhere", "gateway_cancel"),
    "environment/add": ("environments", "add"),
    "environment/info": ("environments", "info"),
    "environment/status": ("environments", "status"),
    "account/bedrock/discover": ("cloud_providers", "discover_aws"),
    "account/bedrock/setup": ("elsewhere", "bedrock_setup"),
    "account/gcp/setup": ("elsewhere", "gcp_setup"),
    "account/bedrock/checkGovCloudRequirements": ("elsewhere", "gov_cloud"),
    "feedback/upload": ("feedback", "upload"),
    "feedback/save": ("feedback", "save_"),
    "app/list": ("elsewhere", "app_list"),
    "device/key/create": ("elsewhere", "device_key_create"),
    "device/key/public": ("elsewhere", "device_key_public"),
    "device/key/sign": ("elsewhere", "device_key_sign"),
    "thread/realtime/start": ("elsewhere", "realtime_start"),
    "thread/realtime/appendAudio": ("elsewhere", "realtime_audio"),
    "thread/realtime/appendText": ("elsewhere", "realtime_text"),
    "thread/realtime/stop": ("elsewhere", "realtime_stop"),
    "thread/realtime/listVoices": ("elsewhere", "realtime_voices"),
    "windowsSandbox/setupStart": ("elsewhere", "windows_setup"),
    "account/rateLimits/read": ("elsewhere", "rate_limits"),
    "account/sendAddCreditsNudgeEmail": ("elsewhere", "nudge"),
    "userVerification/status": ("elsewhere", "verification_status"),
    "userVerification/enroll": ("elsewhere", "verification_enroll"),
    "userVerification/delete": ("elsewhere", "verification_delete"),
    "userVerification/verify": ("elsewhere", "verification_verify"),
    "userVerification/cancel": ("elsewhere", "verification_cancel"),
    "app/read": ("elsewhere", "app_read"),
    "app/installed": ("elsewhere", "app_installed"),
    "thread/realtime/appendSpeech": ("elsewhere", "realtime_speech"),
    "thread/realtime/list": ("elsewhere", "realtime_list"),
    "remoteControl/enable": ("elsewhere", "remote_control_enable"),
    "remoteControl/disable": ("elsewhere", "remote_control_disable"),
    "remoteControl/status/read": ("elsewhere", "remote_control_status"),
    "remoteControl/pairing/start": ("elsewhere", "remote_control_pair"),
    "remoteControl/pairing/status": ("elsewhere", "remote_control_paired"),
    "remoteControl/client/list": ("elsewhere", "remote_control_clients"),
    "remoteControl/client/revoke": ("elsewhere", "remote_control_revoke"),
    "mcpServer/event/stream/start": ("elsewhere", "event_start"),
    "mcpServer/event/stream/stop": ("elsewhere", "event_stop"),
    "windowsSandbox/readiness": ("elsewhere", "windows_readiness"),
    "accountSession/list": ("elsewhere", "sessions"),
    "accountSession/switch": ("elsewhere", "switch_session"),
    "account/securitySetup/read": ("elsewhere", "security_setup"),
    "account/rateLimitResetCredit/consume": ("elsewhere", "reset_credit"),
    "account/usage/read": ("elsewhere", "usage"),
    "account/workspaceMessages/read": ("elsewhere", "workspace_messages"),
}

RELEASING = frozenset(
    {
        "thread/unsubscribe",
        "turn/interrupt",
        "thread/backgroundTerminals/clean",
        "thread/backgroundTerminals/terminate",
        "command/exec/terminate",
        "process/kill",
        "fs/unwatch",
        "fuzzyFileSearch/sessionStop",
        "thread/search/cancel",
        "thread/search/stream/cancel",
        "thread/sample/cancel",
    }
)
"""Methods that end or release something; they are not refused because much is under way."""

EARLY = frozenset({"thread/list"})
"""Methods that get by without what threads share, and are answered before it is loaded."""

WORK = frozenset(
    {
        *("thread/start", "thread/fork", "thread/compact/start", "thread/shellCommand"),
        *("thread/queue/start", "thread/sample", "turn/start", "review/start", "mcpServer/tool/call"),
        *("command/exec", "process/spawn"),
    }
)
"""Methods that start work; they are refused while the server is shutting down."""


class _Handlers(Mapping[str, Handler]):
    """The handlers by method; a noun's module is imported when it is first asked for, to keep the start short."""

    def __getitem__(self, method: str) -> Handler:
        module, name = _TABLE[method]
        handler: Handler = getattr(import_module(f"spindle.actors.clients.methods.{module}"), name)
        return handler

    def __iter__(self) -> Any:
        return iter(_TABLE)

    def __len__(self) -> int:
        return len(_TABLE)


HANDLERS: Mapping[str, Handler] = _Handlers()
