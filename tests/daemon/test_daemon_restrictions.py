"""A restriction that a client asks for holds: the command that it forbids does not run."""

from __future__ import annotations

import itertools
import json
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from benchmarks.driving import completed, created, message_done

from .model import calls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from .client import Client
    from .model import Endpoint, Script
    from .process import Daemon

UNCONFINED = {"sandbox": "danger-full-access", "approvalPolicy": "never"}
READ_ONLY = ":read-only"
FORBIDDING: list[dict[str, Any]] = [{"permissions": READ_ONLY}, {"environments": []}]


def by_turns(*wanted: tuple[str, dict[str, Any]]) -> Script:
    """A script that makes these calls, and answers when it gets their outputs."""
    done = [created(), message_done("ok"), completed()]
    answers: Iterator[Script] = itertools.cycle([partial(calls, *wanted), lambda: [done]])
    return lambda: next(answers)()


@pytest.fixture
def client(daemon: Daemon) -> Client:
    return daemon.client(experimentalApi=True)


@pytest.fixture
def target(endpoint: Endpoint, tmp_path: Path) -> Path:
    """The file that the commands of a turn with the text "touch" create."""
    path = tmp_path / "made"
    endpoint.scripts["touch"] = by_turns(
        ("exec_command", {"cmd": f"touch {path}", "login": False}),
        ("shell", {"command": ["touch", str(path)]}),
        ("shell_command", {"command": f"touch {path}", "login": False}),
        ("apply_patch", {"input": f"*** Begin Patch\n*** Add File: {path}\n+x\n*** End Patch"}),
        ("write_stdin", {"session_id": 1}),
        ("view_image", {"path": str(path)}),
    )
    return path


def touch(client: Client, thread: str, **more: Any) -> None:
    since = client.now
    params = {"threadId": thread, "input": [{"type": "text", "text": "touch"}], **more}
    turn = client.call("turn/start", **params)["turn"]["id"]
    assert client.wait_for("turn/completed", thread, turn, since)["turn"]["status"] == "completed"


def answers(endpoint: Endpoint) -> list[str]:
    """The outputs of the calls in the last request."""
    return [str(item["output"]) for item in endpoint.requests.entries[-1]["input"] if item["type"].endswith("_output")]


def test_without_a_restriction_the_file_is_made(client: Client, target: Path) -> None:
    touch(client, client.start_thread(**UNCONFINED)["id"])
    assert target.exists()


@pytest.mark.parametrize("asked", FORBIDDING, ids=json.dumps)
def test_a_thread_starts_with_it(client: Client, target: Path, asked: dict[str, Any]) -> None:
    thread = client.start_thread(approvalPolicy="never", config={"sandbox_mode": "danger-full-access"}, **asked)["id"]
    touch(client, thread)
    touch(client, thread)
    assert not target.exists()


@pytest.mark.parametrize("asked", FORBIDDING, ids=json.dumps)
def test_a_turn_sets_it_for_those_that_follow_and_for_a_resumed_thread(
    daemon: Daemon, client: Client, target: Path, asked: dict[str, Any]
) -> None:
    thread = client.start_thread(**UNCONFINED)["id"]
    touch(client, thread, **asked)
    touch(client, thread)
    client.call("thread/unsubscribe", threadId=thread)
    client.wait_for("thread/closed", thread)
    client.call("thread/resume", threadId=thread)
    touch(client, thread)
    fork = client.call("thread/fork", threadId=thread)["thread"]["id"]
    touch(client, fork)
    assert not target.exists()


@pytest.mark.parametrize("method", ["thread/resume", "thread/fork"])
def test_a_thread_is_resumed_or_forked_with_permissions(client: Client, target: Path, method: str) -> None:
    thread = client.start_thread(**UNCONFINED)["id"]
    client.run_turn(thread, "hello")
    client.call("thread/unsubscribe", threadId=thread)
    client.wait_for("thread/closed", thread)
    loaded = client.call(method, threadId=thread, permissions=READ_ONLY)
    assert loaded["sandbox"]["type"] == "readOnly"
    touch(client, loaded["thread"]["id"])
    assert not target.exists()


@pytest.mark.parametrize("asked", FORBIDDING, ids=json.dumps)
def test_settings_that_are_updated_have_it(client: Client, target: Path, asked: dict[str, Any]) -> None:
    thread = client.start_thread(**UNCONFINED)["id"]
    client.call("thread/settings/update", threadId=thread, **asked)
    touch(client, thread)
    assert not target.exists()


def test_a_turn_that_joins_another_sets_it_for_those_that_follow(
    client: Client, endpoint: Endpoint, target: Path
) -> None:
    thread = client.start_thread(**UNCONFINED)["id"]
    turn = client.hold_turn(thread)
    joined = client.call("turn/start", threadId=thread, input=[{"type": "text", "text": "more"}], permissions=READ_ONLY)
    endpoint.release()
    client.wait_for("turn/completed", thread, turn)
    assert joined["turn"]["id"] == turn
    touch(client, thread)
    assert not target.exists()


def test_without_an_environment_nothing_that_acts_is_offered_or_run(
    client: Client, endpoint: Endpoint, target: Path
) -> None:
    thread = client.start_thread(**UNCONFINED, environments=[], config={"features.request_permissions_tool": True})
    touch(client, thread["id"])
    [names] = {
        tuple(tool.get("name", tool["type"]) for tool in request["tools"]) for request in endpoint.requests.entries
    }
    assert names == (
        *("update_plan", "request_user_input", "web_search"),
        *("spawn_agent", "send_input", "resume_agent", "wait_agent", "close_agent"),
    )
    named = ("exec_command", "shell", "shell_command", "apply_patch", "write_stdin", "view_image")
    assert answers(endpoint) == [f"unsupported call: {name}" for name in named]


def test_the_local_environment_brings_them_back(
    client: Client, endpoint: Endpoint, target: Path, tmp_path: Path
) -> None:
    (tmp_path / "there").mkdir()
    endpoint.scripts["where"] = by_turns(("exec_command", {"cmd": "pwd", "login": False}))
    thread = client.start_thread(**UNCONFINED, environments=[])["id"]
    local = {"environmentId": "local", "cwd": str(tmp_path / "there")}
    said = [{"type": "text", "text": "where"}]
    turn = client.call("turn/start", threadId=thread, input=said, environments=[local])["turn"]["id"]
    client.wait_for("turn/completed", thread, turn)
    assert answers(endpoint)[-1].endswith(f"{tmp_path}/there\n")


UNSERVED: list[tuple[dict[str, Any], str]] = [
    ({"permissions": ":nonexistent"}, "unknown permission profile `:nonexistent`"),
    ({"environments": [{"environmentId": "elsewhere", "cwd": "/"}]}, "unknown turn environment id `elsewhere`"),
    (
        {"sandbox": "workspace-write", "runtimeWorkspaceRoots": ["/tmp"]},
        "`runtimeWorkspaceRoots` without the working directory are not supported",
    ),
    ({"permissions": READ_ONLY, "sandbox": "read-only"}, "`permissions` cannot be combined with `sandbox`"),
]


@pytest.mark.parametrize(("asked", "why"), UNSERVED)
def test_an_unsupported_restriction_is_refused(client: Client, asked: dict[str, Any], why: str) -> None:
    assert client.refusal("thread/start", **asked).message == why
    thread = client.start_thread()["id"]
    of_turn = {name: value for name, value in asked.items() if name != "sandbox"}
    if "sandbox" in asked:
        kind = {"read-only": "readOnly", "workspace-write": "workspaceWrite"}[asked["sandbox"]]
        of_turn["sandboxPolicy"] = {"type": kind}
        why = why.replace("`sandbox`", "`sandboxPolicy`")
    refused = client.refusal("turn/start", threadId=thread, input=[{"type": "text", "text": "x"}], **of_turn)
    assert refused.message == why


def test_workspace_roots_that_change_nothing_are_taken(client: Client, tmp_path: Path) -> None:
    here = str(tmp_path)
    assert client.start_thread(cwd=here, sandbox="workspace-write", runtimeWorkspaceRoots=[here])["id"]
    assert client.start_thread(permissions=READ_ONLY, environments=[], runtimeWorkspaceRoots=[])["id"]


def test_the_reviewer_is_shown_and_can_be_changed(client: Client) -> None:
    loaded = client.call("thread/start", approvalsReviewer="auto_review")
    thread = loaded["thread"]["id"]
    assert loaded["approvalsReviewer"] == "auto_review"
    since = client.now
    client.call("thread/settings/update", threadId=thread, approvalsReviewer="guardian_subagent")
    told = client.wait_for("thread/settings/updated", thread, since=since)
    assert told["threadSettings"]["approvalsReviewer"] == "guardian_subagent"
    said = [{"type": "text", "text": "hello"}]
    turn = client.call("turn/start", threadId=thread, input=said, approvalsReviewer="user")["turn"]["id"]
    client.wait_for("turn/completed", thread, turn)
    assert client.call("thread/resume", threadId=thread)["approvalsReviewer"] == "user"


def test_a_service_tier_for_one_turn_is_not_that_of_the_next(client: Client, endpoint: Endpoint) -> None:
    thread = client.start_thread(serviceTier="flex")["id"]
    for tier in ("fast", "default", None):
        said = [{"type": "text", "text": "hello"}]
        turn = client.call("turn/start", threadId=thread, input=said, serviceTierForTurn=tier)["turn"]["id"]
        client.wait_for("turn/completed", thread, turn)
    assert [request.get("service_tier") for request in endpoint.requests.entries] == ["priority", None, "flex"]


def test_a_list_has_the_named_threads_and_unsupported_filters_are_refused(client: Client) -> None:
    ids = [client.start_thread(ephemeral=False)["id"] for _ in range(3)]
    for id in ids:
        client.run_turn(id, "hello")

    def listed(**asked: Any) -> set[str]:
        kinds = ["appServer", "vscode", "cli"]
        return {row["id"] for row in client.call("thread/list", sourceKinds=kinds, **asked)["data"]}

    assert listed() == listed(projectId=None, originators=[], currentAccountOnly=True) == set(ids)
    assert listed(includedThreadIds=ids[:2]) == set(ids[:2])
    assert listed(includedThreadIds=ids[:2], excludedThreadIds=ids[:1]) == {ids[1]}
    assert listed(includedThreadIds=[]) == set()
    for member, value in (("originators", ["x"]), ("attachedToThreadId", ids[0])):
        assert client.refusal("thread/list", **{member: value}).message == f"thread/list.{member} is not supported"
    assert "at most 100" in client.refusal("thread/list", includedThreadIds=ids * 34).message
    section = client.call("threadSection/create", name="s")["section"]["id"]
    for id in ids[1:]:
        client.call("thread/section/move", threadId=id, sectionId=section)
    for order in ("created_at", "section_position"):
        assert listed(sectionId=section, sortKey=order, includedThreadIds=ids[:2]) == {ids[1]}


def test_a_command_of_the_users_own_ends_when_its_time_is_over(client: Client) -> None:
    thread = client.start_thread()["id"]
    client.call("thread/shellCommand", threadId=thread, command="sleep 1000", timeoutMs=0)
    assert client.wait_for("item/completed", thread)["item"]["exitCode"] == 124
    refused = client.refusal("thread/shellCommand", threadId=thread, command="true", timeoutMs=-1)
    assert refused.message == "thread/shellCommand timeoutMs must be non-negative, got -1"


def test_models_and_servers_are_those_that_are_named(launch: Callable[..., Daemon], home: Path) -> None:
    config = home / "config.toml"
    servers = "".join(f"[mcp_servers.{name}]\ncommand = 'x'\nenabled = false\n" for name in "ab")
    config.write_text(config.read_text() + servers)
    client = launch().client()
    every = client.call("mcpServerStatus/list")["data"]
    assert [row["name"] for row in every] == ["a", "b"]
    assert client.call("mcpServerStatus/list", serverName="b")["data"] == every[1:]
    assert client.call("mcpServerStatus/list", serverName="c")["data"] == []
    assert client.call("model/list", modelProvider="openai")["data"]
    assert client.refusal("model/list", modelProvider="c").message.startswith("Model provider `c` not found. There are ")


def test_tools_of_a_namespace_are_the_clients(client: Client, endpoint: Endpoint) -> None:
    tool = {"type": "function", "name": "look", "description": "Looks.", "inputSchema": {"type": "object"}}
    space = {"type": "namespace", "name": "client", "description": "The client's.", "tools": [tool]}
    thread = client.start_thread(dynamicTools=[space, {**tool, "name": "listen"}])["id"]
    client.run_turn(thread, "hello")
    offered = {each.get("name"): each for each in endpoint.requests.entries[0]["tools"]}
    assert [each["name"] for each in offered["client"]["tools"]] == ["look"]
    assert offered["listen"]["description"] == "Looks."
