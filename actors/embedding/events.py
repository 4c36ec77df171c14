"""What a program gets from the streams of a thread."""

from typing import TypeAlias

from spindle.actors.delivery import events as delivery
from spindle.actors.delivery import questions as delivered
from spindle.actors.embedding.questions import DynamicToolCall, Question, shown
from spindle.rpc.protocol.notifications import ThreadNotification

Event: TypeAlias = ThreadNotification | Question | DynamicToolCall
"""A notification of the thread, a question of it or of one of its agents, or a call of one of its dynamic tools."""


def seen(event: delivery.Event) -> Event:
    """What a program has for an event that was delivered."""
    if isinstance(event, delivered.Question):
        return shown(event)
    notification: ThreadNotification = event.params
    return notification
