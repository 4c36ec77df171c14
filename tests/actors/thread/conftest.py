"""Fixtures for the tests of threads."""

import pytest

from .agent_plays import FREE, Cast


@pytest.fixture
def play(opened, scripted):
    """play(config, root=..., child=...) -> (a runtime to enter, the cast)"""

    def play_(config=FREE, **parts):
        cast = Cast(scripted, **{"root": [], "child": [], **parts})
        return opened(cast, config=config), cast

    return play_
