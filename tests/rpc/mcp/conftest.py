import pytest

from .played import Played


@pytest.fixture
def played():
    return Played()
