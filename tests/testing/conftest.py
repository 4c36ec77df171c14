"""Tools for the tests of the kit."""

import pytest

FREE = {"sandbox_mode": "danger-full-access", "approval_policy": "never"}
"""The configuration with which commands run without being asked for."""


@pytest.fixture
def weather():
    """A function as a tool."""

    def weather(city: str) -> str:
        """The weather in a city."""
        return f"rain in {city}"

    return weather
