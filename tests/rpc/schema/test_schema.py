"""The schemas that are made from the protocol's classes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from tests.actors.poison.poisons import Samples

from spindle.rpc.protocol.catalog import METHODS, params_class, structure_params
from spindle.rpc.protocol.errors import RpcError
from spindle.rpc.schema.layout import BUNDLE, BUNDLE_V2, HIDDEN, Layout
from spindle.rpc.schema.reading import Protocol

NAMES: dict[str, list[str]] = json.loads(Path(__file__).with_name("names.json").read_text())
"""The files that Codex 0.124 and 0.171 write with --experimental: JSON schemas, and TypeScript."""

OURS = {
    "json": {"v2/ThreadElicitationParams.json", "v2/ThreadElicitationResponse.json"},
    "ts": {
        f"v2/{name}.ts"
        for name in (
            *(
                "AcceptWithExecpolicyAmendment",
                "AccountSessionLogin",
                "ApplyNetworkPolicyAmendment",
                "ExecpolicyAmendment",
            ),
            *("CustomGatewayProviderSettings", "OpenAiProviderSettings"),
            *("EnvironmentVariableAuth", "ExternallyConfiguredAuth", "NoGatewayAuth"),
            *("GranularApproval", "GranularSettings", "NetworkAmendment", "ServerInfo", "SkillsListExtraRootsForCwd"),
            *("SwitchedAccountSession", "ThreadElicitationParams", "ThreadElicitationResponse", "ThreadListCwdFilter"),
        )
    },
}
"""Files of ours that the reference has not: it writes these types in place, or calls them otherwise."""


@cache
def json_files(experimental: bool = True) -> dict[str, str]:
    return Layout(Protocol(experimental)).json_files()


@cache
def typescript(experimental: bool = True) -> dict[str, str]:
    return Layout(Protocol(experimental)).typescript_files()


def refs(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"]
        for inner in value.values():
            yield from refs(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from refs(inner)


@pytest.mark.parametrize("experimental", [True, False])
def test_each_json_file_is_a_schema_whose_references_lead_somewhere(experimental: bool) -> None:
    for path, text in json_files(experimental).items():
        document = json.loads(text)
        jsonschema.Draft7Validator.check_schema(document)
        for ref in refs(document):
            at = document
            for step in ref.removeprefix("#/").split("/"):
                assert step in at, f"{path}: {ref}"
                at = at[step]


@pytest.mark.parametrize("method", [method for method in METHODS if method not in HIDDEN])
def test_valid_params_fit_and_a_missing_member_is_missed_by_both(method: str) -> None:
    requests = jsonschema.Draft7Validator(json.loads(json_files()["ClientRequest.json"]))
    right: Any = Samples().right(params_class(method)) if METHODS[method].params else None
    request = {"id": 1, "method": method} | ({} if right is None else {"params": right})
    assert list(requests.iter_errors(request)) == []
    for member in right or {}:
        less = {name: value for name, value in right.items() if name != member}
        with pytest.raises(RpcError):
            structure_params(method, less)
        assert not requests.is_valid({**request, "params": less})


def test_files_are_called_as_in_the_reference() -> None:
    for kind, files in (("json", json_files()), ("ts", typescript())):
        assert set(files) - set(NAMES[kind]) <= OURS[kind]


def test_every_method_has_its_files() -> None:
    files = {path.rpartition("/")[2] for path in json_files()}
    for method in METHODS.values():
        if method.name not in HIDDEN:
            optional = (method.params or "").endswith("?")
            params = method.params and (f"Nullable{method.params[:-1]}" if optional else method.params)
            assert {f"{name}.json" for name in (params, method.response) if name} <= files


def test_what_is_experimental_is_left_out() -> None:
    stable = json_files(False)
    assert "v2/ThreadSearchParams.json" in json_files()
    assert "v2/ThreadSearchParams.json" not in stable
    assert '"thread/search"' not in stable["ClientRequest.json"]
    assert "persistExtendedHistory" in json_files()["v2/ThreadStartParams.json"]
    assert "persistExtendedHistory" not in stable["v2/ThreadStartParams.json"]
    assert "ThreadReadStateChangedNotification" not in stable["ServerNotification.json"]


def test_the_bundles_have_every_type() -> None:
    for name in (BUNDLE, BUNDLE_V2):
        definitions = json.loads(json_files()[name])["definitions"]
        every = definitions | definitions.get("v2", {})
        assert {"ThreadStartParams", "TurnStartResponse", "ServerNotification", "ThreadItem"} <= set(every)


@pytest.mark.parametrize("experimental", [True, False])
def test_typescript_imports_what_it_uses(experimental: bool) -> None:
    files = typescript(experimental)
    known = {"Array", "Record", "GENERATED", "CODE", "DO", "NOT", "MODIFY", "BY", "HAND"}
    for path, text in files.items():
        folder = Path(path).parent
        code = re.sub(r"/\*.*?\*/|//[^\n]*|\"[^\"]*\"", "", text, flags=re.DOTALL)
        for name, source in re.findall(r'(?:import|export) type \{ (\w+) \} from "([^"]+)"', text):
            target = (folder / f"{source}.ts").as_posix()
            parts: list[str] = []
            for step in target.split("/"):
                parts = parts[:-1] if step == ".." else [*parts, step]
            assert "/".join(parts) in files, f"{path}: {name}"
        if not path.endswith("index.ts"):
            declared = set(re.findall(r"type \{? ?(\w+)", code))
            used = set(re.findall(r"(?<![\w?])[A-Z]\w*(?![\w?]*:)", code.partition("export type")[2]))
            assert used - declared - known <= {Path(path).stem}
            assert code.count("{") == code.count("}")


def test_typescript_says_what_may_be_left_out() -> None:
    text = typescript()["v2/TurnSteerParams.ts"]
    assert "threadId: string," in text
    assert "expectedTurnId: string," in text
    assert "nextCursor: string | null," in typescript()["v2/ThreadLoadedListResponse.ts"]
    assert (
        'export type ThreadActiveFlag = "waitingOnApproval" | "waitingOnUserInput";'
        in typescript()["v2/ThreadActiveFlag.ts"]
    )
