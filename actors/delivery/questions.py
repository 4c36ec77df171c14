"""Questions to clients: requests from the server, and the answers that settle them.

A question belongs to a thread and goes to all its subscribers, or is for one client only; the first answer settles it. It keeps
its id while it is open, so a client that subscribes later gets the same request. Ids count from 0 in each runtime.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import trio

from spindle.actors.delivery.events import Event
from spindle.rpc.protocol.envelope import ErrorResponse, RequestId, Response, encode_request
from spindle.rpc.protocol.errors import INTERNAL_ERROR, RpcError, internal_error
from spindle.rpc.protocol.threads import ThreadActiveFlag

if TYPE_CHECKING:
    from spindle.actors.delivery.subscribers import Subscriber


class Question(Event):
    """One request to any number of subscribers; encoded at most once.

    `waiting_on` is the flag that the thread's status shows while it is open. `about` is what it is about beyond its params, for
    programs in this process, and `shown` what they have for it (`embedding.questions`). A connection answers it when its client
    does.
    """

    __slots__ = ("_answer", "_error", "_settled", "about", "began", "id", "shown", "thread_id", "waiting_on")

    def __init__(
        self, id: int, thread_id: str, params: Any, waiting_on: ThreadActiveFlag | None, about: object = None
    ) -> None:
        super().__init__(params)
        self.id: int = id
        self.thread_id: str = thread_id
        self.waiting_on: ThreadActiveFlag | None = waiting_on
        self.about: object = about
        self.shown: Any = None
        self.began = time.monotonic()
        self._settled = trio.Event()
        self._answer: object = None
        self._error: RpcError | None = None

    def encode(self) -> bytes:
        """The whole JSON-RPC message."""
        if self._encoded is None:
            self._encoded = encode_request(self.id, self.method, self.params)
        return self._encoded

    @property
    def settled(self) -> bool:
        """Whether it is answered or withdrawn."""
        return self._settled.is_set()

    def answer(self, result: object) -> None:
        """Answer with `result`, as JSON values. Does nothing if the question is settled."""
        if not self.settled:
            self._answer = result
            self._settled.set()

    def refuse(self, error: RpcError) -> None:
        """Answer with an error. Does nothing if the question is settled."""
        if not self.settled:
            self._error = error
            self._settled.set()

    @property
    def result(self) -> object:
        """The answer, as JSON values; None if there is none."""
        return self._answer

    @property
    def error(self) -> RpcError | None:
        """The error that it was answered with."""
        return self._error

    async def over(self) -> None:
        """Wait until it is answered or withdrawn."""
        await self._settled.wait()

    async def wait(self) -> object:
        """Wait for the answer. Raises the RpcError it was answered with."""
        await self._settled.wait()
        if self._error is not None:
            raise self._error
        return self._answer


class Questions:
    """The open questions of a runtime."""

    def __init__(self) -> None:
        self._open: dict[RequestId, Question] = {}
        self._next = 0

    def put(
        self, thread_id: str, params: Any, waiting_on: ThreadActiveFlag | None, about: object = None
    ) -> Question:
        """Open a question. The caller delivers it, waits for it and closes it. Raises RpcError if it cannot be encoded."""
        question = Question(self._next, thread_id, params, waiting_on, about)
        try:
            question.encode()
        except Exception as error:
            raise internal_error(f"the question cannot be encoded: {error}") from error
        self._next += 1
        self._open[question.id] = question
        return question

    def close(self, question: Question) -> None:
        """Forget a question. If it is not answered, it is withdrawn."""
        self._open.pop(question.id, None)
        question.refuse(internal_error("the question has been withdrawn"))

    def settle(self, message: Response | ErrorResponse, subscriber: Subscriber) -> bool:
        """Settle a question with a client's answer. False if no open question that it was asked has that id."""
        question = self._open.get(message.id)
        if question is None or not (question.id in subscriber.asked or question.thread_id in subscriber.threads):
            return False
        match message:
            case Response(result=result):
                question.answer(result)
            case ErrorResponse(error=error):
                code, text = error.get("code"), error.get("message")
                question.refuse(RpcError(code if isinstance(code, int) else INTERNAL_ERROR, str(text or "")))
        return True
