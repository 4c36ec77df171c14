"""What is kept takes the memory it needs."""

import tracemalloc

import orjson

from spindle.rpc.protocol.values import packed


def test_a_short_result_is_moved_out_of_the_encoders_block():
    tracemalloc.start()
    try:
        kept = [packed(orjson.dumps({"number": number})) for number in range(1000)]
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept[7] == b'{"number":7}'
    assert taken < 200 * len(kept)


def test_a_long_one_stays_where_it_is():
    encoded = orjson.dumps("x" * 100_000)
    assert packed(encoded) is encoded
