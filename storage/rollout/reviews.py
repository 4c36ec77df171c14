"""The result of a review: the `review_output` in a rollout (format of Codex 0.124), and its text for clients."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from spindle.rpc.lenient import Json, mapping, sequence, text
from spindle.rpc.protocol.values import loads

NO_REVIEW = "Reviewer failed to output a response."
"""The text of a review without a result."""


def review_output(answer: str) -> Json:
    """The `review_output` of a reviewer's answer: its JSON object, or the whole answer as the explanation."""
    start, end = answer.find("{"), answer.rfind("}")
    for candidate in (answer, answer[start : end + 1] if start >= 0 else ""):
        try:
            found = mapping(loads(candidate))
        except orjson.JSONDecodeError:
            continue
        if isinstance(found.get("findings"), list):
            return {
                "findings": [_finding(mapping(each)) for each in sequence(found["findings"])],
                "overall_correctness": text(found.get("overall_correctness")),
                "overall_explanation": text(found.get("overall_explanation")),
                "overall_confidence_score": _number(found.get("overall_confidence_score")),
            }
    return {
        "findings": [],
        "overall_correctness": "",
        "overall_explanation": answer.strip(),
        "overall_confidence_score": 0.0,
    }


def review_text(output: Json) -> str:
    """The text of a `review_output`: the explanation, then the findings."""
    parts = [text(output.get("overall_explanation")).strip()]
    findings = [mapping(finding) for finding in sequence(output.get("findings"))]
    if findings:
        parts.append("Full review comments:" if len(findings) > 1 else "Review comment:")
        parts += [_shown(finding) for finding in findings]
    return "\n\n".join(part for part in parts if part) or NO_REVIEW


def _finding(finding: Json) -> Json:
    place = mapping(finding.get("code_location"))
    lines = mapping(place.get("line_range"))
    return {
        "title": text(finding.get("title")),
        "body": text(finding.get("body")),
        "confidence_score": _number(finding.get("confidence_score")),
        "priority": int(_number(finding.get("priority"))),
        "code_location": {
            "absolute_file_path": text(place.get("absolute_file_path")),
            "line_range": {"start": int(_number(lines.get("start"))), "end": int(_number(lines.get("end")))},
        },
    }


def _shown(finding: Json) -> str:
    place = mapping(finding.get("code_location"))
    lines = mapping(place.get("line_range"))
    where = f"{text(place.get('absolute_file_path'))}:{lines.get('start')}-{lines.get('end')}"
    body: Sequence[str] = text(finding.get("body")).split("\n")
    return "\n".join([f"- {text(finding.get('title'))} — {where}", *(f"  {line}" for line in body)])


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0.0
