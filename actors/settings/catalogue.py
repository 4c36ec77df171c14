"""The catalogue of models: what a request to each may have in it, and what model/list shows.

One table is in force: the file that `model_catalog_json` names; otherwise our own with the provider's list over it. Ours has
facts about the models of Codex 0.124 (names, efforts, windows) and our descriptions. A model that is not in the table gets the
fallback: its requests have nothing in them that only some models accept.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, cast

from attrs import evolve, field

from spindle.actors.tools.truncation import MODEL_LIMIT, Limit
from spindle.rpc.lazy_class import frozen

if TYPE_CHECKING:
    from spindle.storage.config import Config

EFFORTS: Final = {
    "minimal": "Hardly any reasoning",
    "low": "Little reasoning, quick answers",
    "medium": "A balance of speed and depth",
    "high": "More depth for harder problems",
    "xhigh": "The most depth, for the hardest problems",
}
Shell: TypeAlias = Literal["default", "local", "unified_exec", "disabled", "shell_command"]
PatchForm: TypeAlias = Literal["freeform", "function"]


def _no_efforts() -> Mapping[str, str]:
    return {}


@frozen(kw_only=True)
class ModelInfo:
    """One model. Windows are tokens.

    `efforts` are the reasoning efforts it accepts, each with a description. `verbosity` is sent if the model `takes_verbosity`.
    `with_key` is False for a model that cannot be used with an API key.
    """

    slug: str
    title: str | None = None
    description: str = ""
    context_window: int = 272_000
    max_context_window: int | None = None
    usable_percent: int = 95
    compact_limit: int | None = None
    reasoning: bool = False
    efforts: Mapping[str, str] = field(factory=_no_efforts)
    default_effort: str | None = None
    default_summary: str = "auto"
    takes_verbosity: bool = False
    verbosity: str | None = None
    parallel_tool_calls: bool = False
    hidden: bool = False
    with_key: bool = True
    priority: int = 0
    speed_tiers: Sequence[str] = ()
    modalities: Sequence[str] = ("text", "image")
    known: bool = True
    patches: PatchForm | None = None
    """How `apply_patch` is offered to it: as free text with a grammar, or as a function; None for not at all."""
    shell: Shell = "default"
    output: Limit = MODEL_LIMIT
    """How much of a tool's output it gets."""
    base_instructions: str | None = None

    @property
    def usable_window(self) -> int:
        """The part of the window that clients are shown. The rest is reserved for the answer."""
        return self.context_window * self.usable_percent // 100

    @property
    def compact_at(self) -> int:
        """Compaction threshold: nine tenths of the window, or less if that is configured."""
        most = self.context_window * 9 // 10
        return most if self.compact_limit is None else min(self.compact_limit, most)


def _gpt(slug: str, description: str, *efforts: str, **more: Any) -> ModelInfo:
    known: dict[str, Any] = {
        "reasoning": True,
        "default_effort": "medium",
        "default_summary": "none",
        "takes_verbosity": True,
        "verbosity": "low",
        "parallel_tool_calls": True,
        "patches": "freeform",
        "shell": "shell_command",
        "output": Limit(10_000),
    }
    described = {effort: EFFORTS[effort] for effort in efforts or ("low", "medium", "high", "xhigh")}
    return ModelInfo(slug=slug, description=description, efforts=described, **(known | more))


_EARLIER: Final[Mapping[str, Any]] = {"default_summary": "auto", "output": MODEL_LIMIT}

MODELS: Final[Sequence[ModelInfo]] = (
    _gpt("gpt-5.4", "General agentic coding", speed_tiers=("fast",)),
    _gpt("gpt-5.4-mini", "Smaller and quicker agentic coding", verbosity="medium"),
    _gpt("gpt-5.3-codex", "Agentic coding, tuned for it"),
    _gpt("gpt-5.2", "General work and long-running agents", **_EARLIER),
    _gpt("gpt-5.2-codex", "Agentic coding, an earlier tuning", hidden=True, **_EARLIER),
    _gpt("gpt-5.1-codex-max", "Deep and fast reasoning, earlier", hidden=True, **_EARLIER),
    _gpt("gpt-5.1-codex-mini", "Cheap and quick, earlier", "medium", "high", hidden=True, **_EARLIER),
    ModelInfo(
        slug="offline",
        description="Built in, needs no network",
        efforts={"medium": EFFORTS["medium"]},
        default_effort="medium",
        hidden=True,
    ),
)


def models(config: Config, listed: Sequence[Mapping[str, Any]] = ()) -> Sequence[ModelInfo]:
    """The table in force, in the order in which models are offered. `listed` is the provider's own list."""
    given = config.model_catalog or listed
    offered = sorted(map(of_entry, given), key=lambda model: model.priority)
    if config.model_catalog is not None:
        return offered
    slugs = {model.slug for model in offered}
    return [*offered, *(model for model in MODELS if model.slug not in slugs)]


def model_info(slug: str, config: Config, listed: Sequence[Mapping[str, Any]] = ()) -> ModelInfo:
    """The entry of a model, with what is configured for all models; the fallback, `known` False, for an unknown one."""
    info = _find(slug, models(config, listed))
    info = ModelInfo(slug=slug, known=False) if info is None else evolve(info, slug=slug)
    return _configured(info, config)


def of_entry(entry: Mapping[str, Any]) -> ModelInfo:
    """A model from an entry of a catalogue in Codex 0.124's format. Missing members are the fallback's."""
    policy: Mapping[str, Any] = entry.get("truncation_policy") or {}
    in_bytes = policy.get("mode", "bytes") == "bytes"
    output = Limit(policy["limit"], "bytes" if in_bytes else "tokens") if policy.get("limit") else MODEL_LIMIT
    levels = cast("Sequence[Mapping[str, Any]]", entry.get("supported_reasoning_levels") or ())
    default = ModelInfo(slug=entry["slug"])
    return ModelInfo(
        slug=entry["slug"],
        title=entry.get("display_name"),
        description=entry.get("description") or "",
        context_window=entry.get("context_window") or default.context_window,
        max_context_window=entry.get("max_context_window"),
        usable_percent=entry.get("effective_context_window_percent") or default.usable_percent,
        compact_limit=entry.get("auto_compact_token_limit"),
        reasoning=bool(entry.get("supports_reasoning_summaries")),
        efforts={level["effort"]: level.get("description") or "" for level in levels},
        default_effort=entry.get("default_reasoning_level"),
        default_summary=entry.get("default_reasoning_summary") or default.default_summary,
        takes_verbosity=bool(entry.get("support_verbosity")),
        verbosity=entry.get("default_verbosity"),
        parallel_tool_calls=bool(entry.get("supports_parallel_tool_calls")),
        hidden=entry.get("visibility", "list") != "list",
        with_key=entry.get("supported_in_api") is not False,
        priority=entry.get("priority") or 0,
        speed_tiers=entry.get("additional_speed_tiers") or (),
        modalities=entry.get("input_modalities") or default.modalities,
        patches=entry.get("apply_patch_tool_type"),
        shell=entry.get("shell_type") or default.shell,
        output=output,
        base_instructions=entry.get("base_instructions"),
    )


def _find(slug: str, known: Sequence[ModelInfo]) -> ModelInfo | None:
    """The model with the longest name that `slug` begins with, also after one namespace (`provider/model`)."""
    namespace, _, name = slug.rpartition("/")
    for wanted in (slug, name) if re.fullmatch(r"\w+", namespace) else (slug,):
        begun = [model for model in known if wanted.startswith(model.slug)]
        if begun:
            return max(begun, key=lambda model: len(model.slug))
    return None


def _configured(info: ModelInfo, config: Config) -> ModelInfo:
    changes: dict[str, Any] = {}
    if (window := config.model_context_window) is not None:
        changes["context_window"] = min(window, info.max_context_window or window)
    if (limit := config.model_auto_compact_token_limit) is not None:
        changes["compact_limit"] = limit
    if config.model_supports_reasoning_summaries:  # it can only be switched on
        changes["reasoning"] = True
    if not info.takes_verbosity:
        changes["verbosity"] = None
    elif config.model_verbosity is not None:
        changes["verbosity"] = config.model_verbosity
    if (tokens := config.tool_output_token_limit) is not None:
        output = Limit(tokens) if info.output.unit == "tokens" else Limit(Limit(tokens).size, "bytes")
        changes["output"] = output
    return evolve(info, **changes)
