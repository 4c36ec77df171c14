"""From policies, profiles and grants to the table of paths."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from attrs import evolve

from spindle.actors.tools.sandbox import confinement as confinements
from spindle.actors.tools.sandbox.confinement import MINIMAL, AccessRule, Confinement, Grants, Place, of_policy
from spindle.actors.tools.sandbox.profile import ProfileError, of_profile, read
from spindle.actors.tools.sandbox.protection import METADATA, metadata_of
from spindle.rpc.protocol.settings import (
    DangerFullAccessPolicy,
    ExternalSandboxPolicy,
    ReadOnlyPolicy,
    RestrictedReadAccess,
    WorkspaceWritePolicy,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tests.actors.tools.sandbox.conftest import World

    from spindle.rpc.protocol.shapes import JsonObject


def confined(confinement: Confinement | None) -> Confinement:
    assert confinement is not None
    return confinement


def entry(access: str, **path: object) -> dict[str, object]:
    return {"path": path, "access": access}


def profile(*entries: dict[str, object], network: bool | None = None, **more: object) -> JsonObject:
    return {"network": {"enabled": network}, "fileSystem": {"entries": list(entries), **more}}


ROOT = entry("read", type="special", value={"kind": "root"})
CWD = entry("write", type="special", value={"kind": "current_working_directory"})


def of_home(world: World) -> tuple[AccessRule, ...]:
    """The home with its folders, and nothing else."""
    folders = [AccessRule(f"{world.home}/{name}", "read") for name in ("rules", "sessions", "spindle")]
    return (AccessRule(str(world.home), "none"), *folders)


def test_full_access_and_an_external_sandbox_have_no_confinement(world: World) -> None:
    assert of_policy(DangerFullAccessPolicy(), world.place) is None
    assert of_policy(ExternalSandboxPolicy(), world.place) is None


def test_read_only_reads_everything_and_writes_nothing(world: World) -> None:
    assert of_policy(ReadOnlyPolicy(), world.place) == Confinement((AccessRule("/", "read"), *of_home(world)), network=False)
    assert confined(of_policy(ReadOnlyPolicy(network_access=True), world.place)).network


def test_a_workspace_is_writable_except_its_metadata(world: World) -> None:
    found = confined(of_policy(world.policy(), world.place))
    ws = str(world.ws)
    assert found.rules == (
        AccessRule("/", "read"),
        of_home(world)[0],
        AccessRule(ws, "write"),
        *of_home(world)[1:],
        *(AccessRule(f"{ws}/{name}", "read") for name in (".agents", ".codex", ".git")),
    )
    assert found.protected == (f"{ws}/.agents", f"{ws}/.codex", f"{ws}/.git")
    assert found.access(f"{ws}/.git/hooks/x") == "read"
    assert found.access(f"{ws}/.github") == "write"


def test_temporary_folders_are_writable_unless_excluded(world: World) -> None:
    place = evolve(world.place, tmpdir=str(world.out))
    every = confined(of_policy(WorkspaceWritePolicy(), place))
    assert (every.access(os.path.realpath("/tmp/x")), every.access(str(world.out))) == ("write", "write")
    none = confined(of_policy(world.policy(), place))
    assert (none.access(os.path.realpath("/tmp/x")), none.access(str(world.out))) == ("read", "read")


def test_roots_are_real_paths_and_missing_ones_are_left_out(world: World) -> None:
    (world.root / "link").symlink_to(world.out)
    found = confined(of_policy(world.policy(world.root / "link", world.root / "missing"), world.place))
    assert AccessRule(str(world.out), "write") in found.rules
    assert not any("link" in rule.path or "missing" in rule.path for rule in found.rules)


def test_a_root_behind_a_link_that_a_command_may_replace_is_left_out(world: World) -> None:
    """Otherwise `ln -sfn / link` in one command would make everything writable for the next."""
    (world.ws / "link").symlink_to(world.out)
    (world.root / "hop").symlink_to("ws/link/../out")
    for root in ("ws/link", "hop"):
        found = confined(of_policy(world.policy(world.root / root), world.place))
        assert found.access(str(world.out)) == "read"
    (world.root / "firm").symlink_to("out")
    found = confined(of_policy(world.policy(world.root / "firm", world.root / "hop"), world.place))
    assert found.access(str(world.out)) == "write"


def test_a_link_to_itself_is_left_out(world: World) -> None:
    (world.root / "loop").symlink_to("loop")
    found = confined(of_policy(world.policy(world.root / "loop"), world.place))
    assert found == of_policy(world.policy(), world.place)


def test_restricted_reading_allows_the_roots_and_what_programs_need(world: World) -> None:
    policy = ReadOnlyPolicy(RestrictedReadAccess(True, [str(world.out)]))
    found = confined(of_policy(policy, world.place))
    assert found.access(str(world.home / "auth.json")) == "none"
    assert {found.access(os.path.realpath(p)) for p in (*MINIMAL, world.out, world.ws) if os.path.exists(p)} == {"read"}
    bare = confined(of_policy(ReadOnlyPolicy(RestrictedReadAccess(False)), world.place))
    assert bare.rules == (AccessRule("/", "none"), AccessRule(str(world.ws), "read"))


def test_the_folders_between_a_root_and_what_is_protected_are_pinned(world: World) -> None:
    deep = world.out / "a/b"
    (deep / ".git").mkdir(parents=True)
    found = confined(of_policy(world.policy(world.out, deep), world.place))
    assert found.pinned == (str(world.out / "a"),)
    assert confined(of_policy(world.policy(), world.place)).pinned == ()


def test_grants_add_to_a_policy(world: World) -> None:
    granted = Grants({str(world.out): "write"}, network=True)
    found = confined(of_policy(ReadOnlyPolicy(), world.place, granted))
    assert (found.access(str(world.out)), found.network) == ("write", True)
    assert AccessRule(str(world.out / ".git"), "read") in found.rules


@pytest.mark.parametrize("name", ["", "rules", "config.toml", "sessions"])
def test_the_homes_own_files_cannot_be_granted(world: World, name: str) -> None:
    granted = Grants({str(world.home / name): "write"}, network=False)
    found = confined(of_policy(ReadOnlyPolicy(), world.place, granted))
    assert found.access(str(world.home / name)) == ("read" if name else "none")


def test_a_home_that_may_not_be_read_stays_so(world: World) -> None:
    found = confined(of_profile(profile(CWD), world.place))
    assert found.access(str(world.home / "auth.json")) == "none"


def test_a_workspace_inside_the_home_is_writable(world: World) -> None:
    tree = world.home / "worktrees/w"
    tree.mkdir(parents=True)
    found = confined(of_policy(world.policy(), Place(str(tree), str(world.home))))
    assert (found.access(str(tree / "x")), found.access(str(world.home / "config.toml"))) == ("write", "none")


def test_a_home_that_does_not_exist_yet_is_not_made(world: World) -> None:
    place = Place(str(world.ws), str(world.ws / "sub/a/home"))
    assert AccessRule(str(world.ws / "sub/a"), "read") in confined(of_policy(world.policy(), place)).rules


def test_a_profile_names_paths_by_kind(world: World) -> None:
    place = evolve(world.place, tmpdir=str(world.out))
    found = read(
        profile(
            ROOT,
            CWD,
            entry("write", type="special", value={"kind": "project_roots", "subpath": "sub"}),
            entry("write", type="special", value={"kind": "tmpdir"}),
            entry("write", type="special", value={"kind": "slash_tmp"}),
            entry("write", type="special", value={"kind": "unknown", "path": ":new", "subpath": None}),
            entry("none", type="path", path=str(world.home)),
            network=True,
        ),
        place,
    )
    assert found == Grants(
        {
            "/": "read",
            str(world.ws): "write",
            f"{world.ws}/sub": "write",
            str(world.out): "write",
            "/tmp": "write",
            str(world.home): "none",
        },
        network=True,
    )


def test_a_grant_lists_folders(world: World) -> None:
    granted = read({"network": {"enabled": True}, "fileSystem": {"read": ["/a"], "write": ["/b", "/a"]}}, world.place)
    assert granted == Grants({"/a": "write", "/b": "write"}, network=True)
    assert read({"network": None, "fileSystem": None}, world.place) == Grants({}, network=False)


def test_none_overrides_write_and_a_deeper_entry_a_shallower_one(world: World) -> None:
    found = confined(
        of_profile(
            profile(
                ROOT,
                CWD,
                entry("none", type="path", path=f"{world.ws}/sub"),
                entry("write", type="path", path=f"{world.ws}/sub"),
                entry("read", type="path", path=f"{world.ws}/file"),
                entry("write", type="path", path=f"{world.ws}/.git"),
            ),
            world.place,
        )
    )
    seen = {name: found.access(f"{world.ws}/{name}") for name in ("x", "sub/x", "file", ".git/hooks", ".codex/x")}
    assert seen == {"x": "write", "sub/x": "none", "file": "read", ".git/hooks": "write", ".codex/x": "read"}


def test_a_profile_of_everything_has_no_confinement(world: World) -> None:
    everything = entry("write", type="special", value={"kind": "root"})
    assert of_profile(profile(everything, network=True), world.place) is None
    for less in (
        entry("none", type="glob_pattern", pattern="**/not made yet"),
        entry("none", type="special", value={"kind": "project_roots", "subpath": "not made yet"}),
        entry("none", type="special", value={"kind": "of a later version"}),
        entry("read", type="special", value={"kind": "tmpdir"}),
    ):
        assert of_profile(profile(everything, less, network=True), world.place) is not None
    offline = confined(of_profile(profile(everything), world.place))
    assert (offline.access("/etc"), offline.network) == ("write", False)
    assert offline.access(str(world.home / "config.toml")) == "none"
    assert offline.access(str(world.home / "rules/r")) == "read"


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("**/.env", {".env", "sub/.env", "sub/deep/.env"}),
        ("*.key", {"a.key"}),
        ("sub/*", {"sub/.env", "sub/b.key", "sub/deep"}),
        ("sub/?.key", {"sub/b.key"}),
        ("**/[!a].key", {"sub/b.key"}),
        ("sub/**", {"sub/.env", "sub/b.key", "sub/deep"}),
        ("none*", set()),
    ],
)
def test_a_pattern_hides_what_it_matches(world: World, pattern: str, found: set[str]) -> None:
    (world.ws / "sub/deep").mkdir()
    for name in (".env", "a.key", "sub/.env", "sub/b.key", "sub/deep/.env"):
        (world.ws / name).touch()
    hidden = read(profile(entry("none", type="glob_pattern", pattern=pattern)), world.place).entries
    assert hidden == {f"{world.ws}/{name}": "none" for name in found}


@pytest.mark.parametrize("name", ["enter.py", "seccomp.py"])
def test_the_code_that_confines_the_next_command_cannot_be_granted(
    world: World, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (world.ws / "sandbox").mkdir()
    (world.ws / "sandbox" / name).touch()
    monkeypatch.setattr(confinements, "__file__", str(world.ws / "sandbox/confinement.py"))
    granted = Grants({str(world.ws / "sandbox" / name): "write"}, network=False)
    found = confined(of_policy(world.policy(), world.place, granted))
    assert found.access(str(world.ws / "sandbox" / name)) == "read"
    assert str(world.ws / "sandbox") in found.sealed


def test_a_pattern_is_searched_to_the_depth_of_the_profile(world: World) -> None:
    (world.ws / ".env").touch()
    (world.ws / "sub/.env").touch()
    pattern = entry("none", type="glob_pattern", pattern=f"{world.ws}/**/.env")
    assert set(read(profile(pattern, globScanMaxDepth=1), world.place).entries) == {f"{world.ws}/.env"}


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (profile(entry("write", type="glob_pattern", pattern="*")), "must have the access none"),
        (profile(entry("write", type="path", path="relative")), "not absolute"),
        (profile(entry("all", type="path", path="/x")), "unknown file system access"),
        (profile(entry("read", type="url", url="x")), "unknown kind of file system path"),
        ({"fileSystem": {"entries": 3}}, "not a list"),
        ({"network": []}, "not an object"),
    ],
)
def test_a_broken_profile_is_refused(world: World, broken: JsonObject, message: str) -> None:
    with pytest.raises(ProfileError, match=message):
        of_profile(broken, world.place)


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_an_invalid_git_file_is_ignored(tmp_path: Path, kind: str) -> None:
    if kind == "pipe":
        os.mkfifo(tmp_path / ".git")
    else:
        (tmp_path / ".git").symlink_to("/dev/zero")
    assert metadata_of(str(tmp_path)) == [str(tmp_path / name) for name in METADATA]
