"""Maintenance of a home's files. From Codex 0.171."""

from spindle.rpc.lazy_class import frozen


@frozen
class RolloutCompressResponse:
    """Old rollouts will be compressed, unless a pass is running already."""
