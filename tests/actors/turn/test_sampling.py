"""When a request that has failed is sent again, and what clients are notified of meanwhile."""

import types
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from spindle.actors.turn import sampling
from spindle.actors.turn.sampling import sample
from spindle.actors.turn.work import Work
from spindle.rpc.model.interface import ModelError
from spindle.rpc.model.model_errors import failed
from spindle.rpc.model.refusals import refused

PLAN: Any = types.SimpleNamespace(thread_id="t", turn_id="u", toolbox=None, hooks=None)


class Refusing:
    """A model that fails with `error` until the script is over."""

    def __init__(self, error, times, stream_max_retries=5):
        self.error = error
        self.times = times
        self.stream_max_retries = stream_max_retries
        self.asked_at: list[float] = []
        self.waits: list[float] = []

    @asynccontextmanager
    async def stream(self, request):
        self.asked_at.append(trio.current_time())
        if len(self.asked_at) <= self.times:
            raise self.error
        yield nothing()


async def nothing() -> AsyncIterator[Sequence[Any]]:
    batches: Sequence[Sequence[Any]] = ()
    for batch in batches:
        yield batch


class Host:
    """`took` are the seconds of the whole."""

    def __init__(self):
        self.emitted: list[Any] = []
        self.took = 0.0
        self.instruments = ()
        self.work = Work()

    def emit(self, event):
        self.emitted.append(event)

    def partial(self, item):
        pass


def listen() -> Any:
    return types.SimpleNamespace(calls=[])


def request(retried: Any = None) -> Any:
    return None


async def ask(model: Any, host: Any) -> None:
    start = trio.current_time()
    try:
        await sample(host, PLAN, model, request, listen)
    finally:
        model.waits = [later - earlier for earlier, later in zip(model.asked_at, model.asked_at[1:], strict=False)]
        host.took = trio.current_time() - start


def too_many(seconds):
    return refused(429, b"slow.", "http://host", header={"retry-after": str(seconds)}.get)


@pytest.mark.parametrize(
    ("error", "status", "words", "seconds"),
    [
        (too_many(20), 429, "exceeded retry limit, last status: 429 Too Many Requests: slow", 20),
        (refused(503, b"no", "u", header={"retry-after": "60"}.get), 503, "unexpected status 503", 60),
        (failed({"error": {"code": "rate_limit_exceeded", "message": "Try again in 1.5s."}}), None, "Try again in", 1.5),
    ],
)
async def test_a_request_waits_as_the_provider_asks_and_says_so(autojump_clock, error, status, words, seconds):
    model, host = Refusing(error, 2), Host()
    await ask(model, host)
    assert len(model.waits) == len(host.emitted) == 2
    for number, (wait, said) in enumerate(zip(model.waits, host.emitted, strict=True), 1):
        assert seconds <= wait <= seconds * 1.1
        assert said.will_retry
        assert said.error.message == f"Reconnecting... {number}/5"
        assert said.error.codex_error_info == {"responseStreamDisconnected": {"httpStatusCode": status}}
        assert words in said.error.additional_details
        assert said.error.additional_details.endswith(f"(the next attempt is in {wait:.1f} s, as the provider asks)")


async def test_waits_count_as_retries_and_the_last_error_is_as_it_came(autojump_clock):
    model, host = Refusing(too_many(1), 9, stream_max_retries=2), Host()
    with pytest.raises(ModelError) as caught:
        await ask(model, host)
    assert (len(model.asked_at), len(host.emitted)) == (3, 2)
    error = caught.value
    assert error.message == "exceeded retry limit, last status: 429 Too Many Requests: slow."
    assert error.info == {"responseTooManyFailedAttempts": {"httpStatusCode": 429}}
    assert (error.status, error.retry_after) == (429, 1.0)


@pytest.mark.parametrize("retries", [0, 5])
async def test_a_wait_that_is_too_long_fails_at_once_and_says_until_when(autojump_clock, retries):
    for seconds in (301.0, 1e30):
        model, host = Refusing(too_many(seconds), 9, retries), Host()
        with pytest.raises(ModelError) as caught:
            await ask(model, host)
        start = "exceeded retry limit, last status: 429 Too Many Requests: slow. The provider takes no request before "
        assert caught.value.message.startswith(start)
        assert not caught.value.retryable
        assert (caught.value.status, caught.value.retry_after) == (429, seconds)
        assert (len(model.asked_at), host.emitted, host.took) == (1, [], 0)


async def test_an_interrupt_ends_the_wait_at_once(autojump_clock, nursery):
    model, host = Refusing(too_many(200), 9), Host()
    with trio.move_on_after(5) as interrupt:
        await ask(model, host)
    assert interrupt.cancelled_caught
    assert (len(host.emitted), host.took) == (1, 5)


@pytest.mark.parametrize("error", [ModelError("gone", retryable=True), too_many(0)])
async def test_without_a_time_to_wait_each_wait_is_longer(autojump_clock, error):
    model, host = Refusing(error, 12, 12), Host()
    await ask(model, host)
    assert model.waits[:7] == sorted(model.waits[:7])
    assert sampling.BACKOFF <= model.waits[0] <= sampling.BACKOFF * 1.1
    assert sampling.BACKOFF_LIMIT <= model.waits[-1] <= sampling.BACKOFF_LIMIT * 1.1
    assert host.emitted[0].error.additional_details == error.message


async def test_what_a_retry_cannot_change_fails_at_once(autojump_clock):
    model, host = Refusing(refused(401, b"no", "http://host"), 1), Host()
    with pytest.raises(ModelError):
        await ask(model, host)
    assert (len(model.asked_at), host.emitted, host.took) == (1, [], 0)
