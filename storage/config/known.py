"""The types of the known keys.

The names are those of Codex's config.toml; `OWN` has Spindle's own keys.
"""

from collections.abc import Mapping
from typing import Final, TypeAlias

# A type, or the valid strings.
Kind: TypeAlias = type | tuple[str, ...]

_EFFORT: Final = ("none", "minimal", "low", "medium", "high", "xhigh", "max", "ultra")

PROFILE: Final[Mapping[str, Kind]] = {
    "model": str,
    "model_provider": str,
    "sandbox_mode": ("read-only", "workspace-write", "danger-full-access"),
    "approvals_reviewer": ("user", "auto_review", "guardian_subagent"),
    "service_tier": str,
    "model_reasoning_effort": _EFFORT,
    "model_reasoning_summary": ("auto", "concise", "detailed", "none"),
    "model_verbosity": ("low", "medium", "high"),
    "web_search": ("disabled", "cached", "live"),
    "personality": ("none", "friendly", "pragmatic"),
    "chatgpt_base_url": str,
    "model_instructions_file": str,
    "experimental_compact_prompt_file": str,
    "include_permissions_instructions": bool,
    "include_collaboration_mode_instructions": bool,
    "include_environment_context": bool,
    "features": dict,
    "tools": dict,
}

OWN: Final[Mapping[str, Kind]] = {
    "thread_unload_delay_secs": int,
    "shared_daemon_idle_secs": int,
    "on_unsubscribe": ("finish", "interrupt"),
    "durability": ("turn", "item", "os"),
    "offline_script": str,
}

TOP: Final[Mapping[str, Kind]] = {
    **PROFILE,
    **OWN,
    "review_model": str,
    "model_context_window": int,
    "model_auto_compact_token_limit": int,
    "model_catalog_json": str,
    "model_supports_reasoning_summaries": bool,
    "sandbox_workspace_write": dict,
    "sandbox_workspace_write.writable_roots": list,
    "sandbox_workspace_write.network_access": bool,
    "sandbox_workspace_write.exclude_tmpdir_env_var": bool,
    "sandbox_workspace_write.exclude_slash_tmp": bool,
    "forced_chatgpt_workspace_id": str,
    "forced_login_method": ("chatgpt", "api"),
    "profile": str,
    "profiles": dict,
    "instructions": str,
    "developer_instructions": str,
    "compact_prompt": str,
    "analytics": dict,
    "auto_review": dict,
    "auto_review.policy": str,
    "agents": dict,
    "agents.enabled": bool,
    "agents.max_threads": int,
    "agents.max_concurrent_threads_per_session": int,
    "agents.max_depth": int,
    "apps": dict,
    "allow_login_shell": bool,
    "mcp_oauth_callback_port": int,
    "mcp_oauth_callback_url": str,
    "mcp_oauth_credentials_store": ("auto", "file", "keyring"),
    "mcp_optional_startup_grace_ms": int,
    "mcp_servers": dict,
    "model_providers": dict,
    "notify": list,
    "openai_base_url": str,
    "project_doc_fallback_filenames": list,
    "project_doc_max_bytes": int,
    "project_root_markers": list,
    "projects": dict,
    "shell_environment_policy": dict,
    "skills": dict,
    "tool_output_token_limit": int,
    "tools.web_search.allowed_domains": list,
    "tools.web_search.context_size": ("low", "medium", "high"),
    "tools.web_search.location": dict,
}

MODEL: Final[Mapping[str, Kind]] = {
    "slug": str,
    "display_name": str,
    "description": str,
    "context_window": int,
    "max_context_window": int,
    "effective_context_window_percent": int,
    "auto_compact_token_limit": int,
    "supports_reasoning_summaries": bool,
    "supported_reasoning_levels": list,
    "default_reasoning_level": str,
    "default_reasoning_summary": str,
    "support_verbosity": bool,
    "default_verbosity": str,
    "supports_parallel_tool_calls": bool,
    "visibility": str,
    "supported_in_api": bool,
    "priority": int,
    "additional_speed_tiers": list,
    "input_modalities": list,
    "apply_patch_tool_type": ("freeform", "function"),
    "shell_type": ("default", "local", "unified_exec", "disabled", "shell_command"),
    "truncation_policy": dict,
    "truncation_policy.mode": ("bytes", "tokens"),
    "truncation_policy.limit": int,
    "base_instructions": str,
}
"""The members that are read of an entry of `model_catalog_json`."""

PROVIDER: Final[Mapping[str, Kind]] = {
    "name": str,
    "base_url": str,
    "env_key": str,
    "env_key_instructions": str,
    "experimental_bearer_token": str,
    "wire_api": str,
    "query_params": dict,
    "http_headers": dict,
    "env_http_headers": dict,
    "request_max_retries": int,
    "stream_max_retries": int,
    "stream_idle_timeout_ms": int,
    "requires_openai_auth": bool,
    "lists_models": bool,
    "auth": dict,
    "auth.command": str,
    "auth.args": list,
    "auth.timeout_ms": int,
    "auth.refresh_interval_ms": int,
    "auth.cwd": str,
}

AGENT_ROLE: Final[Mapping[str, Kind]] = {"description": str, "config_file": str, "nickname_candidates": list}
