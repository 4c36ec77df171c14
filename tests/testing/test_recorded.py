"""A real provider is recorded once; the recording plays without it, elsewhere, and says what differs."""

import json
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
import trio
from tests.rpc.model.scripted import COMPLETED, CREATED, DONE, END, HEAD, chunk, delta

from spindle import ResponsesModel, TurnFailed, open_runtime
from spindle.rpc.model.interface import Provider
from spindle.testing import RecordedModel, ScriptedModel, call, disconnect, fail, hang, say, think, usage

from .conftest import FREE

KEY = "sk-abcdefghijklmnop1234"


@pytest.fixture
def run(tmp_path, weather):
    """run(model, prompts, folder) -> the answers, in a runtime of its own in this folder."""

    async def run_(model, *prompts, folder="one"):
        cwd = tmp_path / folder
        (cwd / "work").mkdir(parents=True, exist_ok=True)
        answers: list[Any] = []
        options = {"home": cwd / "home", "cwd": cwd / "work", "model": model, "config": list(FREE.items())}
        async with open_runtime(**options) as runtime, runtime.start_thread(tools=[weather]) as thread:
            for prompt in prompts:
                try:
                    answers.append((await thread.run(prompt)).text)
                except TurnFailed as failed:
                    answers.append(failed)
        return answers

    return run_


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


async def test_a_recording_plays_in_another_place_without_the_provider(tmp_path, run):
    path = tmp_path / "recordings/weather.jsonl"
    real = ScriptedModel(
        think("Where?") + call("weather", city="Oslo", call_id="c") + usage(10, 5),
        say("It rains in Oslo."),
        call("exec_command", cmd="pwd", login=False, call_id="d"),
        "There.",
    )
    recorded = await run(RecordedModel(path, real, mode="record"), "Coat?", "Where am I?")
    model = RecordedModel(path)
    assert await run(model, "Coat?", "Where am I?", folder="two") == recorded == ["It rains in Oslo.", "There."]
    model.assert_done()
    assert model.requests[1].tool_outputs == {"c": "rain in Oslo"}
    header, first, *_ = lines(path)
    assert header == {"spindle_recording": 1}
    assert str(tmp_path) not in path.read_text()
    assert first["request"]["tools"] == sorted(first["request"]["tools"])


async def test_the_folders_in_an_answer_are_those_of_the_machine_that_plays_it(tmp_path, run):
    path = tmp_path / "there.jsonl"

    def touch(request):
        cwd = next(text for text in request.texts if "<cwd>" in text).split("<cwd>")[1].split("</cwd>")[0]
        return call("exec_command", cmd=f"touch {cwd}/made", login=False)

    await run(RecordedModel(path, ScriptedModel(touch, "done"), mode="once"), "go")
    assert (tmp_path / "one/work/made").exists()
    await run(RecordedModel(path), "go", folder="two")
    assert (tmp_path / "two/work/made").exists()


async def test_once_records_only_the_first_time(tmp_path, run):
    path = tmp_path / "once.jsonl"
    for real in (ScriptedModel("from the provider"), ScriptedModel()):
        assert await run(RecordedModel(path, real, mode="once"), "hi") == ["from the provider"]


async def test_failures_are_recorded_too(tmp_path, run):
    path = tmp_path / "failures.jsonl"
    real = ScriptedModel(fail(429, type="usage_limit_reached"), say("half") + disconnect())
    first = await run(RecordedModel(path, real, mode="record"), "one", "two")
    second = await run(RecordedModel(path), "one", "two")
    assert [str(failed) for failed in first] == [str(failed) for failed in second]
    assert first[0].result.error.codex_error_info == second[0].result.error.codex_error_info == "usageLimitExceeded"


async def test_an_answer_that_was_cancelled_hangs_when_it_is_played(tmp_path, run):
    path = tmp_path / "cancelled.jsonl"
    real = ScriptedModel(say("one") + hang())
    for _ in range(2):
        model = RecordedModel(path, real, mode="once")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run, model, "go")
            await (real if model.recording else model).waiting.wait()
            nursery.cancel_scope.cancel()
    assert lines(path)[-1] == {"end": "cancelled"}


async def test_a_request_that_was_not_recorded_says_the_difference(tmp_path, run):
    path = tmp_path / "other.jsonl"
    await run(RecordedModel(path, ScriptedModel("hi"), mode="record"), "hello")
    model = RecordedModel(path)
    [failed] = await run(model, "good bye")
    assert "the request 'good bye' was not recorded" in str(failed)
    with pytest.raises(AssertionError) as wrong:
        model.assert_done()
    assert '-          "text": "hello",' in str(wrong.value)
    assert '+          "text": "good bye",' in str(wrong.value)
    assert "recorded, but not asked for:\n'hello'" in str(wrong.value)
    assert len(str(wrong.value).splitlines()) < 40


async def test_a_recorded_answer_is_played_once(tmp_path, run):
    path = tmp_path / "twice.jsonl"
    await run(RecordedModel(path, ScriptedModel("hi"), mode="record"), "hello")
    model = RecordedModel(path)
    assert await run(model, "hello") == ["hi"]
    [failed] = await run(model, "hello", folder="two")
    assert "was recorded 1 time(s), and is asked once more" in str(failed)


async def test_no_secret_is_written(tmp_path, run, monkeypatch):
    path = tmp_path / "secret.jsonl"
    monkeypatch.setenv("SERVICE_TOKEN", "hunter2hunter2")
    secrets = ["hunter2hunter2", KEY, "abcdef0123456789abcdef"]
    said = f"my keys are {secrets[0]}, {secrets[1]}, and Authorization: Bearer {secrets[2]}"
    chunks = [said[at : at + 3] for at in range(0, len(said), 3)]
    real = ScriptedModel(say(said, chunks=chunks) + call("weather", city=KEY, call_id="c"), "ok", fail(401, f"no {KEY}"))
    first = await run(RecordedModel(path, real, mode="record"), f"remember {said}", "again")
    assert KEY in str(first[1])
    text = path.read_text()
    assert "my keys are ***" in text
    said_again = "".join(line["event"].get("delta", "") for line in lines(path) if "event" in line)
    assert [secret for secret in secrets if secret in text or secret in said_again] == []
    model = RecordedModel(path)
    await run(model, f"remember {said}", "again")
    model.assert_done()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"other": 1}\n', "not a recording"),
        (b'{"spindle_recording": 9}\n', "version 9"),
        (b'{"spindle_recording": 1}\nnonsense\n', "line 2"),
        (b'{"spindle_recording": 1}\n{"event": {}}\n', "line 2: neither"),
    ],
)
def test_a_file_that_is_no_recording_is_refused(tmp_path, content, words):
    path = tmp_path / "bad.jsonl"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=words):
        RecordedModel(path)
    with pytest.raises(ValueError, match="'onse' is not one of replay, record, once"):
        RecordedModel(path, mode="onse")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="needs the model"):
        RecordedModel(path, mode="record")


@asynccontextmanager
async def provider(*answers):
    """The URL of a provider on this machine that gives these answers, and the requests that it gets."""
    left, asked = list(answers), []

    async def serve(stream):
        received = b""
        while b"\r\n\r\n" not in received:
            received += await stream.receive_some()
        asked.append(received)
        await stream.send_all(left.pop(0))
        await stream.aclose()

    async with trio.open_nursery() as nursery:
        [listener] = await nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
        yield f"http://127.0.0.1:{listener.socket.getsockname()[1]}/v1", asked
        nursery.cancel_scope.cancel()


async def test_a_provider_over_http_is_recorded(tmp_path, run):
    path = tmp_path / "http.jsonl"
    async with provider(HEAD + chunk(CREATED, delta("h"), delta("i"), DONE, COMPLETED) + END) as (url, asked):
        settings = Provider(name="local", base_url=url, http_headers={"authorization": f"Bearer {KEY}"})
        assert await run(RecordedModel(path, ResponsesModel(settings), mode="record"), "hello") == ["hi"]
    assert KEY.encode() in asked[0]
    assert KEY not in path.read_text()
    assert {"event": {"type": "response.output_text.delta", "delta": "hi", "item_id": None}} in lines(path)
    assert await run(RecordedModel(path), "hello", folder="two") == ["hi"]
