"""Reviews: turns in which the agent reviews changes and reports findings."""

from typing import Annotated, Literal, TypeAlias

from attrs import field

from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.shapes import Tagged
from spindle.rpc.protocol.turns import Turn

ReviewDelivery: TypeAlias = Literal["inline", "detached"]


@frozen
class UncommittedChangesTarget:
    """Review uncommitted changes, new files included."""

    type: Literal["uncommittedChanges"] = field(default="uncommittedChanges", init=False)


@frozen
class BaseBranchTarget:
    """Review the difference from `branch`."""

    type: Literal["baseBranch"] = field(default="baseBranch", init=False)
    branch: str


@frozen
class CommitTarget:
    """Review one commit."""

    type: Literal["commit"] = field(default="commit", init=False)
    sha: str
    title: str | None = None


@frozen
class CustomTarget:
    """Review by the given instructions."""

    type: Literal["custom"] = field(default="custom", init=False)
    instructions: str


ReviewTarget: TypeAlias = Annotated[
    UncommittedChangesTarget | BaseBranchTarget | CommitTarget | CustomTarget, Tagged("ReviewTarget")
]


@frozen
class ReviewStartParams:
    """Start a review, in this thread or (detached) in a new thread."""

    thread_id: str
    target: ReviewTarget
    delivery: ReviewDelivery | None = None


@frozen
class ReviewStartResponse:
    """The review's turn, and its thread."""

    turn: Turn
    review_thread_id: str
