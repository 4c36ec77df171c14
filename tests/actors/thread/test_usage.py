"""A rollout's token usage, checked."""

import pytest

from spindle.actors.thread.usage import sound, token_usage
from spindle.rpc.protocol.values import MOST


@pytest.mark.parametrize("value", ["5", [], {}, None, True, "\0"])
def test_invalid_counts_are_zero(value):
    for info in (
        {"total_token_usage": {"total_tokens": value}, "last_token_usage": value, "model_context_window": value},
        {"total_token_usage": value},
    ):
        usage = token_usage("t", "u", sound(info)).token_usage
        assert (usage.total.total_tokens, usage.last.input_tokens, usage.model_context_window) == (0, 0, None)


@pytest.mark.parametrize(("value", "taken"), [(2**63, MOST), (1e300, MOST), (-5, 0), (7, 7)])
def test_counts_are_limited(value, taken):
    usage = token_usage("t", "u", sound({"last_token_usage": {"total_tokens": value}})).token_usage
    assert usage.last.total_tokens == taken
