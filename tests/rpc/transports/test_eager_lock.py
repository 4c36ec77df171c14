"""The lock that is taken at once where it is free."""

import trio
from trio.testing import assert_no_checkpoints, wait_all_tasks_blocked

from spindle.rpc.transports.eager_lock import EagerLock


async def test_a_free_lock_is_taken_at_once():
    lock = EagerLock()
    with assert_no_checkpoints():
        async with lock:
            pass


async def test_a_taken_lock_is_waited_for_in_turn_and_the_wait_can_be_cancelled():
    lock, seen = EagerLock(), []

    async def take(name, scope):
        with scope:
            async with lock:
                seen.append(name)

    scopes = {name: trio.CancelScope() for name in ("first", "cancelled", "second")}
    async with trio.open_nursery() as nursery, lock:
        for name, scope in scopes.items():
            nursery.start_soon(take, name, scope)
            await wait_all_tasks_blocked()
        scopes["cancelled"].cancel()
        await wait_all_tasks_blocked()
        assert seen == []
    assert seen == ["first", "second"]
