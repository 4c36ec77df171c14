"""What is known of models: what a request to each may carry, and what model/list shows.

Facts about the models of Codex 0.124 (names, efforts, windows); descriptions are ours. A model that is not here gets
the fallback, with which a request carries nothing that only some models accept.
"""

from __future__ import annotations

from typing import Any

from attrs import evolve, frozen

from spindle.actors.tools.commands.truncation import BYTES_PER_TOKEN, MODEL_LIMIT, Limit

EFFORTS = {
    "minimal": "Hardly any reasoning",
    "low": "Little reasoning, quick answers",
    "medium": "A balance of speed and depth",
    "high": "More depth for harder problems",
    "xhigh": "The most depth, for the hardest problems",
}


@frozen(kw_only=True)
class ModelInfo:
    """One model. Windows are tokens; `usable_window` is what is shown to clients, the rest being kept for the answer."""

    slug: str
    description: str = ""
    context_window: int = 272_000
    reasoning: bool = False
    efforts: tuple[str, ...] = ()
    default_effort: str = "medium"
    verbosity: str | None = None
    parallel_tool_calls: bool = False
    hidden: bool = False
    fast_tier: bool = False
    known: bool = True
    output_limit: Limit = MODEL_LIMIT
    """How much it is shown of a tool's output."""
    patch_grammar: bool = False
    """Whether it writes patches under a grammar."""

    @property
    def usable_window(self) -> int:
        """95 % of the context window."""
        return self.context_window * 95 // 100


TOKENS = Limit(10_000)


def _gpt(
    slug: str, description: str, *, efforts: tuple[str, ...] = ("low", "medium", "high", "xhigh"), **more: Any
) -> ModelInfo:
    return ModelInfo(
        slug=slug,
        description=description,
        reasoning=True,
        efforts=efforts,
        verbosity="low",
        parallel_tool_calls=True,
        patch_grammar=True,
        **more,
    )


MODELS: tuple[ModelInfo, ...] = (
    _gpt("gpt-5.4", "General agentic coding", fast_tier=True, output_limit=TOKENS),
    _gpt("gpt-5.4-mini", "Smaller and quicker agentic coding", output_limit=TOKENS),
    _gpt("gpt-5.3-codex", "Agentic coding, tuned for it", output_limit=TOKENS),
    _gpt("gpt-5.2", "General work and long-running agents"),
    _gpt("gpt-5.2-codex", "Agentic coding, an earlier tuning", hidden=True),
    _gpt("gpt-5.1-codex-max", "Deep and fast reasoning, earlier", hidden=True),
    _gpt("gpt-5.1-codex-mini", "Cheap and quick, earlier", efforts=("medium", "high"), hidden=True),
    ModelInfo(slug="offline", description="Built in, needs no network", efforts=("medium",), hidden=True),
)
_BY_SLUG = {model.slug: model for model in MODELS}


def model_info(
    slug: str, window: int | None = None, verbosity: str | None = None, output_tokens: int | None = None
) -> ModelInfo:
    """The model's entry, or the fallback with `known` False; the others where they are configured.

    A model that takes no verbosity is sent none.
    """
    info = _BY_SLUG.get(slug) or ModelInfo(slug=slug, known=False)
    if verbosity is not None and info.verbosity is not None:
        info = evolve(info, verbosity=verbosity)
    if output_tokens is not None:
        unit = info.output_limit.unit
        info = evolve(
            info, output_limit=Limit(output_tokens if unit == "tokens" else output_tokens * BYTES_PER_TOKEN, unit)
        )
    return info if window is None else evolve(info, context_window=window)
