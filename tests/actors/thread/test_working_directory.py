"""Which working directories a thread may have."""

import pytest

from spindle.actors.settings.requests import absolute
from spindle.rpc.protocol.errors import RpcError


@pytest.mark.parametrize(
    ("server", "cwd", "found"),
    [("/a", "", "/a"), ("/a", "b/../c", "/a/c"), ("/a", "/d", "/d"), ("/a\udcff", "/d", "/d")],
)
def test_a_working_directory_is_absolute(server, cwd, found):
    assert absolute(server, cwd) == found


@pytest.mark.parametrize(("server", "cwd"), [("/a", "b\0"), ("/a\udcff", ""), ("/a\udcff", "b")])
def test_a_working_directory_that_cannot_be_encoded_is_refused(server, cwd):
    with pytest.raises(RpcError, match="invalid cwd"):
        absolute(server, cwd)
