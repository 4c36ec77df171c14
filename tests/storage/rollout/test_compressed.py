"""Rollouts that were compressed."""

import os
from pathlib import Path

import pytest
import zstandard

from spindle.storage.rollout.compressed import existing, inflate, open_rollout, plain_path

TEXT = b'{"line": 1}\n' * 50_000


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    return tmp_path / "rollout-x.jsonl"


@pytest.fixture
def compressed(plain: Path) -> Path:
    path = plain.with_name(plain.name + ".zst")
    frames = zstandard.ZstdCompressor()
    path.write_bytes(frames.compress(TEXT[:1000]) + frames.compress(TEXT[1000:]))
    os.utime(path, (5, 5))
    return path


def test_plain_and_compressed_files_give_the_same_bytes(plain: Path, compressed: Path) -> None:
    with open_rollout(compressed) as file:
        assert file.readline() == b'{"line": 1}\n'
        assert file.read() == TEXT[12:]
    plain.write_bytes(TEXT)
    with open_rollout(plain) as file:
        assert file.read() == TEXT


def test_the_plain_file_is_used_if_both_exist(plain: Path, compressed: Path) -> None:
    assert existing(plain) == compressed
    assert plain_path(compressed) == plain_path(plain) == plain
    plain.write_bytes(b"plain")
    assert existing(plain) == plain
    assert inflate(compressed) == plain
    assert plain.read_bytes() == b"plain"


def test_inflating_replaces_the_file(plain: Path, compressed: Path) -> None:
    assert inflate(compressed) == plain
    assert [path.name for path in plain.parent.iterdir()] == [plain.name]
    assert plain.read_bytes() == TEXT
    assert plain.stat().st_mtime == 5
    assert inflate(plain) == plain


def test_a_damaged_compressed_file_is_kept(plain: Path, compressed: Path) -> None:
    damaged = compressed.read_bytes()[:-1] + b"garbage behind it"
    compressed.write_bytes(damaged)
    with pytest.raises(OSError, match="damaged compression"):
        inflate(compressed)
    assert compressed.read_bytes() == damaged
    assert [path.name for path in plain.parent.iterdir()] == [compressed.name]
