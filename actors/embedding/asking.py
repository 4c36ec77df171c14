"""How a program's callback answers the questions of a thread, and the error where nothing does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import TypeAlias

from spindle.actors.embedding.questions import Question
from spindle.actors.tasks.blocks import open_block
from spindle.rpc.protocol.errors import Error

OnQuestion: TypeAlias = Callable[[Question], Awaitable[None]]
"""A callback that answers questions. It calls one of the question's methods, and may take its time.

If it returns without an answer, the question is declined. If it raises, too, and the exception ends the block of the thread's
handle. It is cancelled when another client answers, or the question is withdrawn. A callback that several handles share gets
each question once.
"""


class ApprovalRequired(Error):
    """The agent asked a question that the application does not answer, so it was declined.

    `question` is the question, and its text says what it is about: a command, files, a tool. Pass `on_question` to
    `start_thread` or `open_runtime`, or iterate over a `turn` and answer there.
    """

    def __init__(self, question: Question) -> None:
        super().__init__(f"the application does not answer questions, so this one was declined: {question}")
        self.question: Question = question


async def answer_by(on_question: OnQuestion, question: Question) -> None:
    """Have the callback answer. Raises what it raises."""
    async with question.only_one(on_question):
        if question.settled:
            return
        async with open_block() as nursery:

            async def watch() -> None:
                await question.wait_settled()
                nursery.cancel_scope.cancel()

            nursery.start_soon(watch)
            try:
                answering = on_question(question)
                if not isawaitable(answering):
                    raise TypeError(f"on_question must be an async function, not {on_question!r}")
                await answering
            except Exception:
                question.decline()
                raise
            question.decline()
