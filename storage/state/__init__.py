"""The state of threads outside their rollouts: sections, projects, attachments, read states, goals, queues, open questions.

Codex does not use it. The file `spindle/state.sqlite` in the home is created at the first change.
Any number of processes share it.
"""

from spindle.storage.state.store import StateStore
from spindle.storage.state.unavailable import StateUnavailable

__all__ = ["StateStore", "StateUnavailable"]
