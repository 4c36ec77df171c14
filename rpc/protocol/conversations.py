"""getConversationSummary: the summary of a stored thread, for older clients."""

from attrs import field

from spindle.rpc.lazy_class import frozen


@frozen(kw_only=True)
class GetConversationSummaryParams:
    """A thread, by its id or by its rollout's path, which may be relative to the home. The values are not checked here."""

    conversation_id: object = None
    rollout_path: object = None


@frozen
class ConversationGitInfo:
    """The state of the repository. Snake case on the wire."""

    sha: str | None
    branch: str | None
    origin_url: str | None = field(metadata={"wire": "origin_url"})


@frozen(kw_only=True)
class ConversationSummary:
    """Times are ISO 8601 in UTC with milliseconds; `source` is the protocol's SessionSource, a string or an object."""

    conversation_id: str
    path: str
    preview: str
    timestamp: str | None
    updated_at: str | None
    model_provider: str
    cwd: str
    cli_version: str
    source: object
    git_info: ConversationGitInfo | None


@frozen
class GetConversationSummaryResponse:
    """The summary."""

    summary: ConversationSummary
