"""The errors of the embedding interface, except refused requests (`RpcError`). Each is an `Error`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spindle.rpc.protocol.errors import Error

if TYPE_CHECKING:
    from spindle.actors.embedding.results import TurnResult
    from spindle.actors.thread.turns.watch import ProviderFailure


class SubscriberLagged(Error):
    """The stream was not read as fast as the thread produced events, and some are lost. Open another stream to go on."""


class ThreadClosed(Error):
    """The thread has ended, or the handle's block has. `id` is the thread's."""

    def __init__(self, id: str) -> None:
        super().__init__(f"thread {id} is closed, or the block of this handle has ended")
        self.id: str = id


class TurnFailed(Error):
    """The turn failed. `result` is the turn as it ended, with its error and what it did until then."""

    def __init__(self, result: TurnResult[str]) -> None:
        super().__init__(result.error.message if result.error else "the turn failed")
        self.result: TurnResult[str] = result


class ProviderError(TurnFailed):
    """The turn failed because the provider refused a request to the model, or could not be reached."""

    def __init__(self, result: TurnResult[str], provider: ProviderFailure) -> None:
        super().__init__(result)
        self.status: int | None = provider.status
        """The HTTP status; None if there was no answer, or if the answer broke off."""
        self.retry_after: float | None = provider.retry_after
        """Seconds that the provider asked to wait; None if it said nothing of that."""
        self.info: object = result.error.codex_error_info if result.error else None
        """The protocol's CodexErrorInfo: a string, or an object with one member."""


class TurnInterrupted(Error):
    """The turn was interrupted. `result` is the turn as it was recorded, with what it did until then."""

    def __init__(self, result: TurnResult[str]) -> None:
        super().__init__("the turn was interrupted")
        self.result: TurnResult[str] = result


class OutputInvalid(Error):
    """The answer is no value of the `output_type`, also after a second turn. `result` is that of the second turn."""

    def __init__(self, result: TurnResult[str], reason: str) -> None:
        super().__init__(f"the answer is not of the output_type: {reason}")
        self.result: TurnResult[str] = result
        self.text: str = result.text
        """The answer."""
        self.reason: str = reason
        """What does not fit, by the names of the members."""


def failure(result: TurnResult[str], provider: ProviderFailure | None) -> TurnFailed:
    """The error of a failed turn."""
    return TurnFailed(result) if provider is None else ProviderError(result, provider)


class InvalidOption(Error, ValueError):
    """An option of a thread or a turn has a value that is not allowed. `option` is its name, `reason` says what is allowed."""

    def __init__(self, option: str, reason: str) -> None:
        super().__init__(f"{option}: {reason}")
        self.option: str = option
        self.reason: str = reason
