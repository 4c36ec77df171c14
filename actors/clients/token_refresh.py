"""Asks a client for other tokens of its ChatGPT account: `account/chatgptAuthTokens/refresh`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import trio

from spindle.actors.clients.caller import Caller
from spindle.rpc.model.model_errors import ModelError
from spindle.rpc.protocol.accounts import ChatgptAuthTokensRefreshParams, ChatgptAuthTokensRefreshResponse
from spindle.rpc.protocol.converter import InvalidValue, structure
from spindle.rpc.protocol.errors import RpcError
from spindle.storage.passed_tokens import PassedTokens, passed_tokens

DEADLINE: Final = 10
"""Seconds to wait for the client's answer."""


def refresh_by(caller: Caller) -> Callable[[PassedTokens], Awaitable[PassedTokens]]:
    """A function that asks this client for tokens after others were refused. It raises ModelError."""
    questions, subscriber = caller.backend.services.questions, caller.subscriber

    async def ask(refused: PassedTokens) -> PassedTokens:
        if subscriber.outbox.closed or subscriber.outbox.overflowed:
            raise _failed("the client that passed the tokens has disconnected")
        question = questions.put("", ChatgptAuthTokensRefreshParams("unauthorized", refused.account_id), None)
        subscriber.asked.add(question.id)
        try:
            subscriber.outbox.put(question)
            with trio.fail_after(DEADLINE):
                answer = structure(await question.wait(), ChatgptAuthTokensRefreshResponse)
            return passed_tokens(answer.access_token, answer.chatgpt_account_id, answer.chatgpt_plan_type)
        except trio.TooSlowError:
            raise _failed(f"no answer in {DEADLINE} s") from None
        except RpcError as error:
            raise _failed(f"code={error.code} message={error.message}") from None
        except InvalidValue:  # its text may have the token
            raise _failed("the answer is not valid") from None
        except ValueError as error:
            raise _failed(str(error)) from None
        finally:
            subscriber.asked.discard(question.id)
            questions.close(question)

    return ask


def _failed(why: str) -> ModelError:
    return ModelError(f"auth refresh request failed: {why}")
