"""What a provider says about its answers, as notifications."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from spindle.actors.thread.turns.live import LiveTurn
from spindle.rpc.model.interface import ResponseMetadata
from spindle.rpc.protocol.notifications import ThreadNotification
from spindle.rpc.protocol.turns import (
    ModelReroutedNotification,
    ModelVerification,
    ModelVerificationNotification,
    TurnModerationMetadataNotification,
    WarningNotification,
)
from spindle.rpc.protocol.values import clean

_VERIFICATIONS: Final[dict[str, ModelVerification]] = {"trusted_access_for_cyber": "trustedAccessForCyber"}


def notifications(thread_id: str, turn: LiveTurn, said: ResponseMetadata) -> Iterator[ThreadNotification]:
    """The notifications of one event. Another model than requested is notified once in a turn, as Codex does.

    Verifications that the protocol has no word for are left out.
    """
    asked = turn.settings.model
    if said.model is not None and said.model.lower() != asked.lower() and not turn.rerouted:
        turn.rerouted = True
        model = clean(said.model)[:200]
        yield ModelReroutedNotification(thread_id, turn.id, asked, model)
        yield WarningNotification(thread_id, f"The provider answered with the model {model} instead of {asked}.")
    known: list[ModelVerification] = [_VERIFICATIONS[word] for word in said.verifications if word in _VERIFICATIONS]
    if known:
        yield ModelVerificationNotification(thread_id, turn.id, known)
    if said.moderation is not None:
        yield TurnModerationMetadataNotification(thread_id, turn.id, said.moderation)
