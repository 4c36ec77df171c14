"""Decoding and encoding of messages, and data that is not a message."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spindle.rpc.protocol.envelope import (
    ErrorResponse,
    Malformed,
    Message,
    Notification,
    Request,
    Response,
    encode_error,
    encode_notification,
    encode_request,
    encode_result,
    parse,
)
from spindle.rpc.protocol.errors import RpcError, internal_error, invalid_request, overloaded
from spindle.rpc.protocol.turns import AgentMessageDeltaNotification

texts = st.text(st.characters(codec="utf-8"))
int64s = st.integers(-(2**63), 2**63 - 1)
ids = texts | int64s
json_values = st.recursive(
    st.none() | st.booleans() | int64s | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    "line",
    [
        b"not json", b"", b"   ", b"{", b"[]", b"42", b"null", b'"text"', b"{}", b'{"id":7}', b'{"method":7}',
        b'{"id":7,"method":7}', b'{"params":{}}', b'[{"id":6,"method":"m","params":{}}]', b'{"id":1.5,"method":"m"}',
        b'{"id":true,"method":"m"}', b'{"id":{"a":1},"method":"m"}', b'{"id":9223372036854775808,"method":"m"}',
        b"\xff\xfe", b'{"id":null,"result":1}', b'{"result":1}', b'{"id":"\\ud800","method":"m"}',
        b'{"id":1,"params":{"method":"\xff"}}', b'[{"id":1,"method":"\xff"}]', b'{"id":1e400,"method":"m"}',
    ],
)  # fmt: skip
def test_data_that_is_not_a_message(line: bytes) -> None:
    assert parse(line) is None


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"id":1,"method":"m"}', Request(1, "m", None, False)),
        (b'{"id":1,"method":"m","params":null}', Request(1, "m", None, True)),
        (b'{"id":"a","method":"m","params":{"x":1}}', Request("a", "m", {"x": 1}, True)),
        (b'{"jsonrpc":"2.0","id":-3,"method":"m"}', Request(-3, "m", None, False)),
        (b'  {"id":0,"method":"m"} \t\r', Request(0, "m", None, False)),
        (b'{"method":"m"}', Notification("m", None)),
        (b'{"id":null,"method":"m","params":{}}', Notification("m", {})),
        (b'{"id":1,"result":null}', Response(1, None)),
        (b'{"id":1,"error":{"code":-1,"message":"m"}}', ErrorResponse(1, {"code": -1, "message": "m"})),
        (b'{"id":1,"error":"text"}', ErrorResponse(1, {})),
    ],
)
def test_the_four_kinds(line: bytes, message: Message) -> None:
    assert parse(line) == message


DEEP = b'{"a":' * 10_000 + b"1" + b"}" * 10_000


@pytest.mark.parametrize(
    "params",
    [
        rb'"\ud800"', rb'"\udc80 \" }"', b'"\xff"', b"NaN", b"-Infinity", b"1e400", b"9" * 5000,
        b"[" * 127 + b"]" * 127, DEEP, b"{",
    ],
    ids=lambda params: repr(params[:12]),
)  # fmt: skip
@pytest.mark.parametrize("order", [b'{"id":%s,"method":"m","params":%s}', b'{"method":"m","params":%.0s%s,"id":1}'])
def test_an_undecodable_request_can_be_answered(order: bytes, params: bytes) -> None:
    message = parse(order % (b"1", params))
    if params == b"{" and order.endswith(b"1}"):
        assert message is None  # its id is then a member of the params
    else:
        assert isinstance(message, Malformed)
        assert message.id == 1
        assert message.reason


@pytest.mark.parametrize("behind", [b"trailing", b'{"id":2,"method":"m"}', b'\n{"id":2,"method":"m"}', b"}", b",", b"\xff"])
def test_a_message_with_trailing_data_is_not_a_message(behind: bytes) -> None:
    assert parse(b'{"id":1,"method":"m","params":{}} ' + behind) is None


@pytest.mark.parametrize("member", ["result", "error"])
def test_an_undecodable_answer_is_an_error(member: str) -> None:
    message = parse(b'{"id":"q","%s":{"text":"\\ud800"}}' % member.encode())
    assert isinstance(message, ErrorResponse)
    assert message.id == "q"
    assert "surrogate" in str(message.error["message"])


@pytest.mark.parametrize("piece", [b'\\"', b"[", b'"a":', b"{}", b",", b"1 "])
def test_the_id_of_a_damaged_message_is_found_in_bounded_time(piece: bytes) -> None:
    assert parse(b'{"method":"m","params":"' + piece * 1_000_000) is None
    assert parse(b'{"method":"m","params":' + piece * 1_000_000 + b',"id":1}') is None


@pytest.mark.parametrize("id", ["text", "", "7", -3, 0, 2**63 - 1, -(2**63)])
def test_ids_keep_their_type(id: str | int) -> None:
    answer = orjson.loads(encode_result(id, {}))
    assert answer == {"id": id, "result": {}}
    assert type(answer["id"]) is type(id)


@given(ids, texts, json_values)
def test_a_request_survives_the_round_trip(id: str | int, method: str, params: object) -> None:
    line = encode_request(id, method, params)
    assert b"\n" not in line
    assert parse(line) == Request(id, method, params, True)


@given(ids, json_values)
def test_a_result_survives_the_round_trip(id: str | int, result: object) -> None:
    assert parse(encode_result(id, result)) == Response(id, result)


@given(st.binary())
def test_any_bytes_can_be_decoded(line: bytes) -> None:
    parse(line)


def test_a_notification_is_written_without_jsonrpc_and_newline() -> None:
    delta = AgentMessageDeltaNotification("t", "u", "i", "d")
    assert encode_notification(delta.METHOD, delta) == (
        b'{"method":"item/agentMessage/delta","params":{"threadId":"t","turnId":"u","itemId":"i","delta":"d"}}'
    )
    assert encode_notification("initialized", None) == b'{"method":"initialized"}'


def test_encoded_values_are_not_encoded_again() -> None:
    assert encode_notification("m", orjson.Fragment(b'{"a":1}')) == b'{"method":"m","params":{"a":1}}'
    assert encode_result(1, orjson.Fragment(b"{}")) == b'{"id":1,"result":{}}'


@pytest.mark.parametrize(
    ("error", "body"),
    [
        (invalid_request("m"), {"code": -32600, "message": "m"}),
        (invalid_request("m", {"k": 1}), {"code": -32600, "message": "m", "data": {"k": 1}}),
        (internal_error("m"), {"code": -32603, "message": "m"}),
        (overloaded(), {"code": -32001, "message": "Server overloaded; retry later."}),
    ],
)
def test_errors(error: RpcError, body: dict[str, object]) -> None:
    assert orjson.loads(encode_error("a", error)) == {"id": "a", "error": body}
    assert str(error) == body["message"]


@pytest.mark.parametrize("data", [object(), 2**64, "\udcff"])
def test_an_error_is_always_encoded(data: object) -> None:
    error = orjson.loads(encode_error(1, RpcError(-5, "no \udcff", data)))["error"]
    assert error == {"code": -5, "message": "no \ufffd"}


@pytest.mark.parametrize(
    "line", [b'{"id":1,"method":"m","params":{}}', b'{"id":1,"method":"m","params":[[}', b"[" * 200, b'{"id":1,"result":[']
)
def test_a_long_message_is_decoded_from_its_receive_buffer(line):
    assert parse(bytearray(line)) == parse(line)
