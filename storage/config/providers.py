"""Model providers: the built-in ones and `[model_providers.<id>]`."""

from collections.abc import Mapping
from typing import Any, Final, cast

from attrs import fields

from spindle.rpc.model.provider import Provider

OPENAI: Final = "openai"
OFFLINE: Final = "offline"
_KEYS: Final = frozenset(attribute.name for attribute in fields(Provider))


def providers(config: Mapping[str, Any]) -> dict[str, Provider]:
    """All providers by id, from checked, merged settings. `offline` may be redefined, `openai` not."""
    found = {
        OPENAI: Provider(
            name="OpenAI",
            base_url=config.get("openai_base_url") or "https://api.openai.com/v1",
            env_http_headers={"OpenAI-Organization": "OPENAI_ORGANIZATION", "OpenAI-Project": "OPENAI_PROJECT"},
            requires_openai_auth=True,
        ),
        OFFLINE: Provider(name="Offline", request_max_retries=0, stream_max_retries=0),
    }
    configured: object = config.get("model_providers")
    if isinstance(configured, dict):
        for name, table in cast("dict[str, dict[str, Any]]", configured).items():
            known = {key: value for key, value in table.items() if key in _KEYS and value is not None}
            found[name] = Provider(**known)
    return found
