"""Plans: what a user has approved in one thread, given to another one. From Codex 0.171."""

from spindle.rpc.lazy_class import frozen


@frozen(kw_only=True)
class ThreadPrepareApprovedPlanParams:
    """Give an approved plan to a loaded thread. `attachment_path` is a file with the same plan, which must be absolute."""

    thread_id: str
    markdown: str
    attachment_path: str | None = None


@frozen
class ThreadPrepareApprovedPlanResponse:
    """What the user says in the first turn. It names the file if the thread can read it; else the plan is in its history."""

    prompt: str
