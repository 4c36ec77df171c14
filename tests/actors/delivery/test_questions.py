"""Questions to clients: who is asked, who settles them, and questions that cannot be answered."""

import orjson
import pytest
import trio
import trio.testing
from attrs import evolve

from spindle.actors.delivery.outbox import Overflow
from spindle.actors.delivery.questions import Question, Questions
from spindle.actors.delivery.subscribers import Subscriber
from spindle.rpc.protocol.approvals import DynamicToolCallParams
from spindle.rpc.protocol.envelope import ErrorResponse, Response
from spindle.rpc.protocol.errors import RpcError

PARAMS = DynamicToolCallParams(thread_id="t", turn_id="u", call_id="c", tool="weather", arguments={})


def subscriber(*threads):
    """A client with these subscriptions."""
    client = Subscriber(Overflow.CLOSE)
    client.threads.update(threads)
    return client


def put(questions, thread_id="t"):
    return questions.put(thread_id, PARAMS, None)


def test_ids_count_from_zero_through_all_threads():
    questions = Questions()
    assert [put(questions, thread).id for thread in ("a", "b", "a")] == [0, 1, 2]


def test_a_question_is_sent_as_a_request_with_its_id():
    questions = Questions()
    put(questions)
    message = orjson.loads(put(questions).encode())
    assert (message["id"], message["method"], message["params"]["tool"]) == (1, "item/tool/call", "weather")


async def test_the_first_answer_settles_a_question():
    questions = Questions()
    question = put(questions)
    assert questions.settle(Response(0, {"n": 1}), subscriber("t"))
    questions.settle(Response(0, {"n": 2}), subscriber("t"))
    assert await question.wait() == {"n": 1}


async def test_an_error_is_an_answer_too():
    questions = Questions()
    question = put(questions)
    questions.settle(ErrorResponse(0, {"code": -5, "message": "no"}), subscriber("t"))
    with pytest.raises(RpcError, match="no") as caught:
        await question.wait()
    assert caught.value.code == -5


@pytest.mark.parametrize(("id", "threads"), [(0, {"other"}), (0, set()), (1, {"t"}), ("0", {"t"})])
def test_only_a_subscriber_answers_and_only_by_its_id(id, threads):
    questions = Questions()
    question = put(questions)
    assert not questions.settle(Response(id, {}), subscriber(*threads))
    assert not question.settled


def test_a_question_for_one_client_is_answered_by_that_client():
    questions = Questions()
    question = put(questions, "")
    client = subscriber()
    client.asked.add(question.id)
    assert not questions.settle(Response(question.id, {}), subscriber("t"))
    assert questions.settle(Response(question.id, {}), client)


def test_a_closed_question_takes_no_answer():
    questions = Questions()
    question = put(questions)
    questions.close(question)
    assert not questions.settle(Response(question.id, {}), subscriber("t"))


async def test_an_answer_wakes_the_waiting_task():
    question = Question(0, "t", PARAMS, None)
    answers = []

    async def wait():
        answers.append(await question.wait())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        assert not answers
        question.answer("yes")
    assert answers == ["yes"]


def test_a_question_that_cannot_be_encoded_is_refused_and_not_open():
    questions = Questions()
    with pytest.raises(RpcError, match="cannot be encoded"):
        questions.put("t", evolve(PARAMS, arguments={"a": "\udcff"}), None)
    assert put(questions).id == 0
    assert not questions.settle(Response(1, {}), subscriber("t"))
