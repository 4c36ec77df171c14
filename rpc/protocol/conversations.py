"""getConversationSummary: an older client's view of a stored thread."""

from attrs import field, frozen


@frozen(kw_only=True)
class GetConversationSummaryParams:
    """By id, or by the rollout's path, which may be relative to the home; not checked here."""

    conversation_id: object = None
    rollout_path: object = None


@frozen
class ConversationGitInfo:
    """The repository as it was. Snake case on the wire."""

    sha: str | None
    branch: str | None
    origin_url: str | None = field(metadata={"wire": "origin_url"})


@frozen(kw_only=True)
class ConversationSummary:
    """Times are ISO 8601 in UTC with milliseconds; `source` is a word or an object of SessionSource."""

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
