"""URLs for errors and logs."""

import pytest

from spindle.rpc.urls import shown


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://host/v1/responses", "https://host/v1/responses"),
        ("http://ann:secret@[::1]:8/v1?api-version=secret&key=", "http://[::1]:8/v1?api-version=…&key=…"),
        ("http://secret@host/a b?secret", "http://host/a b?secret=…"),
        ("http://host/#secret", "http://host/"),
        ("nonsense", "nonsense"),
        ("http://[::", "(an invalid URL)"),
    ],
)
def test_keys_are_removed(url: str, expected: str) -> None:
    assert shown(url) == expected
