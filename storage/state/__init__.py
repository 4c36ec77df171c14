"""What is kept about threads beside their rollouts: sections, read states, goals. Durable, and nobody else's.

It lies in `spindle/state.sqlite` in the home, made when something is first kept. Any number of processes share it.
"""

from spindle.storage.state.store import StateStore
from spindle.storage.state.unavailable import StateUnavailable

__all__ = ["StateStore", "StateUnavailable"]
