"""The batch example: how many questions are asked at once, what is tried again, and what Ctrl-C leaves."""

import io
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from benchmarks.driving import (
    DEADLINE,
    ModelServer,
    chunk,
    completed,
    configure,
    created,
    message_added,
    message_done,
    text_delta,
)
from tests.examples.loading import loaded

from spindle.testing import FunctionModel, Request, ScriptedModel, fail, say

EXAMPLE = Path(__file__).resolve().parents[2] / "examples/batch.py"


@pytest.fixture
def batch() -> Any:
    return loaded(EXAMPLE)


async def test_twenty_questions_are_asked_at_once_and_each_is_answered(batch, home, capsys):
    asking, most = 0, 0
    full = trio.Event()

    async def answer(request: Request) -> str:
        nonlocal asking, most
        asking += 1
        most = max(most, asking)
        if asking == batch.AT_ONCE:
            full.set()
        await full.wait()  # so the first twenty are there together
        asking -= 1
        return request.prompt.upper()

    questions = [f"question {number}" for number in range(200)]
    answers = io.StringIO()
    await batch.main(questions, answers, FunctionModel(answer))
    lines = [json.loads(line) for line in answers.getvalue().splitlines()]
    assert sorted(line["answer"] for line in lines) == sorted(question.upper() for question in questions)
    assert most == batch.AT_ONCE
    tokens = sum(line["tokens"] for line in lines)
    assert tokens > 200
    assert f"200 of 200 questions are answered, with {tokens} tokens\n" in capsys.readouterr().out


async def test_what_a_provider_refuses_for_now_is_asked_again_when_it_says_so(batch, home, agent_clock):
    answers = io.StringIO()
    began = trio.current_time()
    await batch.main(["why?"], answers, ScriptedModel(fail(429, retry_after=100), fail(503), say("because")))
    assert json.loads(answers.getvalue())["answer"] == "because"
    assert 104 <= trio.current_time() - began < 110  # the second time it waits 4 seconds by itself


async def test_a_refused_key_ends_everything_at_once(batch, home, agent_clock, capsys):
    answers = io.StringIO()
    model = FunctionModel(lambda request: fail(401, "no such key"))
    await batch.main([f"question {number}" for number in range(50)], answers, model)
    output = capsys.readouterr().out
    assert "no such key" in output
    assert len(model.requests) <= batch.AT_ONCE
    assert output.endswith("0 of 50 questions are answered, with 0 tokens\n")
    assert answers.getvalue() == ""
    assert trio.current_time() < 2


async def test_a_question_that_fails_leaves_the_others(batch, home, agent_clock, capsys):
    answers = io.StringIO()
    model = FunctionModel(lambda request: fail(503, "overloaded") if request.prompt == "why?" else "so")
    await batch.main(["why?", "how?"], answers, model)
    assert [json.loads(line)["question"] for line in answers.getvalue().splitlines()] == ["how?"]
    assert len(model.requests) == batch.ATTEMPTS + 1
    assert "why?: " in capsys.readouterr().out


class Halting(ModelServer):
    """Answers "ok"; to questions with the word "later" only when `go_on` is set."""

    def __init__(self) -> None:
        self.held = threading.Semaphore(0)
        self.go_on = threading.Event()
        super().__init__()

    def answer(self, body: bytes) -> Iterator[bytes]:
        yield chunk(created())
        if b"later" in body:
            self.held.release()
            self.go_on.wait(DEADLINE)
        yield chunk(message_added(), text_delta("ok"), message_done("ok"), completed())


def test_ctrl_c_leaves_what_is_answered_and_the_next_run_goes_on(tmp_path):
    """The program as a process. It is stopped when all questions are asked, and one is answered."""
    answers = tmp_path / "answers.jsonl"
    (tmp_path / "questions.txt").write_text("now?\nlater?\nor later?\n")
    model = Halting()
    configure(tmp_path, model.url)
    command = [sys.executable, str(EXAMPLE), "questions.txt", "answers.jsonl"]
    process = partial(
        subprocess.Popen[str],
        command,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(EXAMPLE.parents[1] / "src"), "CODEX_HOME": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with closing(model):
        with process() as first:
            assert all(model.held.acquire(timeout=DEADLINE) for _ in range(2))
            while not answers.read_text():
                with pytest.raises(subprocess.TimeoutExpired):
                    first.wait(0.01)
            first.send_signal(signal.SIGINT)
            output, errors = first.communicate(timeout=DEADLINE)
        assert (first.returncode, errors) == (0, "")
        assert output.endswith("1 of 3 questions are answered, with 15 tokens\n")
        assert [json.loads(line)["question"] for line in answers.read_text().splitlines()] == ["now?"]
        model.go_on.set()
        with process() as second:
            assert "2 of 2 questions are answered, with 30 tokens" in second.communicate(timeout=DEADLINE)[0]
    lines = [json.loads(line) for line in answers.read_text().splitlines()]
    assert sorted((line["question"], line["answer"]) for line in lines) == [
        ("later?", "ok"),
        ("now?", "ok"),
        ("or later?", "ok"),
    ]
