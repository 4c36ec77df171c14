"""A model provider as configured under `[model_providers.<id>]` of config.toml."""

from collections.abc import Mapping, Sequence

from attrs import Factory, asdict, field

from spindle.rpc.lazy_class import frozen

_NUMBERS = ("request_max_retries", "stream_max_retries", "stream_idle_timeout_ms")
_STRINGS = ("http_headers", "env_http_headers", "query_params")


def _no_strings() -> Mapping[str, str]:
    return {}


def _shown(url: str | None) -> str:
    from spindle.rpc.urls import shown

    return repr(url and shown(url))


def _names(values: Mapping[str, str]) -> str:
    return f"<{', '.join(values)}>"


def _host(provider: "Provider") -> str:
    from urllib.parse import urlsplit

    try:
        return urlsplit(provider.base_url or "").hostname or "unnamed"
    except ValueError:
        return "unnamed"


@frozen(kw_only=True)
class AuthCommand:
    """A command that prints a key on standard output. Attributes are named as the keys of config.toml.

    timeout_ms: milliseconds that it may take.
    refresh_interval_ms: milliseconds after which it runs again for the next request; 0: only after a key was refused.
    cwd: where it runs; by default in the server's directory.
    """

    command: str
    args: Sequence[str] = ()
    timeout_ms: int = 5000
    refresh_interval_ms: int = 300_000
    cwd: str | None = None


@frozen(kw_only=True)
class Provider:
    """A server that speaks the Responses API, and how to reach it. Attributes are named as the keys of config.toml.

    base_url: requests go to this URL and `/responses`. It may have a path and a query.
    name: what errors call it; by default the host.
    env_key: the environment variable with its key. Without it, and without a key that `ResponsesModel` is given, requests
    have no key. `env_key_instructions` is added to the error for an empty variable.
    http_headers: sent with each request. `env_http_headers` maps a header to the variable with its value; an empty one is
    not sent.
    query_params: appended to the URL, such as Azure's `api-version`.
    request_max_retries: of failed connections and of server errors, before the answer begins; not announced.
    stream_max_retries: of an answer that broke off, and of what else a retry may change; announced in the thread.
    stream_idle_timeout_ms: milliseconds without an event after which an answer counts as broken off.
    requires_openai_auth: the key is the one of the home's login, else `OPENAI_API_KEY`.
    experimental_bearer_token: the key itself. Prefer a variable.
    auth: a command that prints the key. Only a runtime can run it, for the providers of config.toml.
    lists_models: Spindle's own key: whether `GET {base_url}/models` lists models in the form of Codex's own provider.

    `repr` has neither keys nor the values of headers and query parameters.
    """

    base_url: str | None = field(default=None, repr=_shown)
    name: str = field(default=Factory(_host, takes_self=True))
    env_key: str | None = None
    http_headers: Mapping[str, str] = field(factory=_no_strings, repr=_names)
    env_http_headers: Mapping[str, str] = field(factory=_no_strings)
    query_params: Mapping[str, str] = field(factory=_no_strings, repr=_names)
    request_max_retries: int = 4
    stream_max_retries: int = 5
    stream_idle_timeout_ms: int = 300_000
    requires_openai_auth: bool = False
    experimental_bearer_token: str | None = field(default=None, repr=False)
    wire_api: str = "responses"
    env_key_instructions: str | None = None
    auth: AuthCommand | None = None
    lists_models: bool = False

    @property
    def is_offline(self) -> bool:
        """Whether the built-in model without a network answers."""
        return self.base_url is None and self.name == "Offline"

    @property
    def identity(self) -> str:
        """All settings as one text, secrets included: equal for equal providers."""
        return repr(asdict(self))

    def fault(self) -> str | None:
        """Which attribute has a value that no request can be made with, and what is allowed."""
        from spindle.rpc.urls import url_fault

        if not self.base_url:
            return "it has no base_url"
        if (reason := url_fault(self.base_url)) is not None:
            return f"base_url: {reason}"
        if self.wire_api != "responses":
            return "only wire_api='responses' is supported"
        for name in _NUMBERS:
            number: object = getattr(self, name)
            if not isinstance(number, int) or number < 0:
                return f"{name}: {number!r} is not a whole number from 0"
        for name in _STRINGS:
            strings: Mapping[object, object] = getattr(self, name)
            for key, value in strings.items():
                if not (isinstance(key, str) and isinstance(value, str)):
                    return f"{name}: {key!r} and its value must be strings"
        return None
