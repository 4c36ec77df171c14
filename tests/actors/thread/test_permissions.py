"""Permission profiles say what sandbox policies say, and never grant more than they were given."""

import pytest

from spindle.actors.thread.permissions import policy_of, profile_of
from spindle.rpc.protocol.settings import (
    DangerFullAccessPolicy,
    ExternalSandboxPolicy,
    ReadOnlyPolicy,
    RestrictedReadAccess,
    WorkspaceWritePolicy,
)


@pytest.mark.parametrize(
    "policy",
    [
        DangerFullAccessPolicy(),
        ReadOnlyPolicy(),
        ReadOnlyPolicy(network_access=True),
        ReadOnlyPolicy(access=RestrictedReadAccess(include_platform_defaults=False, readable_roots=("/a",))),
        WorkspaceWritePolicy(),
        WorkspaceWritePolicy(writable_roots=("/a", "/b"), network_access=True, exclude_slash_tmp=True),
        WorkspaceWritePolicy(exclude_tmpdir_env_var=True),
    ],
)
def test_a_policy_comes_back_from_its_profile(policy):
    profile = profile_of(policy)
    assert profile is not None
    assert policy_of(profile) == policy


def test_another_programs_sandbox_has_no_profile():
    assert profile_of(ExternalSandboxPolicy()) is None


def entry(access, **path):
    return {"path": path, "access": access}


ROOT = {"type": "special", "value": {"kind": "root"}}


@pytest.mark.parametrize(
    ("network", "entries", "type"),
    [
        (True, [entry("write", **ROOT)], "dangerFullAccess"),
        (False, [entry("write", **ROOT)], "readOnly"),
        (True, [entry("write", **ROOT), entry("none", type="path", path="/secret")], "readOnly"),
        (True, [entry("write", type="path", path="/a")], "readOnly"),
        (True, [], "readOnly"),
    ],
)
def test_what_no_policy_can_say_is_not_granted(network, entries, type):
    policy = policy_of({"network": {"enabled": network}, "fileSystem": {"entries": entries}})
    assert policy.type == type


def test_nothing_given_is_nothing_granted():
    assert policy_of({}) == ReadOnlyPolicy(access=RestrictedReadAccess(False, ()))
