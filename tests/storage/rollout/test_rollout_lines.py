"""Encoding and decoding of single lines, and the layout of the home."""

import os
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import orjson
import pytest

from spindle.storage.home import Home, HomeError
from spindle.storage.rollout.lines import Line, decode_line, encode_line, iter_lines

NOON = datetime(2025, 1, 5, 12, 0, 0, 123456, tzinfo=UTC)


def test_a_line_has_timestamp_type_payload_and_a_newline():
    assert (
        encode_line("event_msg", {"type": "x"}, NOON)
        == b'{"timestamp":"2025-01-05T12:00:00.123Z","type":"event_msg","payload":{"type":"x"}}\n'
    )


def test_an_ordinal_follows_the_timestamp():
    assert encode_line("a", {}, NOON, 7).startswith(b'{"timestamp":"2025-01-05T12:00:00.123Z","ordinal":7,"type":"a"')


def test_other_time_zones_are_written_as_utc():
    there = NOON.astimezone(timezone(timedelta(hours=5)))
    assert encode_line("a", {}, there) == encode_line("a", {}, NOON)


def test_an_encoded_payload_is_inserted_unchanged():
    line = encode_line("response_item", orjson.Fragment(b'{"type":"message","role":"user"}'), NOON)
    assert decode_line(line) == Line("2025-01-05T12:00:00.123Z", "response_item", {"type": "message", "role": "user"})


def test_encoded_lines_can_be_decoded():
    assert decode_line(encode_line("a", {"b": "\u2028é"}, NOON, 3)) == Line(
        "2025-01-05T12:00:00.123Z", "a", {"b": "\u2028é"}, 3
    )


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"{",
        b"[]",
        b"7",
        b'{"type":"a"}',
        b'{"payload":{}}',
        b'{"type":1,"payload":{}}',
        b"\x00\x00",
        b"\xff",
    ],
)
def test_data_that_is_not_a_line_decodes_to_none(data):
    assert decode_line(data) is None


def test_lines_of_a_file_have_offsets_and_blank_ones_are_skipped(tmp_path):
    path = tmp_path / "r.jsonl"
    first, last = encode_line("a", {"text": "\u2028"}), encode_line("b", {})
    path.write_bytes(first + b"\n" + b"garbage\n" + last + b'{"torn')
    assert [(at, line.type if line else None) for at, line in iter_lines(path)] == [
        (0, "a"),
        (len(first) + 1, None),
        (len(first) + 9, "b"),
        (len(first) + 9 + len(last), None),
    ]
    assert [at for at, _ in iter_lines(path, len(first) + 9)] == [len(first) + 9, len(first) + 9 + len(last)]


def test_a_home_is_kept_when_the_process_changes_its_directory(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    homes = [Home(Path("home")), Home.resolve({"HOME": "."})]
    monkeypatch.chdir("elsewhere")
    assert [home.path for home in homes] == [tmp_path / "home", tmp_path / ".codex"]


def test_the_environment_names_the_home(tmp_path):
    assert Home.resolve({"CODEX_HOME": str(tmp_path)}).path == tmp_path.resolve()
    assert Home.resolve({"HOME": str(tmp_path)}).path == tmp_path / ".codex"
    assert Home.resolve({"CODEX_HOME": "", "HOME": str(tmp_path)}).path == tmp_path / ".codex"


def test_a_named_home_must_be_a_directory(tmp_path):
    with pytest.raises(HomeError, match="does not exist"):
        Home.resolve({"CODEX_HOME": str(tmp_path / "nowhere")})
    (tmp_path / "file").touch()
    with pytest.raises(HomeError, match="not a directory"):
        Home.resolve({"CODEX_HOME": str(tmp_path / "file")})
    with pytest.raises(HomeError, match="does not exist"):
        Home.resolve({"CODEX_HOME": str(tmp_path / "file" / "below")})


def test_a_user_without_a_home_directory_has_to_name_one(tmp_path, monkeypatch):
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # as where the user is not in the password file
    with pytest.raises(HomeError, match="set CODEX_HOME"):
        Home.resolve({})


def test_a_home_that_cannot_be_looked_at_is_reported_as_such(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError, match="loop"):
        Home.resolve({"CODEX_HOME": str(tmp_path / "loop")})


def test_rollouts_are_stored_by_date(tmp_path):
    path = Home(tmp_path).new_rollout_path("ID", datetime(2025, 1, 5, 7, 8, 9))
    assert path == tmp_path / "sessions/2025/01/05/rollout-2025-01-05T07-08-09-ID.jsonl"
