"""Threads for trio applications: a block is the subscription, a turn is a stream of typed events.

async with open_runtime() as runtime:
    async with runtime.start_thread(cwd=".") as thread:
        async with thread.turn("Explain this repository") as turn:
            async for event in turn:
                ...

Only one wait is shielded from cancellation: until an interrupted turn is recorded (`turns.leave`). `open_runtime` says
what the end of a runtime waits for. A package without names of its own, so that `runtime` is imported without the rest.
"""
