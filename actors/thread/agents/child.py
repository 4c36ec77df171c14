"""What a thread is to the one that started it as an agent: kept loaded, watched by its guests, and reported on at its end.

A thread that nobody has started as an agent is the root of a family of its own.
"""

from __future__ import annotations

import orjson

from spindle.actors.kernel.mailbox import Reply
from spindle.actors.thread.agents.family import Family, Member
from spindle.actors.thread.core import ThreadCore
from spindle.actors.thread.messages import AgentRests
from spindle.actors.tools.agents.interface import AgentStatus
from spindle.rpc.protocol.errors import invalid_request
from spindle.rpc.protocol.turns import TurnError, TurnStatus
from spindle.storage.threads.summary import depth_of, parent_of


class Membership:
    """The place of `thread` in its family."""

    def __init__(self, thread: ThreadCore) -> None:
        self._thread = thread
        self._member: Member | None = None
        self.family = Family()

    @property
    def held(self) -> bool:
        """Whether the thread that started it wants it loaded."""
        return self._member is not None

    @property
    def closing(self) -> bool:
        """Whether it is ended as an agent, and not merely left."""
        return self._member is not None and self._member.closing

    @property
    def parent_id(self) -> str | None:
        """The thread that started it, be it long ago."""
        return self._member.parent_id if self._member is not None else parent_of(self._thread.state.source)

    @property
    def depth(self) -> int:
        """How many threads above it have started one another."""
        return self._member.depth if self._member is not None else depth_of(self._thread.state.source)

    def join(self, family: Family, member: Member) -> None:
        """Somebody has started or resumed the thread as an agent. Raises RpcError if it has agents in another family."""
        if family is not self.family and self.family.children(self._thread.thread_id):
            raise invalid_request(f"thread {self._thread.thread_id} has agents of its own")
        self.part()
        self.family, self._member = family, member

    def part(self) -> None:
        """That one does not want it any more; its own agents stay what they are."""
        member, self._member = self._member, None
        if member is not None:
            self.family.leave(member)

    def turn_began(self) -> None:
        """A turn runs."""
        self._become(AgentStatus("running"))

    def turn_ended(self, status: TurnStatus, error: TurnError | None, last_message: str | None) -> None:
        """It does not any more."""
        if status == "completed":
            self._become(AgentStatus("completed", last_message))
        elif status == "failed":
            self._become(AgentStatus("errored", error.message if error is not None else None))
        else:
            self._become(AgentStatus("interrupted"))

    def ended(self) -> None:
        """The thread is gone."""
        self._become(AgentStatus("shutdown"))
        self.part()

    def _become(self, status: AgentStatus) -> None:
        member = self._member
        if member is None:
            return
        self.family.become(member, status)
        if status.kind == "running":
            return
        text = None
        if status.final and not member.reported:
            member.reported = True
            told = orjson.dumps({"agent_path": member.id, "status": status.stored()}).decode()
            text = f"<subagent_notification>\n{told}\n</subagent_notification>"
        reply: Reply[None] = Reply(lambda _: None, lambda _: None)
        self._thread.supervisor.tell(member.parent_id, AgentRests(reply=reply, text=text))
