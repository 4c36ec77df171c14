"""The date and the time zone for the model."""

from __future__ import annotations

from pathlib import Path

import pytest

from spindle.actors.turn import context


@pytest.fixture
def link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands for /etc/localtime."""
    monkeypatch.delenv("TZ", raising=False)
    monkeypatch.setattr(context, "_LOCALTIME", str(tmp_path / "localtime"))
    monkeypatch.setattr("time.tzname", ("ABC", "ABC"))
    return tmp_path / "localtime"


def test_the_zone_comes_from_the_link(link: Path) -> None:
    link.symlink_to("/usr/share/zoneinfo/Europe/Oslo")
    assert context.today()[1] == "Europe/Oslo"
    link.rename(link.with_name("former"))
    link.symlink_to("/usr/share/zoneinfo/Asia/Tokyo")
    assert context.today()[1] == "Asia/Tokyo"


def test_without_a_link_the_zone_is_the_abbreviation(link: Path) -> None:
    assert context.today()[1] == "ABC"
    link.write_bytes(b"TZif")
    assert context.today()[1] == "ABC"


def test_the_environment_variable_has_priority(link: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link.symlink_to("/usr/share/zoneinfo/Europe/Oslo")
    monkeypatch.setenv("TZ", "America/Lima")
    assert context.today()[1] == "America/Lima"
