"""Services of a ChatGPT account: limits, usage, credits, other logins."""

from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

from attrs import field

from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.accounts import PlanType
from spindle.rpc.protocol.shapes import I32


@frozen
class GetAccountRateLimitsParams:
    """Read the limits of the account's plan."""

    exclude_reset_credit_details: bool = False
    supports_luna_reserve: bool = False


@frozen
class CreditsSnapshot:
    """The credits at one time."""

    has_credits: bool
    unlimited: bool
    balance: str | None = None


@frozen
class SpendControlLimitSnapshot:
    """A limit of spending."""

    limit: str
    remaining_percent: I32
    resets_at: int
    used: str


@frozen
class RateLimitWindow:
    """A limit for a span of time."""

    used_percent: I32
    resets_at: int | None = None
    window_duration_mins: int | None = None


RateLimitReachedType: TypeAlias = Literal[
    "rate_limit_reached",
    "workspace_owner_credits_depleted",
    "workspace_member_credits_depleted",
    "workspace_owner_usage_limit_reached",
    "workspace_member_usage_limit_reached",
]


@frozen
class RateLimitSnapshot:
    """The limits at one time."""

    credits: CreditsSnapshot | None = None
    individual_limit: SpendControlLimitSnapshot | None = None
    limit_id: str | None = None
    limit_name: str | None = None
    normal_model_slug: str | None = None
    plan_type: PlanType | None = None
    primary: RateLimitWindow | None = None
    rate_limit_reached_type: RateLimitReachedType | None = None
    secondary: RateLimitWindow | None = None
    spend_control_reached: bool | None = None


RateLimitResetType: TypeAlias = Literal["codexRateLimits", "unknown"]


RateLimitResetCreditStatus: TypeAlias = Literal["available", "redeeming", "redeemed", "unknown"]


@frozen
class RateLimitResetCredit:
    """A credit that resets a limit."""

    granted_at: int
    id: str
    reset_type: RateLimitResetType
    status: RateLimitResetCreditStatus
    description: str | None = None
    expires_at: int | None = None
    title: str | None = None


@frozen
class RateLimitResetCreditsSummary:
    """The credits that reset limits."""

    available_count: int
    credits: Sequence[RateLimitResetCredit] | None = None


@frozen
class GetAccountRateLimitsResponse:
    """The limits of the account's plan."""

    rate_limits: RateLimitSnapshot
    account_id: str | None = None
    ordinary_usage_allowed: bool | None = None
    rate_limit_reset_credits: RateLimitResetCreditsSummary | None = None
    rate_limit_upsell: object | None = None
    rate_limits_by_limit_id: Mapping[str, RateLimitSnapshot] | None = None


AddCreditsNudgeCreditType: TypeAlias = Literal["credits", "usage_limit"]


@frozen
class SendAddCreditsNudgeEmailParams:
    """Ask the owner of the workspace for more credits."""

    credit_type: AddCreditsNudgeCreditType


AddCreditsNudgeEmailStatus: TypeAlias = Literal["sent", "cooldown_active"]


@frozen
class SendAddCreditsNudgeEmailResponse:
    """Whether the owner was asked."""

    status: AddCreditsNudgeEmailStatus


@frozen
class AccountSessionsListParams:
    """List the logins that can be switched to."""

    refresh_workspace_metadata: bool = False


AccountSessionWorkspaceKind: TypeAlias = Literal["personal", "workspace"]


@frozen
class AccountSessionWorkspace:
    """A workspace of a login."""

    account_id: str
    image_url: str | None = None
    kind: AccountSessionWorkspaceKind | None = None
    name: str | None = None


@frozen
class AccountSession:
    """A login."""

    is_active: bool
    last_used_at: int
    session_id: str
    workspaces: Sequence[AccountSessionWorkspace]
    display_name: str | None = None
    email: str | None = None
    image_url: str | None = None
    selected_workspace_account_id: str | None = None
    user_id: str | None = None


@frozen
class AccountSessionsResponse:
    """The logins, and which is in use."""

    sessions: Sequence[AccountSession]
    active_session_id: str | None = None


@frozen
class AccountSessionsSwitchParams:
    """Use another login or workspace."""

    account_id: str
    session_id: str
    allow_browser_login: bool = False


@frozen
class SwitchedAccountSession:
    """The logins, after the switch."""

    sessions: Sequence[AccountSession]
    active_session_id: str | None = None


@frozen
class AccountSessionLogin:
    """The page to log in at."""

    auth_url: str = field(metadata={"wire": "auth_url"})
    login_id: str = field(metadata={"wire": "login_id"})


AccountSessionsSwitchResponse: TypeAlias = SwitchedAccountSession | AccountSessionLogin


@frozen
class AccountSecuritySetupAction:
    """What a hint leads to."""

    label: str
    url: str


@frozen
class AccountSecuritySetupNotice:
    """A hint about the account's security."""

    account_id: str
    action: AccountSecuritySetupAction
    description: str
    title: str
    user_id: str


@frozen
class GetAccountSecuritySetupResponse:
    """What the user should do for the account's security; None for nothing."""

    notice: AccountSecuritySetupNotice | None = None


@frozen
class ConsumeAccountRateLimitResetCreditParams:
    """Use a credit that resets a limit."""

    idempotency_key: str
    credit_id: str | None = None


ConsumeAccountRateLimitResetCreditOutcome: TypeAlias = Literal["reset", "nothingToReset", "noCredit", "alreadyRedeemed"]


@frozen
class ConsumeAccountRateLimitResetCreditResponse:
    """What the credit did."""

    outcome: ConsumeAccountRateLimitResetCreditOutcome


@frozen
class GetAccountTokenUsageParams:
    """Read how many tokens the account has used."""

    thread_id: str | None = None


@frozen
class AccountTokenUsageSummary:
    """The tokens in figures."""

    current_streak_days: int | None = None
    lifetime_tokens: int | None = None
    longest_running_turn_sec: int | None = None
    longest_streak_days: int | None = None
    peak_daily_tokens: int | None = None


@frozen
class AccountTokenUsageDailyBucket:
    """The tokens of a day."""

    start_date: str
    tokens: int


@frozen
class ThreadUsageBreakdownGroup:
    """What one model has cost."""

    estimated_usage_credits_micros: int
    cached_input_tokens: int | None = None
    input_tokens: int | None = None
    model: str | None = None
    net_new_input_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_effort: str | None = None
    speed: str | None = None
    total_tokens: int | None = None


@frozen
class ThreadUsage:
    """What a thread has cost."""

    estimated_usage_credits_micros: int
    groups: Sequence[ThreadUsageBreakdownGroup]
    thread_id: str
    estimated_usage_usd_micros: int | None = None
    native_usage_usd_micros: int | None = None


@frozen
class GetAccountTokenUsageResponse:
    """The tokens that the account has used."""

    summary: AccountTokenUsageSummary
    daily_usage_buckets: Sequence[AccountTokenUsageDailyBucket] | None = None
    thread_usage: ThreadUsage | None = None


WorkspaceMessageType: TypeAlias = Literal["headline", "announcement", "unknown"]


@frozen
class WorkspaceMessage:
    """A message of the workspace."""

    message_body: str
    message_id: str
    message_type: WorkspaceMessageType
    archived_at: int | None = None
    created_at: int | None = None


@frozen
class GetWorkspaceMessagesResponse:
    """Messages of the workspace to its members."""

    feature_enabled: bool
    messages: Sequence[WorkspaceMessage]
