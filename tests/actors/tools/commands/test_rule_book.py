"""The rules in the home."""

import errno
import os
import threading

import pytest
import trio

from spindle.actors.tools.commands import rule_book, rules_file
from spindle.actors.tools.commands.rule_book import RuleBook
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
    real = rules_file.parse_rules

    def noted(source, path):
        reads.append(path)
        return real(source, path)

    monkeypatch.setattr(rule_book, "parse_rules", noted)
    file = folder / "a.rules"
    file.write_text('prefix_rule(pattern=["a"])')
    book = RuleBook(folder, lambda warning: None)
    await book.current()
    await book.current()
    assert len(reads) == 1
    file.write_text('prefix_rule(pattern=["b"])')
    os.utime(file, ns=(1, 1))
    assert [rule.pattern for rule in (await book.current()).rules] == [[["b"]]]


async def test_unreadable_rules_warn_once_and_none_hold(folder):
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


@pytest.mark.parametrize("fault", ["large", "many", "a link to itself"])
async def test_a_folder_out_of_bounds_is_named(folder, monkeypatch, fault):
    warnings: list[ConfigWarningNotification] = []
    (folder / "a.rules").write_text('prefix_rule(pattern=["a"])')
    monkeypatch.setattr(rule_book, "MOST_FILES", 2)
    book = RuleBook(folder, warnings.append)
    match fault:
        case "large":
            os.truncate(folder / "a.rules", 600 << 20)
            path, reason = folder / "a.rules", "larger than 1048576 bytes"
        case "many":
            for number in range(2):
                (folder / f"{number}.rules").touch()
            path, reason = folder, "more than 2 files"
        case _:
            (folder / "a.rules").unlink()
            folder.rmdir()
            folder.symlink_to(folder)
            path, reason = folder, "symbolic links"
    assert not (await book.current()).rules
    await book.current()
    [warning] = warnings
    assert warning.path == str(path)
    assert reason in (warning.details or "")


async def test_a_broken_link_does_not_disable_other_rules(folder):
    (folder / "a.rules").write_text('prefix_rule(pattern=["a"])')
    (folder / "b.rules").symlink_to("nothing")
    assert len((await RuleBook(folder, lambda warning: None).current()).rules) == 1


async def test_an_amendment_to_a_file_out_of_bounds_is_refused(folder):
    (folder / "default.rules").touch()
    os.truncate(folder / "default.rules", 600 << 20)
    with pytest.raises(OSError, match="larger than 1048576 bytes"):
        await RuleBook(folder, lambda warning: None).allow(["touch"])


async def test_a_locked_rules_file_does_not_block_readers(folder, monkeypatch):
    (folder / "default.rules").write_text('prefix_rule(pattern=["a"])\n')
    book = RuleBook(folder, lambda warning: None)
    waits, go_on = trio.Event(), threading.Event()

    def wait_for(fd, path):
        trio.from_thread.run_sync(waits.set)
        assert go_on.wait(60)
        raise TimeoutError(errno.ETIMEDOUT, "pid 1 has held the lock for 5 s", str(path))

    monkeypatch.setattr(rule_book, "wait_for", wait_for)

    async def amend():
        with pytest.raises(TimeoutError, match="pid 1 has held the lock"):
            await book.allow(["touch"])

    async with trio.open_nursery() as nursery:
        nursery.start_soon(amend)
        await waits.wait()
        try:
            with trio.fail_after(60):
                assert len((await book.current()).rules) == 1
        finally:
            go_on.set()
