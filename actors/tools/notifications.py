"""The notifications of an item: started, then completed, each with the time."""

from __future__ import annotations

import time

from spindle.actors.tools.interface import Notifier
from spindle.rpc.protocol.items import ThreadItem
from spindle.rpc.protocol.turns import ItemCompletedNotification, ItemStartedNotification


def now_ms() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def emit_started(host: Notifier, item: ThreadItem) -> None:
    """Emit item/started."""
    host.emit(ItemStartedNotification(item, host.thread_id, host.turn_id, now_ms()))


def emit_completed(host: Notifier, item: ThreadItem) -> None:
    """Emit item/completed."""
    host.emit(ItemCompletedNotification(item, host.thread_id, host.turn_id, now_ms()))
