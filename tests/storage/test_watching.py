"""Watched paths: what is reported after a change, by the kernel and by comparison."""

import os
import sys

import pytest

from spindle.storage.watching import Watched, inotify, watched
from spindle.storage.watching.comparing import Comparing

WATCHERS = [Comparing, *([inotify.Inotify] if sys.platform == "linux" else [])]


@pytest.fixture(params=WATCHERS)
def watcher(request):
    watcher = request.param()
    yield watcher
    watcher.close()


def watch(watcher, path):
    one = Watched(str(path))
    watcher.add(one)
    return one


def changes(watcher, one, folder):
    return [os.path.relpath(path, folder) for path in watcher.collect().get(one, ())]


def test_a_folder_reports_its_entries_and_not_what_is_below_them(watcher, tmp_path):
    (tmp_path / "sub").mkdir()
    one = watch(watcher, tmp_path)
    for name in "cab":
        (tmp_path / name).write_text("x")
    assert changes(watcher, one, tmp_path) == ["a", "b", "c"]
    (tmp_path / "b").unlink()
    (tmp_path / "c").rename(tmp_path / "d")
    assert changes(watcher, one, tmp_path) == ["b", "c", "d"]
    (tmp_path / "sub/deep").mkdir()
    watcher.collect()  # the folder `sub` has a new time
    (tmp_path / "sub/deep/file").write_text("x")
    assert changes(watcher, one, tmp_path) == []


def test_a_file_is_watched_through_its_replacement_and_its_removal(watcher, tmp_path):
    file, other = tmp_path / "file", tmp_path / "other"
    file.write_text("1")
    one = watch(watcher, file)
    other.write_text("neighbour")
    assert changes(watcher, one, tmp_path) == []
    other.replace(file)
    assert changes(watcher, one, tmp_path) == ["file"]
    file.write_text("written in place")
    assert changes(watcher, one, tmp_path) == ["file"]
    file.unlink()
    assert changes(watcher, one, tmp_path) == ["file"]
    file.write_text("3")
    assert changes(watcher, one, tmp_path) == ["file"]


def test_a_path_may_come_to_be_with_its_folders(watcher, tmp_path):
    one = watch(watcher, tmp_path / "a/b/file")
    (tmp_path / "a").mkdir()
    assert changes(watcher, one, tmp_path) == []
    (tmp_path / "a/b").mkdir()
    assert changes(watcher, one, tmp_path) == []
    (tmp_path / "a/b/file").write_text("x")
    assert changes(watcher, one, tmp_path) == ["a/b/file"]


def test_folders_that_come_to_be_at_once_are_not_missed(watcher, tmp_path):
    one = watch(watcher, tmp_path / "a/b")
    (tmp_path / "a/b").mkdir(parents=True)
    assert changes(watcher, one, tmp_path) == ["a/b"]
    (tmp_path / "a/b/file").write_text("x")
    assert changes(watcher, one, tmp_path) == ["a/b/file"]


def test_a_folder_that_is_removed_and_made_again_is_still_watched(watcher, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    one = watch(watcher, folder)
    folder.rmdir()
    assert changes(watcher, one, tmp_path) == ["folder"]
    folder.mkdir()
    assert changes(watcher, one, tmp_path) == ["folder"]
    (folder / "file").write_text("x")
    assert changes(watcher, one, tmp_path) == ["folder/file"]


def test_a_link_to_a_folder_reports_under_its_own_name(watcher, tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    real, link = watch(watcher, tmp_path / "real"), watch(watcher, tmp_path / "link")
    (tmp_path / "real/file").write_text("x")
    found = watcher.collect()
    assert found[real] == [f"{tmp_path}/real/file"]
    assert found[link] == [f"{tmp_path}/link/file"]


def test_two_watches_of_one_path_end_apart(watcher, tmp_path):
    first, second = watch(watcher, tmp_path), watch(watcher, tmp_path)
    watcher.drop(first)
    (tmp_path / "file").write_text("x")
    assert watcher.collect() == {second: [f"{tmp_path}/file"]}
    watcher.drop(second)
    (tmp_path / "file").write_text("y")
    assert watcher.collect() == {}


def test_a_watch_that_was_dropped_before_it_began_reports_nothing(watcher, tmp_path):
    one = Watched(str(tmp_path))
    watcher.drop(one)
    watcher.add(one)
    (tmp_path / "file").write_text("x")
    assert watcher.collect() == {}


def test_of_very_many_paths_the_folder_is_reported(watcher, tmp_path, monkeypatch):
    monkeypatch.setattr(watched, "MOST_PATHS", 3)
    one = watch(watcher, tmp_path)
    for number in range(5):
        (tmp_path / str(number)).write_text("x")
    assert changes(watcher, one, tmp_path) == ["."]


@pytest.mark.skipif(sys.platform != "linux", reason="the queue is that of Linux")
def test_lost_events_are_reported_as_a_change_of_everything(tmp_path, monkeypatch):
    monkeypatch.setattr(inotify, "MOST_PATHS", 1)  # as if the kernel's queue had overflowed
    watcher = inotify.Inotify()
    one = watch(watcher, tmp_path)
    (tmp_path / "other").mkdir()
    other = watch(watcher, tmp_path / "other")
    for number in range(5):
        (tmp_path / str(number)).write_text("x")
    found = watcher.collect()
    watcher.close()
    assert str(tmp_path) in found[one]
    assert found[other] == [f"{tmp_path}/other"]


@pytest.mark.skipif(sys.platform != "linux", reason="the numbers are those of Linux")
def test_nothing_is_kept_of_watches_that_have_ended(tmp_path):
    watcher = inotify.Inotify()
    ones = [watch(watcher, tmp_path / name) for name in "abc"]
    for one in ones:
        watcher.drop(one)
    watcher.collect()
    assert not watcher._places
    assert not watcher._of
    watcher.close()


@pytest.mark.parametrize("path", ["//", "//nothing/below/it", "relative/nothing"])
def test_a_path_without_the_root_above_it_ends_the_search_for_places(watcher, path, tmp_path, monkeypatch):
    """POSIX keeps two slashes at the beginning, so going up does not come to `/`."""
    monkeypatch.chdir(tmp_path)
    one = watch(watcher, path)
    watcher.collect()
    watcher.drop(one)
    assert watcher.collect() == {}
