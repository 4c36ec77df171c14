"""Many clients, each subscribed to some of the threads, with turns on all threads at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest
from benchmarks.driving import DEADLINE
from benchmarks.driving.following import Event, Follower, differences
from benchmarks.driving.websocket import SocketClient

if TYPE_CHECKING:
    from .process import Daemon

CLIENTS, THREADS, EACH, ROUNDS = 12, 6, 3, 3


@pytest.mark.parametrize("one_is_silent", [False, True])
def test_every_subscriber_gets_every_event_of_its_threads_once_and_in_order(unix_daemon: Daemon, one_is_silent: bool) -> None:
    owner = unix_daemon.client()
    threads = [owner.start_thread()["id"] for _ in range(THREADS)]
    for thread in threads:
        owner.run_turn(thread, "before")
    subscribed = [{threads[(number + at) % THREADS] for at in range(EACH)} for number in range(CLIENTS)]
    followers = [Follower(unix_daemon.address, mine) for mine in subscribed]
    silent = SocketClient(unix_daemon.address)  # after it has subscribed, it reads nothing
    for thread in threads if one_is_silent else ():
        silent.call("thread/resume", threadId=thread)
    for _ in range(ROUNDS):
        for thread in threads:
            owner.start_turn(thread, "hello")
        for follower in followers:
            assert len(follower.completed(DEADLINE)) == EACH
    for follower in followers:
        follower.close()
    assert differences(followers, ROUNDS) == []
    silent.wire.dispose()


class Recorded:
    """What a client got."""

    def __init__(self, **events: list[Event]) -> None:
        self.threads, self.events = {"a"}, events


def test_what_counts_as_a_difference() -> None:
    delta, end = ("item/agentMessage/delta 1 i", "one "), ("turn/completed", "1 None None")
    more: Event = ("item/agentMessage/delta 1 i", "two")
    full, joined = [delta, more, end], [(delta[0], "one two"), end]

    def found(*others: list[Event]) -> int:
        return len(differences(cast("list[Follower]", [Recorded(a=full), *(Recorded(a=other) for other in others)]), 1))

    assert found(full, joined) == 0
    assert found([delta, end]) == 1  # a piece is missing
    assert found([more, delta, end]) == 1
    assert found([delta, more]) == 2  # the end is missing
    assert found([delta, more, end, end]) == 2
    other = Recorded(a=full, b=[end])
    assert len(differences(cast("list[Follower]", [other]), 1)) == 1
