"""feedback/*: saved in an archive, and sent nowhere."""

from __future__ import annotations

import json
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .client import Client
    from .process import Daemon


def read(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_feedback_is_saved_with_the_thread_and_the_chosen_files(client: Client, tmp_path: Path) -> None:
    thread = client.start_thread()["id"]
    client.run_turn(thread, "a remark")
    (tmp_path / "chosen.log").write_text("a line")
    target = tmp_path / "saved.zip"
    params: dict[str, Any] = {"classification": "bug", "reason": "r", "tags": {"a": "b"}, "threadId": thread}
    told = client.call(
        "feedback/save", **params, savePath=str(target), includeLogs=True, extraLogFiles=[str(tmp_path / "chosen.log")]
    )
    assert told == {"savedPath": str(target), "threadId": thread, "promptHash": None}
    assert target.stat().st_mode & 0o777 == 0o600
    found = read(target)
    report = json.loads(found["report.json"])
    assert (report["classification"], report["reason"], report["tags"]) == ("bug", "r", {"a": "b"})
    rollout, chosen = json.loads(found["manifest.json"])
    assert b"a remark" in found[rollout["entry"]]
    assert found[chosen["entry"]] == b"a line"


def test_without_logs_there_is_the_report_only(client: Client, tmp_path: Path) -> None:
    told = client.call("feedback/save", classification="bug", savePath=str(tmp_path / "saved.zip"))
    assert told["threadId"].startswith("no-active-thread-")
    assert set(read(tmp_path / "saved.zip")) == {"report.json", "manifest.json"}


@pytest.mark.parametrize(
    ("params", "code", "message"),
    [
        ({"savePath": "x"}, -32600, "feedback savePath must be an absolute host path"),
        ({"savePath": "/no/such/x"}, -32603, "failed to save feedback: No such file or directory (os error 2)"),
        ({"savePath": "TMP/there"}, -32603, "failed to save feedback: feedback save path already exists"),
        (
            {"savePath": "TMP/new", "includeLogs": True, "extraLogFiles": ["/no/such"]},
            -32603,
            "failed to save feedback: failed to read selected attachment /no/such: No such file or directory (os error 2)",
        ),
        (
            {"savePath": "TMP/new", "includeLogs": True, "extraLogFiles": ["/etc/hostname"] * 33},
            -32603,
            "failed to save feedback: more than 32 files were selected",
        ),
    ],
)
def test_what_cannot_be_saved_is_named_and_leaves_nothing(
    client: Client, tmp_path: Path, params: dict[str, Any], code: int, message: str
) -> None:
    (tmp_path / "there").write_text("kept")
    params = {name: value.replace("TMP", str(tmp_path)) if name == "savePath" else value for name, value in params.items()}
    refused = client.refusal("feedback/save", classification="bug", **params)
    assert refused.code == code
    assert refused.message.startswith(message)
    assert (tmp_path / "there").read_text() == "kept"
    assert not (tmp_path / "new").exists()


def test_nothing_is_sent(client: Client, launch: Callable[..., Daemon]) -> None:
    assert "this server sends none" in client.refusal("feedback/upload", classification="bug").message
    off = launch(options=["-c", "feedback.enabled=false"]).client()
    assert off.refusal("feedback/upload", classification="bug").message == "sending feedback is disabled by configuration"
