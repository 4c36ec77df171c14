"""Permission profiles and sandbox policies: a conversion never grants more."""

from typing import Any, cast

import pytest

from spindle.actors.settings.permissions import policy_of, profile_of
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
BELOW = {"type": "special", "value": {"kind": "project_roots", "subpath": "sub"}}


@pytest.mark.parametrize(
    ("network", "entries", "type"),
    [
        (True, [entry("write", **ROOT)], "dangerFullAccess"),
        (False, [entry("write", **ROOT)], "readOnly"),
        (True, [entry("write", **ROOT), entry("none", type="path", path="/secret")], "readOnly"),
        (True, [entry("write", **ROOT), entry("none", type="glob_pattern", pattern="**/.env")], "readOnly"),
        (True, [entry("write", **ROOT), entry("none", **BELOW)], "readOnly"),
        (True, [entry("write", **ROOT), entry("read", **BELOW)], "readOnly"),
        (True, [entry("write", **ROOT), entry("none", type="special", value={"kind": "later"})], "readOnly"),
        (True, [entry("write", type="path", path="/a")], "readOnly"),
        (True, [], "readOnly"),
    ],
)
def test_a_policy_never_grants_more_than_its_profile(network, entries, type):
    policy = policy_of({"network": {"enabled": network}, "fileSystem": {"entries": entries}})
    assert policy.type == type


@pytest.mark.parametrize(
    "hidden",
    [
        entry("none", type="glob_pattern", pattern="**/.env"),
        entry("none", **BELOW),
        entry("none", type="path", path="/secret"),
    ],
    ids=["pattern", "subpath", "path"],
)
@pytest.mark.parametrize("writes", [True, False])
def test_a_profile_that_hides_a_path_does_not_read_everything(hidden, writes):
    working = [entry("write", type="special", value={"kind": "current_working_directory"})] if writes else []
    policy = policy_of({"fileSystem": {"entries": [entry("read", **ROOT), *working, hidden]}})
    reading = RestrictedReadAccess(False, ("/",))
    if writes:
        assert isinstance(policy, WorkspaceWritePolicy)
        assert policy.read_only_access == reading
    else:
        assert policy == ReadOnlyPolicy(access=reading)


@pytest.mark.parametrize("kind", [ReadOnlyPolicy, WorkspaceWritePolicy])
def test_the_profile_of_a_policy_with_restricted_reading_does_not_read_everything(kind):
    name = "access" if kind is ReadOnlyPolicy else "read_only_access"
    profile = profile_of(kind(**{name: RestrictedReadAccess(True, ("/a",))}))
    entries = cast("Any", profile)["fileSystem"]["entries"]
    assert entry("read", type="path", path="/a") in entries
    assert entry("read", type="special", value={"kind": "minimal"}) in entries
    assert not [one for one in entries if one["path"] == ROOT]


def test_an_empty_profile_grants_nothing():
    assert policy_of({}) == ReadOnlyPolicy(access=RestrictedReadAccess(False, ()))
