"""Scores, positions and order of matches, as the reference server gives them."""

import pytest

from spindle.storage.file_search import FoundPath, best
from spindle.storage.file_search.pattern import folded, visible


def paths(*names):
    return [FoundPath("/r", name, False, visible(name), folded(visible(name))) for name in names]


def matches(query, *names, **more):
    return [(one.found.path, one.score, list(one.indices)) for one in best(paths(*names), query, lambda: None, **more)]


@pytest.mark.parametrize(
    ("query", "path", "score", "indices"),
    [
        ("main", "MAIN", 109, [0, 1, 2, 3]),
        ("MAIN", "src/main.py", 109, [4, 5, 6, 7]),
        ("main", ".hidden_main", 104, [8, 9, 10, 11]),
        ("mp", "src/main.py", 52, [4, 9]),
        ("mp", "src/deep/main_test.py", 47, [9, 19]),
        ("mainl", "src/my_app_internal.py", 106, [4, 7, 11, 12, 18]),
        ("src/main", "src/main.py", 209, [0, 1, 2, 3, 4, 5, 6, 7]),
        ("src/main", "src/deep/main_test.py", 202, [0, 1, 2, 3, 9, 10, 11, 12]),
        ("s m", "src/deep/main_test.py", 68, [0, 9]),
        ("ab", "ab/ab", 59, [3, 4]),
        (".py", "src/main.py", 80, [8, 9, 10]),
        ("e", ".gitignore", 16, [9]),
        ("e", "src/éclair.txt", 34, [4]),
        ("é", "src/éclair.txt", 34, [4]),
        ("\\ ", "sp ace main.txt", 32, [2]),
    ],
)
def test_scores_and_positions(query, path, score, indices):
    assert matches(query, path) == [(path, score, indices)]


@pytest.mark.parametrize(
    ("query", "matching"),
    [
        ("^main", ["main.py"]),
        ("main$", ["src/main"]),
        ("^main.py$", ["main.py"]),
        ("'ain.p", ["main.py"]),
        ("!main", ["other"]),
        ("main !py", ["src/main"]),
        ("é", []),
        ("main\\$", []),
        ("", []),
        ("   ", []),
        ("zzz", []),
    ],
)
def test_words_of_a_query(query, matching):
    assert [path for path, _, _ in matches(query, "main.py", "src/main", "other")] == matching


def test_the_best_come_first_and_equal_ones_by_path():
    assert [path for path, _, _ in matches("ab", "xab", "z/ab", "a_b", "b/ab", "ba")] == ["b/ab", "z/ab", "a_b", "xab"]


def test_of_equal_matches_the_shortest_paths_are_kept():
    names = ["a/bbbb", "a/zz", "a/ccc", "a/aaaaa"]
    assert [path for path, _, _ in matches("a", *names, limit=2)] == ["a/ccc", "a/zz"]


def test_a_combining_mark_is_not_counted():
    assert matches("b", "e\u0301/b") == [("e\u0301/b", 34, [2])]


def test_a_hostile_query_takes_no_time_that_grows_with_the_ways_to_match():
    assert matches("a" * 40 + "b", "a" * 200) == []
    [(_, score, indices)] = matches("a" * 40, "a" * 200)
    assert score == 40 * 25 + 9
    assert indices == list(range(40))


def test_a_check_can_stop_it():
    def check():
        raise InterruptedError

    with pytest.raises(InterruptedError):
        best(paths("a"), "a", check)
