"""Stored bytes use only the memory they need."""

import tracemalloc

import orjson

from spindle.rpc.protocol.values import packed


def test_a_short_result_is_copied_out_of_the_encoders_block():
    tracemalloc.start()
    try:
        kept = [packed(orjson.dumps({"number": number})) for number in range(1000)]
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept[7] == b'{"number":7}'
    assert taken < 200 * len(kept)


def test_a_long_result_is_not_copied():
    encoded = orjson.dumps("x" * 100_000)
    assert packed(encoded) is encoded
