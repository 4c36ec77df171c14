"""What `config/read` shows besides the settings: null for keys that are not set, and the defaults of tables that are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

_TOP: Final = """
model review_model model_context_window model_auto_compact_token_limit model_auto_compact_token_limit_scope
model_provider approval_policy approvals_reviewer sandbox_mode sandbox_workspace_write forced_chatgpt_workspace_id
forced_login_method web_search client_search_provider tools profile profiles instructions developer_instructions
compact_prompt model_reasoning_effort model_reasoning_summary model_verbosity service_tier analytics apps agents
allow_login_shell allow_symlinked_codex_home apps_mcp_product_sku audio auto_review background_terminal_max_timeout
browser_use chatgpt_base_url check_for_update_on_startup cli_auth_credentials_store cloud code_mode commit_attribution
computer_use daybreak default_permissions desktop disable_paste_burst experimental_compact_prompt_file
experimental_instructions_file experimental_realtime_start_instructions experimental_realtime_webrtc_call_base_url
experimental_realtime_ws_backend_prompt experimental_realtime_ws_base_url experimental_realtime_ws_model
experimental_realtime_ws_startup_context experimental_thread_store experimental_thread_store_endpoint
experimental_use_freeform_apply_patch experimental_use_unified_exec_tool features feedback file_opener ghost_snapshot
goals hide_agent_reasoning history hooks include_apps_instructions include_collaboration_mode_instructions
include_environment_context include_permissions_instructions js_repl_node_module_dirs js_repl_node_path log_dir
marketplaces mcp_enterprise_managed_auth mcp_oauth_callback_port mcp_oauth_callback_url mcp_oauth_credentials_store
mcp_optional_startup_grace_ms mcp_servers memories model_catalog_json model_instructions_file
model_post_turn_compact_threshold_percent model_providers model_supports_reasoning_summaries notice notify
openai_base_url orchestrator oss_provider otel permissions personality plan_mode_reasoning_effort plugins
project_doc_fallback_filenames project_doc_max_bytes project_root_markers projects realtime responses
responses_api_metadata rollout_trace shell_environment_policy show_raw_agent_reasoning skills sqlite_home
suppress_unstable_features_warning thread_unload_delay_secs tool_output_token_limit tool_suggest tui windows
windows_wsl_setup_acknowledged zsh_path
"""
"""Keys that are shown as null when they are not set."""

ALWAYS: Final = (
    "profiles", "marketplaces", "plugins", "mcp_servers", "model_providers", "features", "shell_environment_policy",
)  # fmt: skip
"""Tables that are shown even if they are empty, because clients read their members."""

_PROFILE: Final = (
    "model model_provider approval_policy approvals_reviewer service_tier model_reasoning_effort model_reasoning_summary "
    "model_verbosity web_search tools chatgpt_base_url sandbox_mode personality features model_instructions_file "
    "model_catalog_json plan_mode_reasoning_effort experimental_compact_prompt_file include_permissions_instructions "
    "include_environment_context include_apps_instructions oss_provider analytics"
)
_PROVIDER: Final = (
    "name base_url model_catalog_url env_key env_key_instructions experimental_bearer_token auth gateway_oauth aws "
    "project_id location credential_file capabilities query_params http_headers env_http_headers request_max_retries "
    "stream_max_retries stream_idle_timeout_ms websocket_connect_timeout_ms"
)
_OTEL: Final = (
    "environment exporter trace_exporter metrics_exporter log_user_prompt log_agent_responses log_sse_deltas "
    "log_guardian_assessments tool_result span_attributes tracestate headers_helper headers_helper_refresh_interval_ms"
)


def _null(names: str, **others: object) -> Mapping[str, object]:
    return {**dict.fromkeys(names.split()), **others}


_FILLED: Final[Sequence[tuple[str, Mapping[str, object]]]] = (
    (
        "sandbox_workspace_write",
        {"writable_roots": (), "network_access": False, "exclude_tmpdir_env_var": False, "exclude_slash_tmp": False},
    ),
    ("tools", _null("web_search view_image")),
    ("tools.web_search", _null("context_size allowed_domains location")),
    ("profiles.*", _null(_PROFILE)),
    ("model_providers.*", _null(
        _PROVIDER, wire_api="responses", requires_openai_auth=False, supports_websockets=False,
        supports_standalone_web_search=False,
    )),
    ("model_providers.*.auth", {"args": (), "timeout_ms": 5000, "refresh_interval_ms": 300_000}),
    ("mcp_servers.*", _null("tool_timeout_sec", enabled=True, environment_id="local")),
    ("permissions.*", _null("description extends workspace_roots filesystem network")),
    ("permissions.*.filesystem", _null("glob_scan_max_depth")),
    ("shell_environment_policy", _null(
        "inherit ignore_default_excludes exclude set include_only filters experimental_use_profile"
    )),
    ("analytics", _null("enabled")),
    ("feedback", _null("enabled")),
    ("history", _null("max_bytes", persistence="save-all")),
    ("audio", _null("microphone speaker")),
    ("windows", _null("sandbox")),
    ("otel", _null(_OTEL)),
    ("agents", _null("enabled max_threads max_depth job_max_runtime_seconds")),
    ("tool_suggest", {"discoverables": (), "disabled_tools": ()}),
    ("marketplaces.*", _null("last_updated last_revision ref sparse_paths", auto_update=False)),
)  # fmt: skip


def filled(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings, with all that is shown besides them. The tables that are filled are copies."""
    shown: dict[str, Any] = {**dict.fromkeys(_TOP.split()), **{key: {} for key in ALWAYS}, **config}
    search: object = shown["tools"] and shown["tools"].get("web_search")
    if isinstance(search, bool):  # formerly a boolean; clients expect a table or null
        shown["tools"] = {**shown["tools"], "web_search": None}
    for path, members in _FILLED:
        _fill(shown, path.split("."), members)
    for name, server in shown["mcp_servers"].items():
        if "command" in server and "args" not in server:
            shown["mcp_servers"][name] = {**server, "args": []}
    return shown


def _fill(table: dict[str, Any], path: Sequence[str], members: Mapping[str, object]) -> None:
    key, *rest = path
    for name in list(table) if key == "*" else [key]:
        value = table.get(name)
        if isinstance(value, dict):
            copy = table[name] = dict(cast("dict[str, Any]", value))
            if rest:
                _fill(copy, rest, members)
            else:
                copy |= {member: default for member, default in members.items() if member not in copy}
