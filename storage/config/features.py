"""The features of `[features]`: those that Spindle serves, and those that clients of Codex 0.124 to 0.171 look for.

A feature that is not served changes nothing. Its stage says so: `removed` is the protocol's word for a flag that is
only accepted. What it shows is what config.toml or a client says, else whether Codex has it on by default: clients
decide by it what they show, such as their own dialogs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, Literal, TypeAlias

from spindle.rpc.lazy_class import frozen
from spindle.storage.config.effective import FORMER_NAMES, Config
from spindle.storage.config.keys import KEYS, Standing

Stage: TypeAlias = Literal["beta", "underDevelopment", "stable", "deprecated", "removed"]

_FORMER: Final = frozenset(
    (
        *(former for names in FORMER_NAMES.values() for former in names),
        *("connectors", "web_search", "enable_experimental_windows_sandbox", "imagegenext", "memory_tool"),
        *("request_permissions", "responses_websocket_response_processed", "telepathy"),
    )
)
"""Former names, which are accepted and not listed."""

SERVED: Final[Mapping[str, tuple[Stage, bool]]] = {
    "shell_tool": ("stable", True),
    "unified_exec": ("stable", True),
    "multi_agent": ("stable", True),
    "hooks": ("stable", True),
    "codex_hooks": ("stable", True),
    "view_image": ("stable", True),
    "apply_patch_freeform": ("underDevelopment", False),
    "apply_patch_streaming_events": ("underDevelopment", False),
    "request_permissions_tool": ("underDevelopment", False),
    "default_mode_request_user_input": ("underDevelopment", False),
    "tool_call_mcp_elicitation": ("stable", True),
    "web_search_request": ("deprecated", False),
    "web_search_cached": ("deprecated", False),
}
"""The served features: stage, and whether it is on by default."""

_ON: Final = """
api_key_cyber_access_programs api_key_model_discovery apps auth_elicitation bedrock_setup_wizard
browser_annotation_api browser_use browser_use_external browser_use_full_cdp_access cli_daybreak collaboration_modes
compaction_image_budget computer_use content_item_kinds daemon_auto_start deferred_tool_world_state
enable_request_compression fast_mode general_analytics goals guardian_approval guardian_include_additional_context
guardian_reuse_parent_compaction image_generation in_app_browser in_app_chat in_app_dictation in_app_local_automation
in_app_updates in_app_voice incremental_tools incremental_tools_legacy incremental_tools_legacy_gcp instant_interrupt
item_ids mcp_oauth_refresh_coordination mentions_v2 personality plugin_sharing plugins
prediction_preserve_parent_tools reasoning_effort_override shell_snapshot skill_mcp_dependency_install sqlite steer
system_proxy_fallback terminal_resize_reflow tool_search tool_suggest tui_app_server
tui_workspace unbounded_connection_retries workspace_dependencies worktrees
"""
"""Features that are not served, and that Codex has on by default."""

SWITCHED: Final = (
    *("apps", "memories", "plugins", "tool_search", "tool_suggest", "tool_call_mcp_elicitation"),  # 0.124
    *("api_key_cyber_access_programs", "api_key_model_discovery", "auth_elicitation"),  # 0.171
    *("background_paginated_rollout_migration", "codex_apps_mcp_2026_07_28", "daybreak_program_propagation"),
    *("mcp_2026_07_28", "mcp_connection_sharing", "mcp_lazy_stdio_startup", "mcp_shared_repl_cwd", "mentions_v2"),
    *("remote_control", "remote_plugin", "windows_sandbox_service"),
)
"""What a client may switch for the life of the process. config.toml is stronger."""


@frozen
class Feature:
    """A feature, whether it is on, and whether it is on by default."""

    name: str
    stage: Stage
    default: bool
    enabled: bool


def features(config: Config, switched: Mapping[str, bool]) -> Iterator[Feature]:
    """All features; `switched` are those that clients have switched in this process."""
    on = _ON.split()
    for key in KEYS:
        table, _, name = key.partition(".")
        if table == "features" and name not in _FORMER:
            stage, default = SERVED.get(name, ("removed", name in on))
            enabled = config.features(name, switched.get(name, default))
            refused = KEYS[key] is Standing.REFUSED and enabled  # then no thread runs
            yield Feature(name, stage, default, enabled and not refused)
