"""The metrics: histograms with the units and bucket boundaries of the semantic conventions for generative AI."""

from __future__ import annotations

from typing import Final

from opentelemetry.metrics import Histogram, Meter

from spindle.otel.attributes import Attributes

_DURATIONS: Final = tuple(0.01 * 2**n for n in range(14))
_AGENT_DURATIONS: Final = tuple(0.1 * 2**n for n in range(13))
_TOKENS: Final = tuple(4**n for n in range(14))


class Metrics:
    """What is measured. Durations are in seconds."""

    def __init__(self, meter: Meter) -> None:
        def seconds(name: str, description: str, boundaries: tuple[float, ...] = _DURATIONS) -> Histogram:
            rounded = [round(boundary, 2) for boundary in boundaries]
            return meter.create_histogram(name, "s", description, explicit_bucket_boundaries_advisory=rounded)

        self.request_duration = seconds("gen_ai.client.operation.duration", "GenAI operation duration.")
        self.first_chunk = seconds("gen_ai.client.operation.time_to_first_chunk", "Time to the first chunk of an answer.")
        self.turn_duration = seconds("gen_ai.invoke_agent.duration", "Duration of a turn of an agent.", _AGENT_DURATIONS)
        self.tool_duration = seconds("gen_ai.execute_tool.duration", "Duration of a call of a tool.")
        self._tokens = meter.create_histogram(
            "gen_ai.client.token.usage",
            "{token}",
            "Number of input and output tokens used.",
            explicit_bucket_boundaries_advisory=_TOKENS,
        )

    def tokens(self, input_tokens: int, output_tokens: int, attributes: Attributes) -> None:
        """Record the tokens of an answer."""
        self._tokens.record(input_tokens, {**attributes, "gen_ai.token.type": "input"})
        self._tokens.record(output_tokens, {**attributes, "gen_ai.token.type": "output"})
