"""`[otel]`: where spans and metrics are sent, and what of the table is refused."""

import tomllib
from pathlib import Path

import pytest

from spindle.storage.config import Config, ConfigError, ConfigLoader
from spindle.storage.config.otel import HttpExporter, OtelConfig, otel_config, otel_faults
from spindle.storage.home import Home


def load(tmp_path: Path, text: str) -> Config:
    (tmp_path / "config.toml").write_text(text)
    return ConfigLoader(Home(tmp_path), system_file=tmp_path / "none").load()


def test_an_empty_table_sends_nothing(tmp_path: Path):
    assert otel_config({}, tmp_path) == OtelConfig(
        environment="dev", traces=None, metrics=None, prompts=False, responses=False, tools=False, span_attributes={}
    )


def test_the_whole_table(tmp_path: Path):
    config = load(
        tmp_path,
        """
[otel]
environment = "staging"
log_user_prompt = true
log_agent_responses = true
tool_result = { max_bytes = 1000 }
span_attributes = { team = "core" }
metrics_exporter = { otlp-http = { endpoint = "http://localhost:4318/v1/metrics", protocol = "json" } }
[otel.trace_exporter.otlp-http]
endpoint = "https://otel.example:4318/v1/traces"
protocol = "binary"
headers = { x-key = "secret" }
tls = { ca-certificate = "ca.pem", client-certificate = "/certs/c.pem", client-private-key = "c.key" }
""",
    )
    assert config.notes == []
    assert otel_config(config.raw["otel"], tmp_path) == OtelConfig(
        environment="staging",
        traces=HttpExporter(
            endpoint="https://otel.example:4318/v1/traces",
            headers={"x-key": "secret"},
            ca_certificate=tmp_path / "ca.pem",
            client_certificate=Path("/certs/c.pem"),
            client_private_key=tmp_path / "c.key",
        ),
        metrics=HttpExporter(endpoint="http://localhost:4318/v1/metrics"),
        prompts=True,
        responses=True,
        tools=True,
        span_attributes={"team": "core"},
    )


def test_none_and_what_is_not_supported_send_nothing(tmp_path: Path):
    config = load(
        tmp_path,
        '[otel]\nexporter = { otlp-http = { endpoint = "http://x/v1/logs", protocol = "binary" } }\n'
        'trace_exporter = { otlp-grpc = { endpoint = "http://x:4317" } }\nmetrics_exporter = "statsig"\n',
    )
    assert [note.text for note in config.notes] == [
        "`otel.exporter` is not supported and is ignored.",
        "`otel.trace_exporter.otlp-grpc` is not supported and is ignored.",
        '`otel.metrics_exporter = "statsig"` is not supported and is ignored.',
    ]
    read = otel_config(config.raw["otel"], tmp_path)
    assert (read.traces, read.metrics) == (None, None)
    assert load(tmp_path, '[otel]\nexporter = "none"\ntrace_exporter = "none"\nmetrics_exporter = "none"\n').notes == []


@pytest.mark.parametrize(
    ("text", "keys", "fault"),
    [
        ("otel = 1", "", "invalid type: integer `1`, expected a map"),
        ("otel.environment = 1", "environment", "invalid type: integer `1`, expected a string"),
        ("otel.log_user_prompt = 'yes'", "log_user_prompt", 'invalid type: string "yes", expected a boolean'),
        ("otel.trace_exporter = 'otlp-http'", "trace_exporter", "`otlp-http` needs a table with an `endpoint`"),
        ("otel.trace_exporter = 'x'", "trace_exporter", 'invalid value: string "x", expected `none`, or a map with'),
        ("otel.trace_exporter = {}", "trace_exporter", "invalid value: map, expected `none`, or a map with"),
        ("otel.trace_exporter = 1", "trace_exporter", "invalid value: integer `1`"),
        ("otel.trace_exporter.otlp-http = 1", "trace_exporter.otlp-http", "invalid type: integer `1`, expected a map"),
        ("otel.trace_exporter.otlp-http = {}", "trace_exporter.otlp-http", "missing field `endpoint`"),
        ("otel.exporter.otlp-http.endpoint = 1", "exporter.otlp-http.endpoint", "invalid type: integer `1`"),
        ("otel.exporter.otlp-http.endpoint = 'a:1'", "exporter.otlp-http.endpoint", "expected a URL with http:// or https://"),
        ("otel.exporter.otlp-http.endpoint = 'http://[x'", "exporter.otlp-http.endpoint", "expected a URL with http://"),
        (
            "otel.exporter.otlp-grpc = { endpoint = 'http://x', headers = { a = 1 } }",
            "exporter.otlp-grpc.headers.a",
            "invalid type: integer",
        ),
        (
            "otel.exporter.otlp-http = { endpoint = 'http://x', headers = 1 }",
            "exporter.otlp-http.headers",
            "invalid type: integer",
        ),
        (
            "otel.exporter.otlp-http = { endpoint = 'http://x', protocol = 'xml' }",
            "exporter.otlp-http.protocol",
            "unknown variant `xml`",
        ),
        (
            "otel.exporter.otlp-http = { endpoint = 'http://x', tls = { client-certificate = 'c' } }",
            "exporter.otlp-http.tls",
            "`client-certificate` and `client-private-key` are needed together",
        ),
        ("otel.span_attributes = { a = 1 }", "span_attributes.a", "invalid type: integer `1`, expected a string"),
        ("otel.tool_result = { max_bytes = -1 }", "tool_result.max_bytes", "invalid value: integer `-1`"),
    ],
)
def test_a_wrong_value_is_named(tmp_path: Path, text: str, keys: str, fault: str):
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    assert fault in str(caught.value)
    assert caught.value.path == tmp_path / "config.toml"
    assert [".".join(path) for path, _ in otel_faults(tomllib.loads(text)["otel"])] == [f"otel.{keys}".rstrip(".")]
