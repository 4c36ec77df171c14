"""How a provider's failure ends a run, and which key each provider gets."""

import pytest
import trio
from tests.rpc.model.conftest import ScriptedServer
from tests.rpc.model.scripted import WHOLE, status

import spindle
from spindle.rpc.protocol.turns import ErrorNotification

TABLE = 'model_provider = "mine"\n[model_providers.mine]\nname = "Mine"\nbase_url = "{url}/v1"\n'


@pytest.fixture
async def server(nursery):
    scripted = ScriptedServer()
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    scripted.port = listener.socket.getsockname()[1]
    nursery.start_soon(trio.serve_listeners, scripted.handle, [listener])
    yield scripted
    nursery.cancel_scope.cancel()


@pytest.fixture
def configured(tmp_path, server):
    """configured(text) -> a runtime to enter, whose config.toml has this text."""

    def opened(text):
        (tmp_path / "config.toml").write_text(text.format(url=server.url))
        return spindle.open_runtime(home=tmp_path, cwd=tmp_path)

    return opened


async def failure_of(runtime):
    async with runtime.start_thread() as thread:
        with pytest.raises(spindle.ProviderError) as caught:
            await thread.run("hi")
    return caught.value


async def test_a_refusal_reaches_the_program_at_once(configured, server):
    server.script = [[status(401, {"message": "wrong key"})], [WHOLE]]
    async with configured(TABLE) as runtime:
        error = await failure_of(runtime)
    assert (error.status, error.retry_after, error.info) == (401, None, "other")
    assert str(error) == f"unexpected status 401 Unauthorized: wrong key, url: {server.url}/v1/responses"
    assert len(server.received) == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (TABLE.replace("base_url", "base_uri"), r"config.toml:4:1: `model_providers.mine.base_uri` is .* `base_url`\?$"),
        ('model_provider = "other"', "Model provider `other` not found. There are the providers `lmstudio`, "),
        ("model = [", "config.toml:1:"),
    ],
)
async def test_an_invalid_configuration_is_a_config_error(configured, server, text, words):
    async with configured(text) as runtime:
        with pytest.raises(spindle.ConfigError, match=words):
            async with runtime.start_thread():
                pass
    assert not server.received


async def test_a_wait_that_is_too_long_reaches_the_program(configured, server):
    server.script = [[status(429, {}, b"retry-after: 9000\r\n")], [WHOLE]]
    async with configured(TABLE) as runtime:
        error = await failure_of(runtime)
    assert (error.status, error.retry_after) == (429, 9000.0)
    assert error.info == {"responseTooManyFailedAttempts": {"httpStatusCode": 429}}
    assert "The provider takes no request before " in str(error)
    assert len(server.received) == 1


async def test_a_missing_key_is_named_before_any_request(configured, server):
    async with configured(f'{TABLE}env_key = "MY_KEY"\n') as runtime:
        error = await failure_of(runtime)
    assert str(error).startswith("Missing environment variable: `MY_KEY`.")
    assert (error.status, server.connections) == (None, 0)


async def test_a_new_home_without_a_key_says_what_to_set(configured):
    async with configured("") as runtime:
        error = await failure_of(runtime)
    assert "Set OPENAI_API_KEY" in str(error)
    assert error.info == "unauthorized"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('openai_base_url = "{url}/v1"\n', "Bearer openai"),
        (TABLE, None),
        (f'{TABLE}env_key = "MY_KEY"\n', "Bearer mine"),
        (f"{TABLE}requires_openai_auth = true\n", "Bearer openai"),
        (f'{TABLE}requires_openai_auth = true\nenv_key = "MY_KEY"\n', "Bearer mine"),
        (f'{TABLE}requires_openai_auth = true\nexperimental_bearer_token = "token"\n', "Bearer token"),
    ],
)
async def test_openais_key_is_sent_to_no_other_provider(configured, server, monkeypatch, text, expected):
    monkeypatch.setenv("OPENAI_API_KEY", "openai")
    monkeypatch.setenv("MY_KEY", "mine")
    server.script = [[WHOLE]]
    async with configured(text) as runtime, runtime.start_thread() as thread:
        await thread.run("hi")
    assert [one.headers.get("authorization") for one in server.received] == [expected]


async def test_an_interrupt_ends_the_wait_that_was_announced(configured, server):
    server.script = [[status(429, {"message": "slow"}, b"retry-after: 200\r\n")], [WHOLE]]
    async with configured(TABLE) as runtime, runtime.start_thread() as thread:
        with trio.fail_after(60):
            async with thread.turn("hi") as turn:
                async for event in turn:
                    if isinstance(event, ErrorNotification):
                        break
        assert event.will_retry
        assert event.error.message == "Reconnecting... 1/5"
        assert event.error.additional_details.startswith("exceeded retry limit, last status: 429 Too Many Requests: slow (the")
        assert turn.result.status == "interrupted"
        assert len(server.received) == 1
        await thread.run("again")
