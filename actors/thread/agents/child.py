"""What a thread is to the thread that started or resumed it as an agent. A thread without a parent is the root of a family."""

from __future__ import annotations

import orjson

from spindle.actors.kernel.mailbox import Reply
from spindle.actors.thread.agents.family import Family, Member
from spindle.actors.thread.agents.life import MemberEffect
from spindle.actors.thread.core import ThreadCore
from spindle.actors.thread.messages import AgentRests
from spindle.actors.tools.agents.agents import AgentStatus
from spindle.rpc.protocol.errors import invalid_request
from spindle.rpc.protocol.turns import TurnError, TurnStatus
from spindle.storage.threads.summary import depth_of, parent_of


class Membership:
    """A thread's place in its family."""

    def __init__(self, thread: ThreadCore) -> None:
        self._thread = thread
        self._member: Member | None = None
        self.family = Family()

    @property
    def kept_loaded(self) -> bool:
        """Whether a parent keeps the thread loaded."""
        return self._member is not None

    @property
    def ending(self) -> bool:
        """Whether the thread is ended as an agent, and its own agents with it."""
        return self._member is not None and self._member.ending

    @property
    def parent_id(self) -> str | None:
        """The thread that started it, also if that was long ago."""
        return self._member.parent_id if self._member is not None else parent_of(self._thread.state.source)

    @property
    def depth(self) -> int:
        """How far below the root of its family it is."""
        return self._member.depth if self._member is not None else depth_of(self._thread.state.source)

    def join(self, family: Family, member: Member) -> None:
        """Become the agent `member` of `family`. Raises RpcError if the thread has agents in another family."""
        if family is not self.family and self.family.children(self._thread.thread_id):
            raise invalid_request(f"thread {self._thread.thread_id} has open agents, so it cannot become an agent")
        self.part()
        self.family, self._member = family, member

    def part(self) -> None:
        """Be no agent any more. The thread's own agents stay what they are."""
        member, self._member = self._member, None
        if member is not None:
            self.family.leave(member)

    def turn_began(self) -> None:
        """A turn with input begins."""
        self._become(AgentStatus("running"))

    def turn_ended(self, status: TurnStatus, error: TurnError | None, last_message: str | None) -> None:
        """A turn with input has ended."""
        if status == "completed":
            self._become(AgentStatus("completed", last_message))
        elif status == "failed":
            self._become(AgentStatus("errored", error.message if error is not None else None))
        else:
            self._become(AgentStatus("interrupted"))

    def ended(self) -> None:
        """The thread has ended."""
        self._become(AgentStatus("shutdown"))
        self.part()

    def _become(self, status: AgentStatus) -> None:
        if (member := self._member) is None:
            return
        effects = self.family.become(member, status)
        if MemberEffect.REPORT in effects:
            self._report_to_parent(member, _report(member))
        elif MemberEffect.WAKE in effects:
            self._report_to_parent(member, None)

    def _report_to_parent(self, member: Member, text: str | None) -> None:
        reply: Reply[None] = Reply(lambda _: None, lambda _: None)
        self._thread.supervisor.tell(member.parent_id, AgentRests(reply=reply, text=text))


def _report(member: Member) -> str:
    """The message to the parent's model about an agent's end, in Codex's form."""
    notice = orjson.dumps({"agent_path": member.id, "status": member.status.stored()}).decode()
    return f"<subagent_notification>\n{notice}\n</subagent_notification>"
