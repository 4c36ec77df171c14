"""The catalogue of models: our own table, a catalogue that replaces it, what is configured for all, and the fallback."""

import json

import pytest

from spindle.actors.clients.methods.models import _page
from spindle.actors.settings.catalogue import MODELS, model_info, models
from spindle.actors.tools.truncation import MODEL_LIMIT, Limit
from spindle.rpc.protocol.converter import unstructure
from spindle.rpc.protocol.models import ModelListParams
from spindle.storage.config import Config

# as a provider lists it
ENTRY = {
    "slug": "big",
    "display_name": "Big",
    "description": "The big one",
    "default_reasoning_level": "high",
    "supported_reasoning_levels": [{"effort": "low", "description": "a bit"}, {"effort": "high", "description": "much"}],
    "shell_type": "shell_command",
    "visibility": "list",
    "supported_in_api": True,
    "priority": 1,
    "base_instructions": "Be big.",
    "supports_reasoning_summaries": True,
    "support_verbosity": True,
    "default_verbosity": "high",
    "apply_patch_tool_type": "freeform",
    "truncation_policy": {"mode": "bytes", "limit": 1000},
    "supports_parallel_tool_calls": True,
    "context_window": 50_000,
    "experimental_supported_tools": [],
}


def config(*entries, **raw):
    return Config(raw=raw, merged=raw, layers=[], cwd=None, trust=None, model_catalog=entries or None)


@pytest.mark.parametrize(
    ("slug", "raw", "expected"),
    [
        ("gpt-5.4", {}, {"context_window": 272_000, "usable_window": 258_400, "compact_at": 244_800, "verbosity": "low"}),
        ("gpt-5.4", {"model_context_window": 1000, "model_verbosity": "high"}, {"compact_at": 900, "verbosity": "high"}),
        ("gpt-5.4", {"model_auto_compact_token_limit": 50}, {"compact_at": 50}),
        ("gpt-5.4", {"model_auto_compact_token_limit": 10**9}, {"compact_at": 244_800}),
        ("gpt-5.4", {"tool_output_token_limit": 100}, {"output": Limit(100)}),
        ("gpt-5.4", {}, {"output": Limit(10_000)}),
        ("gpt-5.2", {}, {"output": MODEL_LIMIT}),
        ("gpt-5.4", {"model_supports_reasoning_summaries": False}, {"reasoning": True}),
        ("unknown", {"model_verbosity": "high"}, {"verbosity": None, "known": False, "output": MODEL_LIMIT}),
        ("unknown", {"model_supports_reasoning_summaries": True}, {"reasoning": True, "default_effort": None}),
        ("unknown", {"tool_output_token_limit": 100}, {"output": Limit(400, "bytes")}),
    ],
)
def test_the_configuration_of_models_takes_effect(slug, raw, expected):
    info = model_info(slug, config(**raw))
    assert {name: getattr(info, name) for name in expected} == expected


def test_an_entry_of_a_catalogue_is_read_in_full():
    info = model_info("big", config(ENTRY))
    assert (info.context_window, info.compact_at, info.verbosity, info.patches, info.shell) == (
        50_000, 45_000, "high", "freeform", "shell_command",
    )  # fmt: skip
    assert (info.reasoning, info.default_effort, info.default_summary) == (True, "high", "auto")
    assert info.output == Limit(1000, "bytes")
    assert info.parallel_tool_calls
    assert info.base_instructions == "Be big."
    largest = config({**ENTRY, "max_context_window": 60_000}, model_context_window=70_000)
    assert model_info("big", largest).context_window == 60_000


@pytest.mark.parametrize(
    ("slug", "found"),
    [("big", "Big"), ("big-2026", "Big"), ("bigger-1", "Bigger"), ("ns/big", "Big"), ("a/b/big", None), ("bi", None)],
)
def test_a_model_gets_the_entry_with_the_longest_prefix_of_its_name(slug, found):
    info = model_info(slug, config(ENTRY, {"slug": "bigger", "display_name": "Bigger", "priority": 2}))
    assert (info.slug, info.title, info.known) == (slug, found, found is not None)


def test_an_entry_may_leave_members_out():
    [info] = models(config({"slug": "small"}))
    assert (info.reasoning, info.verbosity, info.patches, info.context_window) == (False, None, None, 272_000)
    assert info.output == MODEL_LIMIT


def listed(*entries, **params):
    return unstructure(_page(models(config(*entries)), ModelListParams(**params)))["data"]


def test_model_list_shows_the_catalogue_that_turns_use():
    assert [row["id"] for row in listed()] == [model.slug for model in MODELS if not model.hidden]
    hidden = {**ENTRY, "slug": "hidden", "visibility": "hide", "priority": 0}
    unreachable = {**ENTRY, "slug": "plans-only", "supported_in_api": False}
    first = {"slug": "first", "priority": 0}
    rows = listed(ENTRY, first, hidden, unreachable, include_hidden=True)
    assert [(row["id"], row["hidden"], row["isDefault"]) for row in rows] == [
        ("first", False, True), ("hidden", True, False), ("big", False, False),
    ]  # fmt: skip
    assert [row["id"] for row in listed(ENTRY, hidden)] == ["big"]
    assert rows[0]["defaultReasoningEffort"] == "none"
    assert (rows[2]["displayName"], rows[2]["defaultReasoningEffort"]) == ("Big", "high")
    assert rows[2]["supportedReasoningEfforts"][0] == {"reasoningEffort": "low", "description": "a bit"}



async def test_turns_use_a_catalogue_in_the_home(opened, scripted, tmp_path):
    call = {"type": "function_call", "call_id": "c", "name": "exec_command"}
    call["arguments"] = json.dumps({"cmd": "seq 1 2000", "login": False})
    catalog = tmp_path / "models.json"
    catalog.write_text(json.dumps({"models": [ENTRY]}))
    model = scripted([call], ["ok"])
    settings = [("model_catalog_json", str(catalog)), ("sandbox_mode", "danger-full-access"), ("approval_policy", "never")]
    async with opened(model, config=settings) as runtime:
        async with runtime.start_thread(cwd=tmp_path, model="big") as thread:
            await thread.run("go", effort="low")
            [first, second] = model.requests
            assert (first.instructions, first.raw.parallel_tool_calls) == ("Be big.", True)
            assert (first.raw.text, first.raw.reasoning) == ({"verbosity": "high"}, {"effort": "low", "summary": "auto"})
            output = next(json.loads(item)["output"] for item in second.input if b"function_call_output" in item)
            assert 1200 < len(output) < 1500
            id = thread.id
        catalog.write_text(json.dumps({"models": [{**ENTRY, "base_instructions": "Be another."}]}))
        async with runtime.resume_thread(id) as thread:
            await thread.run("again")
            assert model.requests[-1].instructions == "Be big."  # those of a thread stay


async def test_without_sessions_a_model_runs_commands_in_its_own_way(opened, scripted, tmp_path):
    for shell, offered in (("shell_command", ["shell_command"]), ("default", ["shell"]), ("disabled", [])):
        (tmp_path / "m.json").write_text(json.dumps({"models": [{"slug": "m", "shell_type": shell}]}))
        settings = [("model_catalog_json", str(tmp_path / "m.json")), ("features.unified_exec", False)]
        model = scripted()
        async with opened(model, config=settings) as runtime, runtime.start_thread(cwd=tmp_path, model="m") as thread:
            await thread.run("go")
        names = [tool.get("name", "") for tool in model.requests[0].raw.tools]
        assert [name for name in names if "shell" in name or "exec" in name] == offered
