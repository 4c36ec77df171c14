"""The keys of config.toml: the only table of which are served, refused, or harmless to ignore.

The names are those of Codex 0.124 to 0.171 and Spindle's own. A dotted name is a key in a table, `*` is any name. An
entry for a table applies to its members without an entry. A key without an entry is unknown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum
from functools import cache
from typing import Final, TypeAlias, cast

from attrs import define, field

from spindle.storage.config.mcp_servers import KEYS as MCP_KEYS
from spindle.storage.config.mcp_servers import OAUTH_KEYS


class Standing(Enum):
    """How a key is treated."""

    SERVED = "served"
    """It is in effect."""
    REFUSED = "refused"
    """A restriction, or a condition of one, that is not supported: threads to which it applies do not start."""
    OWN = "harmless"
    """It concerns only clients, or something that does not exist here."""
    UNSERVED = "harmless, with a warning"
    """It has no effect; the user gets a warning."""
    UNKNOWN = "unknown"
    """As UNSERVED: misspelt, or of another version."""


_SERVED: Final = """
model review_model model_provider model_providers model_context_window model_auto_compact_token_limit model_catalog_json
model_reasoning_effort model_reasoning_summary model_verbosity model_supports_reasoning_summaries personality service_tier
openai_base_url instructions developer_instructions model_instructions_file compact_prompt experimental_compact_prompt_file
include_permissions_instructions include_environment_context include_collaboration_mode_instructions
approval_policy approvals_reviewer auto_review.policy sandbox_mode default_permissions allow_login_shell
sandbox_workspace_write.writable_roots sandbox_workspace_write.network_access
sandbox_workspace_write.exclude_tmpdir_env_var sandbox_workspace_write.exclude_slash_tmp
permissions.*.filesystem permissions.*.network.enabled
shell_environment_policy.inherit shell_environment_policy.ignore_default_excludes shell_environment_policy.exclude
shell_environment_policy.include_only shell_environment_policy.set shell_environment_policy.allow_keys
tool_output_token_limit background_terminal_max_timeout experimental_use_unified_exec_tool
tools.web_search.allowed_domains tools.web_search.context_size tools.view_image web_search
tools.web_search.location.country tools.web_search.location.region tools.web_search.location.city
tools.web_search.location.timezone
tools.experimental_request_user_input.enabled tools.update_plan.enabled
agents.enabled agents.max_threads agents.max_depth agents.*.description agents.*.config_file agents.*.nickname_candidates
plugins marketplaces features.plugins
mcp_oauth_credentials_store mcp_oauth_callback_port mcp_oauth_callback_url mcp_optional_startup_grace_ms
skills.config skills.include_instructions skills.bundled.enabled hooks notify
mcp_servers.*.tools.*.approval_mode
project_doc_max_bytes project_doc_fallback_filenames project_root_markers projects profile profiles
forced_login_method cli_auth_credentials_store thread_unload_delay_secs on_unsubscribe durability offline_script
shared_daemon_idle_secs sqlite_home
model_providers.*.name model_providers.*.base_url model_providers.*.env_key model_providers.*.env_key_instructions
model_providers.*.experimental_bearer_token model_providers.*.wire_api model_providers.*.query_params
model_providers.*.http_headers model_providers.*.env_http_headers model_providers.*.request_max_retries
model_providers.*.stream_max_retries model_providers.*.stream_idle_timeout_ms model_providers.*.requires_openai_auth
model_providers.*.lists_models model_providers.*.auth
model_providers.*.auth.command model_providers.*.auth.args model_providers.*.auth.timeout_ms
model_providers.*.auth.refresh_interval_ms model_providers.*.auth.cwd
features.shell_tool features.unified_exec features.experimental_use_unified_exec_tool features.multi_agent features.collab
features.hooks features.codex_hooks features.apply_patch_freeform features.apply_patch_streaming_events
features.request_permissions_tool features.view_image features.default_mode_request_user_input
features.tool_call_mcp_elicitation features.web_search_request features.web_search_cached
features.experimental_use_freeform_apply_patch experimental_use_freeform_apply_patch
agents.max_concurrent_threads_per_session
otel.environment otel.log_user_prompt otel.log_agent_responses otel.tool_result.max_bytes otel.span_attributes
otel.trace_exporter.otlp-http.endpoint otel.trace_exporter.otlp-http.headers otel.trace_exporter.otlp-http.protocol
otel.trace_exporter.otlp-http.tls
otel.metrics_exporter.otlp-http.endpoint otel.metrics_exporter.otlp-http.headers otel.metrics_exporter.otlp-http.protocol
otel.metrics_exporter.otlp-http.tls
"""

_REFUSED: Final = """
model_providers.*.aws model_providers.*.gateway_oauth mcp_servers.*.bearer_token
permissions.*.extends permissions.*.network.domains permissions.*.network.unix_sockets permissions.*.network.mode
permissions.*.network.mitm permissions.*.network.review_domains permissions.*.network.header_injections
permissions.*.network.credential_broker
shell_environment_policy.filters
features.network_proxy features.credential_masking features.write_stdin_approval
"""

_OWN: Final = """
tui desktop history notice file_opener audio windows windows_wsl_setup_acknowledged disable_paste_burst
check_for_update_on_startup suppress_unstable_features_warning oss_provider plan_mode_reasoning_effort
show_raw_agent_reasoning hide_agent_reasoning ghost_snapshot js_repl_node_path js_repl_node_module_dirs
analytics feedback include_apps_instructions apps apps_mcp_product_sku tool_suggest memories
browser_use computer_use forced_chatgpt_workspace_id log_dir allow_symlinked_codex_home goals
model_providers.*.supports_websockets model_providers.*.websocket_connect_timeout_ms permissions.*.description
mcp_servers.*.name
features.analytics_plan_history features.api_key_cyber_access_programs features.api_key_model_discovery features.apps
features.auth_elicitation features.bedrock_setup_wizard features.browser_annotation_api features.browser_use
features.browser_use_external features.browser_use_full_cdp_access features.cli_daybreak features.code_mode_host
features.code_mode_host_grpc features.code_mode_host_output_truncation features.code_mode_interrupt
features.collaboration_modes features.compaction_image_budget features.computer_use features.connectors
features.content_item_kinds features.daemon_auto_start features.deferred_tool_world_state
features.enable_request_compression features.fast_mode features.gateway_setup_wizard features.gcp_setup_wizard
features.general_analytics features.goals features.guardian_approval features.guardian_include_additional_context
features.guardian_reuse_parent_compaction features.image_generation features.in_app_browser features.in_app_chat
features.in_app_dictation features.in_app_local_automation features.in_app_updates features.in_app_voice
features.incremental_tools features.incremental_tools_legacy features.incremental_tools_legacy_gcp
features.instant_interrupt features.item_ids features.mcp_oauth_refresh_coordination features.mentions_v2
features.personality features.plugin_sharing features.prediction_preserve_parent_tools
features.prevent_idle_sleep features.realtime_conversation features.reasoning_effort_override features.recommended_plugins
features.respect_system_proxy features.safe_image_decoder features.shell_snapshot features.skill_mcp_dependency_install
features.sqlite features.steer features.system_proxy_fallback features.terminal_resize_reflow
features.tool_search features.tool_suggest features.tui_app_server
features.tui_extensions_statusline features.tui_multi_backend features.tui_workspace features.unavailable_dummy_tools
features.unbounded_connection_retries features.use_legacy_landlock features.use_linux_sandbox_bwrap
features.web_search features.workspace_dependencies
features.workspace_owner_usage_nudge features.worktrees
features.elevated_windows_sandbox features.enable_experimental_windows_sandbox features.experimental_windows_sandbox
features.windows_sandbox_service features.apps_mcp_path_override features.image_detail_original features.remote_models
features.request_rule features.responses_websockets features.responses_websockets_v2 features.search_tool
features.external_migration features.js_repl features.js_repl_tools_only features.undo
"""

_UNSERVED: Final = """
otel.exporter otel.trace_exporter.otlp-grpc otel.metrics_exporter.otlp-grpc otel.log_sse_deltas
otel.log_guardian_assessments otel.headers_helper otel.headers_helper_refresh_interval_ms otel.tracestate
auto_review commit_attribution chatgpt_base_url zsh_path mcp_enterprise_managed_auth model_auto_compact_token_limit_scope
model_post_turn_compact_threshold_percent realtime responses responses_api_metadata orchestrator cloud code_mode
rollout_trace debug experimental_instructions_file experimental_thread_store experimental_thread_store_endpoint
experimental_thread_config_endpoint experimental_realtime_ws_base_url
experimental_realtime_webrtc_call_base_url experimental_realtime_ws_model experimental_realtime_ws_backend_prompt
experimental_realtime_ws_startup_context experimental_realtime_start_instructions
agents.interrupt_message agents.job_max_runtime_seconds agents.max_spawn_depth client_search_provider daybreak
include_environment_context_time
agents.default_subagent_model agents.default_subagent_reasoning_effort agents.*.skills agents.*.mcp
skills.max_context_tokens tools.client_search_provider shell_environment_policy.experimental_use_profile
permissions.*.workspace_roots permissions.*.network.allow_local_binding permissions.*.network.allow_upstream_proxy
permissions.*.network.dangerously_allow_all_unix_sockets permissions.*.network.dangerously_allow_non_loopback_proxy
permissions.*.network.enable_socks5 permissions.*.network.enable_socks5_udp permissions.*.network.proxy_url
permissions.*.network.socks_url permissions.*.network.transparent_tcp
model_providers.*.model_catalog_url model_providers.*.supports_standalone_web_search model_providers.*.capabilities
mcp_servers.*.auth mcp_servers.*.environment_id mcp_servers.*.http_headers_helper
mcp_servers.*.startup_readiness mcp_servers.*.omit_tools_from mcp_servers.*.experimental_environment
mcp_servers.*.tools.*.output_token_limit
features.agent_message_board features.agent_message_board_mcp features.app_server_websocket_compression
features.apply_patch_preserve_line_endings features.apps_early_resource_discovery features.artifact
features.async_compaction features.async_compaction_root_only features.background_paginated_rollout_migration
features.catalog_apps_instructions features.child_agents_md features.chronicle features.cli_resume_account_check
features.code_mode features.code_mode_buffered_exec features.code_mode_only features.code_mode_only_strict_3p_tools
features.code_mode_prewarm features.code_mode_tool_description_first features.code_mode_tool_search
features.codex_apps_mcp_2026_07_28 features.codex_git_commit features.command_sessions_world_state
features.concurrent_reasoning_summaries features.context_management features.critical_path_timing
features.current_time_reminder features.cwd_relative_turn_diffs features.daybreak_program_propagation
features.defer_mailbox_preemption features.deferred_executor
features.enable_fanout features.enable_mcp_apps features.exec_permission_approvals features.executed_tool_call_metadata
features.executor_capability_discovery features.executor_capability_discovery_v2 features.external_agent_memory_import
features.file_backed_tool_audio features.guardian_conversation_history_tools features.guardian_denial_reconsideration
features.guardian_enhanced_node_repl_transcripts features.guardian_ext features.guardian_native_multi_agent_history
features.guardian_nested_approval_context features.guardian_node_repl_transcript_images features.guardian_recorded_items
features.guardian_root_handoff_context features.guardian_trust_orchestrator_connectors features.guardianv2
features.guardianv2_decisions_comparison features.guardianv3
features.hosted_search_policy features.image_generation_animation features.image_resize_notice features.imagegenext
features.incremental_exec_tools features.interrupt_on_cancel features.local_thread_store_compression
features.local_thread_store_shared_compression features.login_shell_package_path features.mcp_2026_07_28
features.mcp_connection_sharing features.mcp_lazy_stdio_startup features.mcp_shared_repl_cwd
features.mcp_tool_list_changed features.memories features.memory_tool features.model_catalog_in_context
features.multi_agent_mode features.multi_agent_v2 features.multi_agent_v2_dynamic_tools features.multi_env_copy_file
features.multi_environment_mcp features.non_prefixed_mcp_tool_names features.nonfatal_clock_read_errors
features.omit_app_server_notification_media features.omit_skill_descriptions features.output_token_replay
features.per_environment_context features.plugin_discovery_prefetch features.plugin_hooks
features.powershell_shell_version features.prefer_mxc features.psp features.remote_compaction_v2 features.remote_control
features.remote_plugin features.request_permissions features.resize_all_images
features.responses_websocket_response_processed features.restored_history_prewarm
features.retain_client_developer_messages features.retain_client_tool_outputs features.rollout_budget
features.runtime_agent_instances features.runtime_metrics features.secret_auth_storage features.send_async_message
features.send_message_to_user_async features.shell_snapshot_v2 features.shell_zsh_fork features.simplified_selection_hints
features.skill_catalog_deltas features.skill_env_var_dependency_prompt features.skill_search
features.skip_host_skill_discovery features.sleep_tool features.stable_environment_tools
features.standalone_web_search features.step_model_switching features.subagent_default_context_limits
features.subagent_thread_environments features.suppress_model_change_announcements features.telepathy
features.terminal_visualization_instructions features.token_budget features.tool_search_always_defer_mcp_tools
features.transcript_v2 features.ultrafast_mode features.unified_exec_tty features.unified_exec_zsh_fork
features.unified_image_budget features.untrusted_as_tool_output features.use_agent_identity features.use_xaa
features.utc_environment_date features.wake_on_agent_messages
"""

STRICT: Final = frozenset(
    ("sandbox_workspace_write", "permissions.*", "shell_environment_policy", "tools.web_search", "model_providers.*")
)
"""Tables of permissions and notifications. An unknown key in them is refused, as it may be a restriction."""

SCOPED: Final = ("model_providers", "permissions")
"""Tables of named tables, of which a thread uses some. What is refused in one refuses threads that use it."""

KEYS: Final[Mapping[str, Standing]] = {
    **dict.fromkeys(_SERVED.split(), Standing.SERVED),
    **dict.fromkeys((f"mcp_servers.*.{key}" for key in MCP_KEYS), Standing.SERVED),
    **dict.fromkeys((f"mcp_servers.*.oauth.{key}" for key in OAUTH_KEYS), Standing.SERVED),
    **dict.fromkeys(_REFUSED.split(), Standing.REFUSED),
    **dict.fromkeys(_OWN.split(), Standing.OWN),
    **dict.fromkeys(_UNSERVED.split(), Standing.UNSERVED),
}
"""All known keys."""

Judged: TypeAlias = tuple[tuple[str, ...], Standing]


@define
class _Node:
    standing: Standing | None = None
    strict: bool = False
    below: dict[str, _Node] = field(factory=lambda: dict[str, _Node]())

    def at(self, dotted: str) -> _Node:
        node = self
        for part in dotted.split("."):
            node = node.below.setdefault(part, _Node())
        return node


@cache
def _tree() -> _Node:
    root = _Node()
    for dotted, standing in KEYS.items():
        root.at(dotted).standing = standing
    for dotted in STRICT:
        root.at(dotted).strict = True
    root.at("profiles.*").below = root.below
    return root


def misspelt(keys: tuple[str, ...]) -> str | None:
    """For a key without an entry: what to say of its spelling, "" if no key of its table is near. None for a known key."""
    node: _Node | None = _tree()
    table = node
    for key in keys:
        table = node
        node = None if node is None else node.below.get(key) or node.below.get("*")
    if node is not None or table is None:
        return None
    from difflib import get_close_matches

    near = get_close_matches(keys[-1], [name for name in table.below if name != "*"], 1)
    return f" Did you mean `{near[0]}`?" if near else ""


def judged(table: Mapping[str, object]) -> Iterator[Judged]:
    """The keys of a configuration that are not served, from the top, each with its treatment."""
    return _judged(table, _tree(), ())


def _judged(table: Mapping[str, object], node: _Node, at: tuple[str, ...]) -> Iterator[Judged]:
    for key in table:
        value: object = table[key]
        keys = (*at, key)
        members = cast("dict[str, object]", value) if isinstance(value, dict) else None
        found = node.below.get(key) or (None if members is None else node.below.get("*"))
        if found is None:
            yield keys, Standing.REFUSED if node.strict else Standing.UNKNOWN
        elif found.below and members is not None:
            yield from _judged(members, found, keys)
        elif found.standing in (Standing.REFUSED, Standing.UNSERVED) and _asks(table[key], found.standing):
            yield keys, found.standing


def _asks(value: object, standing: Standing) -> bool:
    """Whether a value asks for something: false and empty values do not, nor does "none" where nothing is restricted."""
    if isinstance(value, dict) and cast("dict[str, object]", value).get("enabled") is False:
        return False
    return value not in (None, False, "", [], {}) and (standing is Standing.REFUSED or value != "none")
