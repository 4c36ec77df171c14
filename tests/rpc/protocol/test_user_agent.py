"""Which names of clients can be an HTTP header value."""

import pytest

from spindle.rpc.protocol.user_agent import is_header_value


@pytest.mark.parametrize("name", [" ", "~", "\t", "a name", "\x80", "日本", "\U0010ffff"])
def test_printable_and_other_scripts_are_header_values(name: str) -> None:
    assert is_header_value(name)


@pytest.mark.parametrize("name", ["", "\n", "a\nb", "\x00", "\x1f", "\x7f", "a\x7f"])
def test_control_characters_are_not(name: str) -> None:
    assert not is_header_value(name)
