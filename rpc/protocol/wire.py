"""Bases of classes that programs get: each object can say how it is on the wire."""

from typing import Any, ClassVar


class Item:
    """An item of a turn."""

    __slots__ = ()

    def to_json(self) -> dict[str, Any]:
        """The item as it is on the wire."""
        from spindle.rpc.protocol.converter import unstructure

        members: dict[str, Any] = unstructure(self)
        return members


class Notification:
    """A notification to clients. `METHOD` is its name."""

    __slots__ = ()
    METHOD: ClassVar[str]

    def to_json(self) -> dict[str, Any]:
        """The notification as it is on the wire: its `method` and `params`."""
        from spindle.rpc.protocol.converter import unstructure

        return {"method": self.METHOD, "params": unstructure(self)}
