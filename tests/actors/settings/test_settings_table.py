"""The table of settings: what its rows name exists, and what is written of a setting is read back."""

from typing import Any

import pytest
from attrs import evolve, fields_dict

from spindle.actors.settings.recorded import applied, as_context, readable, turn_context
from spindle.actors.settings.requests import changed, settings_for
from spindle.actors.settings.settings import BOUNDS, FIELDS, OF_ROLE, Settings, shown
from spindle.rpc.protocol.settings import (
    CollaborationMode,
    CollaborationSettings,
    ReadOnlyPolicy,
    WorkspaceWritePolicy,
)
from spindle.rpc.protocol.shapes import ABSENT
from spindle.rpc.protocol.thread_settings import ThreadSettings, ThreadSettingsUpdateParams
from spindle.rpc.protocol.threads import ThreadResumeParams
from spindle.rpc.protocol.turns import TurnStartParams
from spindle.storage.config import Config

PROFILE = {
    "network": {"enabled": True},
    "fileSystem": {"entries": [{"path": {"type": "path", "path": "/x"}, "access": "none"}]},
}
SETTINGS = Settings(
    cwd="/w",
    model="m",
    model_provider="p",
    effort="high",
    summary="concise",
    service_tier="flex",
    base_instructions="b",
    developer_instructions="d",
    personality="friendly",
    approvals_reviewer="guardian_subagent",
    collaboration_mode=CollaborationMode("plan", CollaborationSettings("m", "high", "i")),
    approval_policy="never",
    sandbox=WorkspaceWritePolicy(writable_roots=("/r",), network_access=True),
    roots=("/r",),
    has_environment=False,
)
"""No value is a default."""

RESUMED = (
    "cwd",
    "model",
    "effort",
    "service_tier",
    "personality",
    "approvals_reviewer",
    "approval_policy",
    "roots",
    "has_environment",
)
CONFIG = Config(raw={}, merged={}, layers=[], cwd=None, trust=None)


def test_every_name_of_the_table_exists():
    for name, one in FIELDS.items():
        assert one.config is None or hasattr(CONFIG, one.config), name
        assert one.shown is None or one.shown in fields_dict(ThreadSettings), name
        if one.turn:
            assert name in fields_dict(TurnStartParams)
            assert name in fields_dict(ThreadSettingsUpdateParams)


def test_every_member_shown_to_clients_has_a_row():
    unset = {"disabled_plugin_ids", "active_permission_profile", "multi_agent_mode"}  # ours have none
    assert {*fields_dict(ThreadSettings)} - unset == {one.shown for one in FIELDS.values()} - {None}


def test_a_role_sets_nothing_that_bounds_what_an_agent_may_do():
    assert {"sandbox", "profile", "approval_policy", "cwd", "has_environment"} <= {*BOUNDS}
    assert not {*BOUNDS} & {*OF_ROLE}


MODE = {"mode": "plan", "settings": {"model": "m", "reasoning_effort": "high", "developer_instructions": "i"}}
SANDBOX = {
    "type": "workspace-write",
    "writable_roots": ["/r"],
    "network_access": True,
    "exclude_tmpdir_env_var": False,
    "exclude_slash_tmp": False,
}


def test_the_line_that_opens_a_turn_is_codex_s():
    assert turn_context(SETTINGS, "t", "2026-01-01", "UTC") == {
        "turn_id": "t",
        "cwd": "/w",
        "current_date": "2026-01-01",
        "timezone": "UTC",
        "approval_policy": "never",
        "sandbox_policy": SANDBOX,
        "model": "m",
        "personality": "friendly",
        "collaboration_mode": MODE,
        "realtime_active": False,
        "effort": "high",
        "summary": "concise",
        "more_workspace_roots": ["/r"],
        "environments": [],
        "developer_instructions": "d",
    }


def test_the_line_that_keeps_changed_settings_is_codex_s_with_the_policy_in_it():
    _, line = applied(SETTINGS, "thread")
    assert (line["type"], line["thread_id"]) == ("thread_settings_applied", "thread")
    assert line["thread_settings"].pop("permission_profile")["type"] == "managed"
    assert line["thread_settings"] == {
        "model": "m",
        "model_provider_id": "p",
        "service_tier": "flex",
        "approval_policy": "never",
        "approvals_reviewer": "guardian_subagent",
        "sandbox_policy": SANDBOX,
        "cwd": "/w",
        "more_workspace_roots": ["/r"],
        "environments": [],
        "reasoning_effort": "high",
        "reasoning_summary": "concise",
        "personality": "friendly",
        "collaboration_mode": MODE,
    }


@pytest.mark.parametrize("name", [name for name, one in FIELDS.items() if one.context and one.read and not one.foreign])
def test_what_a_turn_writes_is_read_as_it_was(name):
    context = turn_context(SETTINGS, "t", "2026-01-01", "UTC")
    assert readable(context) == (context, {})
    one = FIELDS[name]
    assert one.read is not None
    assert one.context is not None
    assert one.read(context[one.context]) == getattr(SETTINGS, name)


def test_both_lines_keep_the_same():
    context = turn_context(SETTINGS, "t", "2026-01-01", "UTC")
    kept = as_context(applied(SETTINGS, "thread")[1]["thread_settings"])
    own = {"turn_id", "current_date", "timezone", "realtime_active", "developer_instructions"}
    foreign = {one.context for one in FIELDS.values() if one.foreign and one.context is not None}
    assert {key: value for key, value in kept.items() if key not in foreign} == {
        key: value for key, value in context.items() if key not in own
    }
    assert {key: kept[key] for key in foreign} == {"service_tier": "flex", "approvals_reviewer": "guardian_subagent"}


@pytest.mark.parametrize("settings", [SETTINGS, evolve(SETTINGS, sandbox=ReadOnlyPolicy(), profile=PROFILE)])
def test_a_resume_takes_the_recorded_settings(settings):
    context, _ = readable(as_context(applied(settings, "thread")[1]["thread_settings"]))
    resumed = settings_for(CONFIG, ThreadResumeParams(thread_id="t"), server_cwd="/s", recorded=context)
    for name in RESUMED:
        assert getattr(resumed, name) == getattr(settings, name), name
    assert resumed.profile == settings.profile
    assert (resumed.sandbox == settings.sandbox) is (settings.profile is None)


def test_a_request_between_turns_changes_each_setting_that_it_may_and_no_other():
    new: dict[str, Any] = {
        "model": "n",
        "effort": "low",
        "summary": "none",
        "personality": "pragmatic",
        "approvals_reviewer": "user",
        "approval_policy": "untrusted",
    }
    assert {*new, "collaboration_mode"} == {name for name, one in FIELDS.items() if one.turn}
    params = TurnStartParams(thread_id="t", input=(), service_tier=ABSENT, **new)
    after = changed(SETTINGS, params, CONFIG, "/s")
    kept = {name for name in FIELDS if getattr(after, name) == getattr(SETTINGS, name)}
    assert {name: getattr(after, name) for name in new} == new
    assert kept == {*FIELDS} - {*new, "collaboration_mode"}
    mode: Any = after.collaboration_mode
    assert mode.settings.model == "n"  # it has the model and the effort in it
    assert shown(after).approval_policy == "untrusted"
