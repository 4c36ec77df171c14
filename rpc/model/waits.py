"""How long a provider asks to wait before the next request.

It says so in `Retry-After` (RFC 9110, 10.2.3: seconds or a date), in OpenAI's and Azure's `retry-after-ms`, or only in the
words of the error.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from math import isfinite
from typing import Final

_ASKED: Final = re.compile(r"\b(?:try again in|retry (?:in|after))\s*((?:[\s,]*\d+(?:\.\d+)?\s*[a-z]+)+)", re.IGNORECASE)
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|millisecond|s|m|h|d)", re.IGNORECASE)
_SECONDS: Final = {"ms": 0.001, "millisecond": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

Header = Callable[[str], str | None]
"""The value of a header of the answer."""


def asked_wait(header: Header, words: str, now: datetime | None = None) -> float | None:
    """The seconds that a refusal asks to wait; None if it does not. A date counts from the answer's `date`, else `now`."""
    found = _number(header("retry-after-ms"), 0.001)
    if found is None and (value := header("retry-after")) is not None:
        found = _number(value, 1.0)
        if found is None and (until := _date(value)) is not None:
            since = _date(header("date") or "") or (now or datetime.now()).astimezone(UTC)
            found = max(0.0, (until - since).total_seconds())
    return wait_in(words) if found is None else found


def wait_in(words: str) -> float | None:
    """The seconds in words such as "try again in 1.2s", "try again in 6m0s", "retry after 20 seconds"."""
    asked = _ASKED.search(words[:4096])
    parts = [] if asked is None else _PART.findall(asked[1])
    return sum(float(number) * _SECONDS[unit.lower()] for number, unit in parts) if parts else None


def until(seconds: float, now: datetime | None = None) -> str:
    """The local time after a wait: the clock, with the date if that is another day."""
    now = now or datetime.now()
    try:
        return moment(now + timedelta(seconds=seconds), now)
    except OverflowError:  # a time beyond the calendar's range
        return "a time that no calendar has"


def moment(when: datetime, now: datetime) -> str:
    """A local time in words; without its date if that is today's."""
    clock = f"{when.hour % 12 or 12}:{when:%M} {'AM' if when.hour < 12 else 'PM'}"
    return clock if when.date() == now.date() else f"{when:%b} {when.day}, {when.year} {clock}"


def _number(value: str | None, unit: float) -> float | None:
    try:
        number = float(value or "") * unit
    except ValueError:
        return None
    return number if isfinite(number) and number >= 0 else None


def _date(value: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
