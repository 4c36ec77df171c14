"""Finding and adding session_meta lines of stored threads."""

import pytest

from spindle.storage.home import Home
from spindle.storage.rollout.lines import encode_line
from spindle.storage.threads.metadata import append_to_stored, latest_meta
from spindle.storage.threads.summary import StoredGit, read_summary


def meta(id, branch, filler=0):
    return encode_line("session_meta", {"id": id, "git": {"branch": branch}, "filler": "x" * filler})


def other(size=10):
    return encode_line("event_msg", {"type": "token_count", "info": {"filler": "x" * size}})


@pytest.mark.parametrize("filler", [0, 300_000])
@pytest.mark.parametrize("gap", [1, 262_100, 600_000])
def test_the_last_meta_of_the_thread_counts_at_any_position(tmp_path, filler, gap):
    path = tmp_path / "r.jsonl"
    mention = encode_line("response_item", {"type": "message", "text": "what is a session_meta?"})
    lines = [meta("a", "first", filler), other(gap), meta("a", "second", filler), mention, other(gap), meta("b", "theirs")]
    path.write_bytes(b"".join(lines))
    found = [latest_meta(path, id) for id in ("a", "b")]
    assert [meta and meta["git"]["branch"] for meta in found] == ["second", "theirs"]
    assert latest_meta(path, "c") is None


def test_a_meta_across_a_block_border_is_found(tmp_path):
    path = tmp_path / "r.jsonl"
    for gap in range(262_144 - 200, 262_144 + 1):
        path.write_bytes(meta("a", "only") + other(gap)[:-1])
        assert latest_meta(path, "a") is not None, gap


def test_a_line_appended_to_a_stored_thread_changes_its_summary(tmp_path):
    home = Home(tmp_path)
    path = home.sessions / "2026" / "01" / "01" / "rollout-2026-01-01T00-00-00-00000000-0000-4000-8000-000000000000.jsonl"
    path.parent.mkdir(parents=True)
    id = "00000000-0000-4000-8000-000000000000"
    path.write_bytes(meta(id, "first") + b'{"torn')
    append_to_stored(home, path, id, [("session_meta", {"id": id, "git": {"branch": "second"}})])
    assert read_summary(path).git == StoredGit(None, "second", None)
    assert path.read_bytes().count(b"\n") == 2
    assert (path.parent / f"{path.name}.torn").read_bytes() == b'{"torn\n'
