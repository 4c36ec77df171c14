"""Settings that another version has recorded: configured ones replace unknown ones, and the client is warned."""

from typing import Any

import orjson
import pytest

from spindle.actors.settings.recorded import LONGEST, readable, warning
from spindle.rpc.protocol.settings import (
    DangerFullAccessPolicy,
    ReadOnlyPolicy,
    RestrictedReadAccess,
    WorkspaceWritePolicy,
)

CONFIG = [("approval_policy", "untrusted"), ("sandbox_mode", "read-only"), ("model_reasoning_effort", "low")]
DANGER = {"type": "danger-full-access"}
HIDDEN = {"path": {"type": "special", "value": {"kind": "root"}}, "access": "none"}


def files(*entries, kind="restricted"):
    return {"kind": kind, "entries": list(entries)}


ODD: tuple[Any, ...] = (5, {}, "\0")
APPROVALS: tuple[Any, ...] = ("later", 5, {"granular": {"x": 1}}, {"later": {}}, ["never"], {})
SANDBOXES: tuple[Any, ...] = ("danger-full-access", 5, {"type": "later"}, {})
MODELS: tuple[Any, ...] = (5, {"slug": "x"}, ["x"])
UNKNOWN: list[dict[str, Any]] = [
    *({"approval_policy": value} for value in APPROVALS),
    *({"sandbox_policy": value} for value in SANDBOXES),
    {"sandbox_policy": {"type": "workspace-write", "writable_roots": ["relative"]}},
    {"sandbox_policy": {"type": "workspace-write", "writable_roots": 5}},
    {"sandbox_policy": {"type": "workspace-write", "network_access": "no"}},
    {"sandbox_policy": {"type": "workspace-write", "read_only_access": {"type": "later"}}},
    {"sandbox_policy": {"type": "read-only", "access": {"type": "restricted", "readable_roots": ["relative"]}}},
    {"sandbox_policy": {"type": "read-only", "access": {"type": "later"}}},
    {"sandbox_policy": {"type": "external-sandbox", "network_access": "later"}},
    *({"model": value} for value in MODELS),
    *({name: value} for name in ("effort", "service_tier", "cwd", "developer_instructions") for value in ODD),
    *({name: value} for name in ("personality", "approvals_reviewer", "collaboration_mode") for value in ("later", 5)),
    {"collaboration_mode": {"mode": "later", "settings": {"model": "x"}}},
    {"collaboration_mode": {"mode": "plan", "settings": {"model": 5}}},
    # the two belong together: where one is unknown, neither is used
    *({"file_system_sandbox_policy": value, "sandbox_policy": DANGER} for value in (5, {"kind": "later"})),
    {"file_system_sandbox_policy": files(5), "sandbox_policy": DANGER},
    {"file_system_sandbox_policy": files({"path": {"type": "later"}, "access": "none"}), "sandbox_policy": DANGER},
    {"file_system_sandbox_policy": files({**HIDDEN, "access": "later"}), "sandbox_policy": DANGER},
    {
        "file_system_sandbox_policy": files({"path": {"type": "special", "value": {"kind": "later"}}, "access": "none"}),
        "sandbox_policy": DANGER,
    },
]
SETTINGS: list[dict[str, Any]] = [
    {"approval_policy": "later"},
    {"personality": "later"},
    {"profile": 5, "sandbox_policy": DANGER},
    {"permission_profile": {"type": "later"}},
    {"permission_profile": "danger"},
    {"permission_profile": {"type": "managed", "file_system": {"type": "restricted", "entries": [HIDDEN]}}},
    {"reasoning_effort": {"later": 1}},
]
"""The same, as the line for settings between turns names them."""


@pytest.mark.parametrize("context", UNKNOWN, ids=lambda context: orjson.dumps(context).decode())
def test_unknown_settings_are_left_out(context):
    known, bad = readable({"turn_id": "t", "summary": "auto"} | context)
    assert known == {"turn_id": "t", "summary": "auto"}
    assert set(bad) <= set(context)
    assert bad


def test_known_settings_are_kept():
    context = {
        "cwd": "/",
        "model": "m",
        "effort": "xhigh and beyond",
        "service_tier": "own",
        "personality": "friendly",
        "approval_policy": {
            "granular": {"sandbox_approval": True, "rules": True, "mcp_elicitations": False, "later": True}
        },
        "approvals_reviewer": "user",
        "collaboration_mode": {"mode": "plan", "settings": {"model": "m", "reasoning_effort": None}},
        "sandbox_policy": {"type": "workspace-write", "writable_roots": ["/w"], "network_access": True},
        "file_system_sandbox_policy": files(HIDDEN),
        "of a later version": {"kept": "as it is"},
    }
    assert readable(context) == (context, {})
    assert readable(dict.fromkeys(context)) == (dict.fromkeys(context), {})


def test_a_warning_is_cut_to_a_readable_length():
    assert warning({"model": ["x" * 10_000]}).endswith("x…")
    assert len(warning({"model": ["x" * 10_000]})) < LONGEST + 200


def rewrite(path, change):
    lines = [orjson.loads(line) for line in path.read_bytes().splitlines()]
    path.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in change(lines)))


async def warnings_of(thread):
    """The warnings up to the end of a turn."""
    async with thread.turn("on") as turn:
        events = [event async for event in turn]
    return [event.message for event in events if event.METHOD == "warning" and "Recorded" in event.message]


async def test_a_thread_with_unknown_settings_is_resumed_with_the_configured_ones(opened, tmp_path, caplog):
    async with opened(config=CONFIG) as runtime, runtime.start_thread(sandbox="danger-full-access") as thread:
        await thread.run("hi")
        recorded = (tmp_path / thread.info.thread.path).read_bytes()
    path = tmp_path / thread.info.thread.path
    turn_context = [{"file_system_sandbox_policy": None} | context for context in UNKNOWN]
    for kind, changes in [("turn_context", turn_context), ("settings", SETTINGS)]:
        for change in changes:

            def changed(lines, kind=kind, change=change):
                for line in lines:
                    if kind == "turn_context" == line["type"]:
                        line["payload"] |= change
                    yield line
                if kind == "settings":
                    kept = {"type": "thread_settings_applied", "thread_id": thread.id, "thread_settings": change}
                    yield {"timestamp": lines[-1]["timestamp"], "type": "event_msg", "payload": kept}

            path.write_bytes(recorded)
            rewrite(path, changed)
            async with opened(config=CONFIG) as runtime, runtime.resume_thread(thread.id) as resumed:
                [told] = await warnings_of(resumed)
                assert any(name in told for name in (*change, "effort", "sandbox_policy")), change
                info = resumed.info
                if "approval_policy" in change:
                    assert info.approval_policy == "untrusted", change
                if {"sandbox_policy", "permission_profile", "profile"} & {*change}:
                    assert info.sandbox == ReadOnlyPolicy(), change
                else:
                    assert info.sandbox == DangerFullAccessPolicy(), change
                assert info.reasoning_effort == "low"
                assert info.model == "gpt-5.4"
    assert not caplog.records


@pytest.mark.parametrize(
    "policy",
    [
        ReadOnlyPolicy(access=RestrictedReadAccess(False, ("/a",)), network_access=True),
        ReadOnlyPolicy(access=RestrictedReadAccess(True, ())),
        WorkspaceWritePolicy(read_only_access=RestrictedReadAccess(True, ("/a", "/b")), exclude_slash_tmp=True),
        WorkspaceWritePolicy(),
        ReadOnlyPolicy(),
    ],
)
async def test_the_readable_paths_of_a_policy_are_resumed(opened, policy):
    async with opened(config=CONFIG) as runtime, runtime.start_thread() as thread:
        await thread.run("hi", sandbox_policy=policy)
    async with opened(config=CONFIG) as runtime, runtime.resume_thread(thread.id) as resumed:
        assert resumed.info.sandbox == policy


async def test_a_provider_that_is_not_configured_any_more_is_warned_of(opened):
    gone = {"model_providers.gone.name": "Gone", "model_providers.gone.base_url": "http://127.0.0.1:1/v1"}
    providers = [*gone.items(), ("model_provider", "gone")]
    async with opened(config=providers) as runtime, runtime.start_thread() as thread:
        await thread.run("hi")
    async with opened() as runtime, runtime.resume_thread(thread.id) as resumed:
        assert resumed.info.model_provider == "openai"
        assert await warnings_of(resumed) == [warning({"model_provider": "gone"})]
    async with opened() as runtime, runtime.resume_thread(thread.id) as resumed:
        assert (await warnings_of(resumed)) == [warning({"model_provider": "gone"})]


async def test_a_thread_that_fails_to_load_changes_no_status(opened, witness, monkeypatch):
    async with opened() as runtime:
        async with runtime.start_thread() as thread:
            await thread.run("hi")
        seen = witness(runtime)

        def broken(*_):
            raise ZeroDivisionError("of an unexpected kind")

        monkeypatch.setattr("spindle.actors.thread.loading.loading.read_summary", broken)
        with pytest.raises(Exception, match=r"failed to load thread .*of an unexpected kind"):
            async with runtime.resume_thread(thread.id):
                pass
        monkeypatch.undo()
        assert runtime._backend.registry.directory.loaded() == []
        async with runtime.resume_thread(thread.id) as again:
            assert (await again.run("again")).text == "ok"
        assert "systemError" not in await seen.statuses()
