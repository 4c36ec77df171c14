"""Model providers: the built-in ones and `[model_providers.<id>]`."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final, cast

from attrs import fields

from spindle.rpc.lenient import mapping
from spindle.rpc.model.provider import Provider
from spindle.rpc.urls import url_fault

OPENAI: Final = "openai"
OFFLINE: Final = "offline"
_OPENAI_URL: Final = "https://api.openai.com/v1"
_MOST: Final = 20
_KEYS: Final = frozenset(attribute.name for attribute in fields(Provider))


def unusable(config: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Why providers cannot be used, from checked, merged settings: the keys from the top, and the reason."""
    fault = url_fault(config.get("openai_base_url") or _OPENAI_URL)
    if fault is not None:
        yield ("openai_base_url",), f"`openai_base_url`: {fault}"
    for name, table in mapping(config.get("model_providers")).items():
        at = ("model_providers", name)
        url = mapping(table).get("base_url")
        if not url:
            offline = Provider(name=str(mapping(table).get("name"))).is_offline
            if not offline:
                yield at, f"Model provider `{name}` has no `base_url`"
        elif (fault := url_fault(url)) is not None:
            yield (*at, "base_url"), f"Model provider `{name}`: `base_url`: {fault}"


def not_found(name: str, known: Collection[str]) -> str:
    """The error for a provider that does not exist."""
    return f"Model provider `{name}` not found. {_there_are('providers', known)}"


def profile_not_found(name: str, known: Collection[str]) -> str:
    """The error for a profile that does not exist."""
    return f"config profile `{name}` not found. {_there_are('profiles', known)}"


def _there_are(what: str, known: Collection[str]) -> str:
    if not known:
        return f"There are no {what}."
    more = f" and {len(known) - _MOST} more" if len(known) > _MOST else ""
    return f"There are the {what} {', '.join(f'`{name}`' for name in sorted(known)[:_MOST])}{more}."


def providers(config: Mapping[str, Any]) -> dict[str, Provider]:
    """All providers by id, from checked, merged settings. `offline` may be redefined, `openai` not."""
    found = {
        OPENAI: Provider(
            name="OpenAI",
            base_url=config.get("openai_base_url") or _OPENAI_URL,
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
