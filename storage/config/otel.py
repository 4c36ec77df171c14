"""`[otel]`: where spans and metrics are sent. The keys are those of Codex's config.toml; only the user's files may set them."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

from attrs import field

from spindle.rpc.lazy_class import frozen
from spindle.rpc.lenient import is_mapping, mapping
from spindle.storage.config.config_error import describe

Fault: TypeAlias = tuple[tuple[str, ...], str]

_EXPORTERS: Final = ("exporter", "trace_exporter", "metrics_exporter")
_NAMES: Final = ("none", "statsig")
_TABLES: Final = ("otlp-http", "otlp-grpc")
_PROTOCOLS: Final = ("binary", "json")
_TLS: Final = ("ca-certificate", "client-certificate", "client-private-key")
_BOOLEANS: Final = ("log_user_prompt", "log_agent_responses")


@frozen(kw_only=True)
class HttpExporter:
    """A receiver of OTLP over HTTP. `endpoint` is its whole URL, as `https://host:4318/v1/traces`."""

    endpoint: str
    headers: Mapping[str, str] = field(factory=dict[str, str])
    ca_certificate: Path | None = None
    client_certificate: Path | None = None
    client_private_key: Path | None = None


@frozen(kw_only=True)
class OtelConfig:
    """The table. `prompts`, `responses` and `tools` say what of the content of threads is sent."""

    environment: str
    traces: HttpExporter | None
    metrics: HttpExporter | None
    prompts: bool
    responses: bool
    tools: bool
    span_attributes: Mapping[str, str]


def otel_config(table: Mapping[str, Any], home: Path) -> OtelConfig:
    """The table, which is checked. Relative paths are taken from the home."""
    return OtelConfig(
        environment=table.get("environment") or "dev",
        traces=_exporter(table.get("trace_exporter"), home),
        metrics=_exporter(table.get("metrics_exporter"), home),
        prompts=table.get("log_user_prompt") is True,
        responses=table.get("log_agent_responses") is True,
        tools=bool(mapping(table.get("tool_result")).get("max_bytes")),
        span_attributes=dict(mapping(table.get("span_attributes"))),
    )


def otel_faults(table: object) -> Iterator[Fault]:
    """The invalid values of the table, each with its keys from the top."""
    if not is_mapping(table):
        yield ("otel",), f"invalid type: {describe(table)}, expected a map"
    values = mapping(table)
    for key in _EXPORTERS:
        for keys, reason in _exporter_faults(values.get(key)):
            yield ("otel", key, *keys), reason
    for key in _BOOLEANS:
        if not isinstance(value := values.get(key), bool | None):
            yield ("otel", key), f"invalid type: {describe(value)}, expected a boolean"
    if not isinstance(value := values.get("environment"), str | None):
        yield ("otel", "environment"), f"invalid type: {describe(value)}, expected a string"
    for keys, reason in _texts(values.get("span_attributes")):
        yield ("otel", "span_attributes", *keys), reason
    size = mapping(values.get("tool_result")).get("max_bytes", 0)
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        yield ("otel", "tool_result", "max_bytes"), f"invalid value: {describe(size)}, expected a number of bytes"


def _exporter(value: object, home: Path) -> HttpExporter | None:
    http: Any = mapping(value).get("otlp-http")
    if http is None:
        return None
    tls = mapping(http.get("tls"))
    files = [None if (name := tls.get(key)) is None else home / Path(name).expanduser() for key in _TLS]
    return HttpExporter(
        endpoint=http["endpoint"],
        headers=dict(mapping(http.get("headers"))),
        ca_certificate=files[0],
        client_certificate=files[1],
        client_private_key=files[2],
    )


def _exporter_faults(value: object) -> Iterator[Fault]:
    if value is None or value in _NAMES:
        return
    if isinstance(value, str) and value in _TABLES:
        yield (), f"`{value}` needs a table with an `endpoint`: {{ {value} = {{ endpoint = … }} }}"
        return
    table = mapping(value)
    if len(table) != 1 or not set(table) <= set(_TABLES):
        yield (), f"invalid value: {describe(value)}, expected `none`, or a map with `otlp-http` or `otlp-grpc`"
        return
    [(kind, members)] = table.items()
    if not is_mapping(members):
        yield (kind,), f"invalid type: {describe(members)}, expected a map"
        return
    endpoint = members.get("endpoint")
    if endpoint is None:
        yield (kind,), "missing field `endpoint`"
    elif not isinstance(endpoint, str):
        yield (kind, "endpoint"), f"invalid type: {describe(endpoint)}, expected a string"
    elif kind == "otlp-http" and not _is_url(endpoint):
        yield (kind, "endpoint"), f"invalid value: {describe(endpoint)}, expected a URL with http:// or https://"
    if (protocol := members.get("protocol", "binary")) not in _PROTOCOLS:
        yield (kind, "protocol"), f"unknown variant `{protocol}`, expected `binary` or `json`"
    for key in ("headers", "tls"):
        for keys, reason in _texts(members.get(key)):
            yield (kind, key, *keys), reason
    tls = mapping(members.get("tls"))
    if ("client-certificate" in tls) != ("client-private-key" in tls):
        yield (kind, "tls"), "`client-certificate` and `client-private-key` are needed together"


def _texts(value: object) -> Iterator[Fault]:
    if value is not None and not is_mapping(value):
        yield (), f"invalid type: {describe(value)}, expected a map"
    for name, member in mapping(value).items():
        if not isinstance(member, str):
            yield (name,), f"invalid type: {describe(member)}, expected a string"


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
