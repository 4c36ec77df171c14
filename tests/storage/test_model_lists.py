"""Cached model lists of providers."""

from spindle.storage.home import Home
from spindle.storage.model_lists import ModelList, keep_list, read_list, usable

KEPT = ModelList([{"slug": "a", "context_window": 1}], '"e"', 1_700_000_000.25)


def test_a_list_is_cached_by_provider_and_version(tmp_path):
    home = Home(tmp_path)
    keep_list(home, "one", "1", KEPT)
    keep_list(home, "two", "1", ModelList([], None, 1.0))
    assert read_list(home, "one", "1") == KEPT
    assert read_list(home, "two", "1") == ModelList([], None, 1.0)
    assert read_list(home, "one", "2") is None
    assert read_list(home, "three", "1") is None
    assert len(list((tmp_path / "spindle" / "models").iterdir())) == 2
    assert not (tmp_path / "models_cache.json").exists()


def test_an_invalid_list_is_ignored(tmp_path):
    home = Home(tmp_path)
    keep_list(home, "one", "1", KEPT)
    [file] = (tmp_path / "spindle" / "models").iterdir()
    for content in (b"", b"[]", b"null", b'{"client_version": "1"}', b'{"client_version": "1", "fetched_at": 5, "models": []}'):
        file.write_bytes(content)
        assert read_list(home, "one", "1") is None


def test_an_unwritable_home_caches_nothing(tmp_path):
    (tmp_path / "spindle").write_text("no folder")
    keep_list(Home(tmp_path), "one", "1", KEPT)
    assert read_list(Home(tmp_path), "one", "1") is None


def test_invalid_entries_are_skipped():
    assert usable(["odd", {}, {"slug": "a", "priority": "b"}, {"slug": "c"}]) == [{"slug": "c"}]
