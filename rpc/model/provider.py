"""A model provider as configured under `[model_providers.<id>]` of config.toml."""

from collections.abc import Mapping

from attrs import field

from spindle.rpc.lazy_class import frozen


def _no_strings() -> Mapping[str, str]:
    return {}


@frozen
class Provider:
    """How to reach a provider. Attribute names are keys of config.toml.

    `env_http_headers` maps a header to the environment variable with its value. `request_max_retries` limits silent
    retries before the answer begins, `stream_max_retries` those that are announced to clients.
    """

    name: str
    base_url: str | None = None
    env_key: str | None = None
    http_headers: Mapping[str, str] = field(factory=_no_strings)
    env_http_headers: Mapping[str, str] = field(factory=_no_strings)
    query_params: Mapping[str, str] = field(factory=_no_strings)
    request_max_retries: int = 4
    stream_max_retries: int = 5
    stream_idle_timeout_ms: int = 300_000
    requires_openai_auth: bool = False
    experimental_bearer_token: str | None = None
    wire_api: str = "responses"
    env_key_instructions: str | None = None
    lists_models: bool = False
    """Spindle's own key: whether `GET {base_url}/models` lists models in the form of Codex's own provider."""

    @property
    def is_offline(self) -> bool:
        """Whether the built-in model without a network answers."""
        return self.base_url is None and self.name == "Offline"
