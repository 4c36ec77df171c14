"""The account for model requests: read it, log in, log out."""

from typing import Annotated, ClassVar, Literal, TypeAlias

from attrs import field

from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.shapes import JsonObject, Tagged
from spindle.rpc.protocol.wire import Notification

AuthMode: TypeAlias = Literal["apikey", "chatgpt", "chatgptAuthTokens", "agentIdentity"]
PlanType: TypeAlias = str


@frozen
class ApiKeyAccount:
    """An API key."""

    type: Literal["apiKey"] = field(default="apiKey", init=False)


@frozen
class ChatgptAccount:
    """A ChatGPT subscription."""

    type: Literal["chatgpt"] = field(default="chatgpt", init=False)
    email: str
    plan_type: PlanType


Account: TypeAlias = Annotated[ApiKeyAccount | ChatgptAccount, Tagged("Account")]


@frozen(kw_only=True)
class WorkspaceRouting:
    """Where the requests of a ChatGPT workspace go."""

    account_routing_override: JsonObject
    backend_origin: str
    chatgpt_account_id: str


@frozen
class GetAccountParams:
    """Parameters of account/read."""

    refresh_token: bool = False


@frozen
class GetAccountResponse:
    """The account, or None; and whether the provider in use needs one. The rest is of ChatGPT accounts, from 0.171."""

    account: Account | None
    requires_openai_auth: bool
    user_id: str | None = None
    workspace_routing: WorkspaceRouting | None = None


@frozen
class ApiKeyLogin:
    """Log in with an API key; needs no action of the user."""

    type: Literal["apiKey"] = field(default="apiKey", init=False)
    api_key: str = field(repr=False)


@frozen
class ChatgptLogin:
    """Log in with a browser."""

    type: Literal["chatgpt"] = field(default="chatgpt", init=False)


@frozen
class ChatgptDeviceCodeLogin:
    """Log in by typing a code on another device."""

    type: Literal["chatgptDeviceCode"] = field(default="chatgptDeviceCode", init=False)


@frozen
class ChatgptAuthTokensLogin:
    """Use tokens that the client has obtained and will renew."""

    EXPERIMENTAL: ClassVar[str] = "account/login/start.chatgptAuthTokens"

    type: Literal["chatgptAuthTokens"] = field(default="chatgptAuthTokens", init=False)
    access_token: str = field(repr=False)
    chatgpt_account_id: str
    chatgpt_plan_type: str | None = None


LoginAccountParams: TypeAlias = Annotated[
    ApiKeyLogin | ChatgptLogin | ChatgptDeviceCodeLogin | ChatgptAuthTokensLogin, Tagged("LoginAccountParams")
]


@frozen
class ApiKeyLoginResponse:
    """The key is stored."""

    type: Literal["apiKey"] = field(default="apiKey", init=False)


@frozen
class ChatgptLoginResponse:
    """The page to open in a browser."""

    type: Literal["chatgpt"] = field(default="chatgpt", init=False)
    login_id: str
    auth_url: str


@frozen
class ChatgptDeviceCodeLoginResponse:
    """The page to open and the code to type there."""

    type: Literal["chatgptDeviceCode"] = field(default="chatgptDeviceCode", init=False)
    login_id: str
    verification_url: str
    user_code: str


@frozen
class ChatgptAuthTokensLoginResponse:
    """The tokens are in use."""

    type: Literal["chatgptAuthTokens"] = field(default="chatgptAuthTokens", init=False)


LoginAccountResponse: TypeAlias = Annotated[
    ApiKeyLoginResponse | ChatgptLoginResponse | ChatgptDeviceCodeLoginResponse | ChatgptAuthTokensLoginResponse,
    Tagged("LoginAccountResponse"),
]


@frozen
class CancelLoginAccountParams:
    """End a login that waits for the user."""

    login_id: str


CancelLoginAccountStatus: TypeAlias = Literal["canceled", "notFound"]


@frozen
class CancelLoginAccountResponse:
    """Whether there was such a login."""

    status: CancelLoginAccountStatus


@frozen
class LogoutAccountResponse:
    """The user is logged out."""


@frozen
class GetAuthStatusParams:
    """Parameters of getAuthStatus; the token is included only on request."""

    include_token: bool | None = None
    refresh_token: bool | None = None


@frozen
class GetAuthStatusResponse:
    """How requests to the provider are authorized."""

    auth_method: AuthMode | None
    auth_token: str | None = field(repr=False)
    requires_openai_auth: bool | None


@frozen
class ChatgptAuthTokensRefreshParams:
    """Ask the client that passed tokens in for others, since the provider has refused them."""

    METHOD: ClassVar[str] = "account/chatgptAuthTokens/refresh"

    reason: Literal["unauthorized"]
    previous_account_id: str | None = None


@frozen
class ChatgptAuthTokensRefreshResponse:
    """The tokens to use from now on."""

    access_token: str = field(repr=False)
    chatgpt_account_id: str
    chatgpt_plan_type: str | None = None


@frozen
class AccountLoginCompletedNotification(Notification):
    """A login succeeded or failed; the id is None for a login without interaction."""

    METHOD: ClassVar[str] = "account/login/completed"

    login_id: str | None
    success: bool
    error: str | None = None


@frozen
class AccountUpdatedNotification(Notification):
    """The account in use changed; it may be none."""

    METHOD: ClassVar[str] = "account/updated"

    auth_mode: AuthMode | None
    plan_type: PlanType | None = None


@frozen
class AccountRateLimitsUpdatedNotification(Notification):
    """The provider reported its limits, as the protocol's RateLimitSnapshot."""

    METHOD: ClassVar[str] = "account/rateLimits/updated"

    rate_limits: JsonObject
