"""Workspace roots: folders besides the working directory that commands may write to."""

import pytest

from spindle.actors.settings.recorded import applied, as_context, follow_on, turn_context
from spindle.actors.settings.requests import changed, settings_for
from spindle.actors.settings.restrictions import MOST_ROOTS
from spindle.rpc.protocol.converter import structure
from spindle.rpc.protocol.errors import RpcError
from spindle.rpc.protocol.threads import ThreadStartParams
from spindle.rpc.protocol.turns import TurnStartParams
from spindle.storage.config import Config

CONFIG = Config(raw={}, merged={}, layers=[], cwd=None, trust=None)


def started(recorded=None, sandbox="workspace-write", **members):
    """The settings of a thread in /a."""
    given = {"cwd": "/a", **members} | ({} if sandbox is None else {"sandbox": sandbox})
    params = structure(given, ThreadStartParams)
    return settings_for(CONFIG, params, server_cwd="/", recorded=recorded)


def after(settings, **members):
    """The settings after a turn's overrides."""
    params = structure({"threadId": "t", "input": [], **members}, TurnStartParams)
    return changed(settings, params, CONFIG, "/")


def test_each_request_replaces_the_roots():
    settings = started(runtimeWorkspaceRoots=["/b", "/a/", "/x/../b"])
    assert (settings.roots, settings.sandbox.writable_roots) == (("/b",), ("/b",))
    settings = after(settings, runtimeWorkspaceRoots=["/a", "/c"])
    assert (settings.roots, settings.sandbox.writable_roots) == (("/c",), ("/c",))
    assert after(settings) is settings
    assert after(settings, runtimeWorkspaceRoots=["/a"]).sandbox.writable_roots == ()


def test_roots_are_kept_beside_those_of_a_policy():
    settings = started(runtimeWorkspaceRoots=["/a", "/b"])
    policy = {"type": "workspaceWrite", "writableRoots": ["/b", "/c"]}
    settings = after(settings, sandboxPolicy=policy, runtimeWorkspaceRoots=["/a", "/d"])
    assert settings.sandbox.writable_roots == ("/b", "/c", "/d")
    settings = after(settings, sandboxPolicy={"type": "readOnly"})
    assert after(settings, sandboxPolicy={"type": "workspaceWrite"}).sandbox.writable_roots == ("/d",)


def test_a_resumed_thread_has_its_roots():
    settings = started(runtimeWorkspaceRoots=["/a", "/b"])
    recorded = turn_context(settings, "t", "", "")
    resumed = started(recorded, sandbox=None)
    assert (resumed.roots, resumed.sandbox) == (settings.roots, settings.sandbox)
    assert started(recorded, sandbox=None, runtimeWorkspaceRoots=["/a"]).sandbox.writable_roots == ()
    assert "more_workspace_roots" not in turn_context(started(), "t", "", "")


def test_a_newer_policy_ends_the_recorded_roots():
    older = turn_context(started(runtimeWorkspaceRoots=["/a", "/b"]), "t", "", "")
    _, line = applied(started(), "t")
    resumed = started(follow_on(older, as_context(line["thread_settings"])), sandbox=None)
    assert (resumed.roots, resumed.sandbox.writable_roots) == ((), ())


@pytest.mark.parametrize("roots", [[], ["/b"], ["/a", *map("/{}".format, range(MOST_ROOTS))]])
def test_roots_that_are_refused(roots):
    with pytest.raises(RpcError, match="runtimeWorkspaceRoots"):
        started(runtimeWorkspaceRoots=roots)
    assert started(runtimeWorkspaceRoots=roots, sandbox="read-only").roots == ()


def test_the_roots_of_a_profile_cannot_be_changed():
    with pytest.raises(RpcError, match="other than the working directory are not supported"):
        after(
            started(),
            runtimeWorkspaceRoots=["/a", "/b"],
            permissionProfile={
                "fileSystem": {"entries": [{"path": {"type": "path", "path": "/x"}, "access": "none"}]},
                "network": {"enabled": False},
            },
        )
