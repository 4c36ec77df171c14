"""Rules as they stand in the home."""

import os

import pytest

from spindle.actors.tools.approvals.rule_book import RuleBook
from spindle.actors.tools.commands import rules as reading
from spindle.rpc.protocol.config import ConfigWarningNotification


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "rules"
    folder.mkdir()
    return folder


async def test_an_amendment_holds_at_once(tmp_path):
    book = RuleBook(tmp_path / "rules", lambda warning: None)
    assert not (await book.current()).rules
    await book.allow(["touch", "x"])
    assert [rule.pattern for rule in (await book.current()).rules] == [[["touch"], ["x"]]]
    assert (tmp_path / "rules/default.rules").read_text() == 'prefix_rule(pattern=["touch", "x"], decision="allow")\n'


async def test_files_are_read_again_only_when_they_have_changed(folder, monkeypatch):
    reads = []
    real = reading.parse_rules

    def noted(source, path):
        reads.append(path)
        return real(source, path)

    monkeypatch.setattr(reading, "parse_rules", noted)
    file = folder / "a.rules"
    file.write_text('prefix_rule(pattern=["a"])')
    book = RuleBook(folder, lambda warning: None)
    await book.current()
    await book.current()
    assert len(reads) == 1
    file.write_text('prefix_rule(pattern=["b"])')
    os.utime(file, ns=(1, 1))
    assert [rule.pattern for rule in (await book.current()).rules] == [[["b"]]]


async def test_what_cannot_be_read_is_told_once_and_no_rule_holds(folder):
    warnings: list[ConfigWarningNotification] = []
    (folder / "a.rules").write_text('prefix_rule(pattern=["a"])')
    (folder / "b.rules").write_text("\nprefix_rule(")
    book = RuleBook(folder, warnings.append)
    assert not (await book.current()).rules
    await book.current()
    [warning] = warnings
    assert warning.summary == "Error parsing rules; custom rules not applied."
    assert warning.path == str(folder / "b.rules")
    assert warning.range is not None
    assert warning.range.start.line == 2
    (folder / "b.rules").unlink()
    assert len((await book.current()).rules) == 1
