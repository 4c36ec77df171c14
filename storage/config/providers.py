"""Model providers: the built-in ones and `[model_providers.<id>]`."""

import os
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from attrs import fields

from spindle.rpc.lenient import mapping
from spindle.rpc.model.provider import AuthCommand, Provider
from spindle.rpc.urls import url_fault

OPENAI: Final = "openai"
OFFLINE: Final = "offline"
_MOST: Final = 20
AUTH: Final = frozenset(attribute.name for attribute in fields(AuthCommand))
_KEYS: Final = frozenset(attribute.name for attribute in fields(Provider))


def unusable(config: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, ...], str]]:
    """The providers that cannot be used, from checked, merged settings: the id, the keys from the top, and the reason."""
    for name, provider in providers(config).items():
        table = ("model_providers", name)
        if not provider.base_url:
            if not provider.is_offline:
                yield name, table, f"Model provider `{name}` has no `base_url`"
        elif (fault := url_fault(provider.base_url)) is not None:
            key = "openai_base_url" if name == OPENAI else "base_url"
            yield name, (key,) if name == OPENAI else (*table, key), f"Model provider `{name}`: `{key}`: {fault}"


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


def providers(config: Mapping[str, Any], environ: Mapping[str, str] = os.environ) -> dict[str, Provider]:
    """All providers by id, from checked, merged settings. Each built-in one but `openai` may be redefined."""
    found = {
        OPENAI: Provider(
            name="OpenAI",
            base_url=config.get("openai_base_url") or "https://api.openai.com/v1",
            env_http_headers={"OpenAI-Organization": "OPENAI_ORGANIZATION", "OpenAI-Project": "OPENAI_PROJECT"},
            requires_openai_auth=True,
        ),
        OFFLINE: Provider(name="Offline", request_max_retries=0, stream_max_retries=0),
        "ollama": Provider(name="Ollama", base_url=_local(11434, environ)),
        "lmstudio": Provider(name="LM Studio", base_url=_local(1234, environ)),
    }
    for name, table in mapping(config.get("model_providers")).items():
        given = {key: value for key, value in table.items() if key in _KEYS and value is not None}
        if (auth := given.get("auth")) is not None:
            given["auth"] = AuthCommand(**{key: value for key, value in auth.items() if key in AUTH and value is not None})
        found[name] = Provider(**given)
    return found


def _local(port: int, environ: Mapping[str, str]) -> str:
    """The URL of a program that serves models on this machine. The variables are Codex's."""
    named = environ.get("CODEX_OSS_PORT", "")
    usual = f"http://localhost:{named if named.isascii() and named.isdecimal() else port}/v1"
    return environ.get("CODEX_OSS_BASE_URL", "").strip() or usual
