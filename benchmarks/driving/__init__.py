"""What drives a daemon: a scripted model, a home that uses it, and a client. Standard library only.

The benchmarks and the tests of the daemon share it.
"""

from .answering import ModelProcess, response, serve
from .client import DEADLINE, Json, Refused, Requests
from .daemon import Daemon, new_home, running
from .model import (
    ModelServer,
    Speaker,
    chunk,
    completed,
    configure,
    created,
    item_done,
    message_added,
    message_done,
    pieces,
    spoken,
    text_delta,
)

__all__ = [
    "DEADLINE",
    "Daemon",
    "Json",
    "ModelProcess",
    "ModelServer",
    "Refused",
    "Requests",
    "Speaker",
    "chunk",
    "completed",
    "configure",
    "created",
    "item_done",
    "message_added",
    "message_done",
    "new_home",
    "pieces",
    "response",
    "running",
    "serve",
    "spoken",
    "text_delta",
]
