"""Tokens of a ChatGPT account that a client passes in, and renews."""

import base64
import json

import pytest
import trio

from spindle.actors.clients import token_refresh
from spindle.actors.services.login_key import LoginKey
from spindle.rpc.model.model_errors import ModelError
from spindle.rpc.model.own_headers import AccountToken


def token(number=1, **claims):
    plan = {"https://api.openai.com/auth": {"chatgpt_plan_type": "pro"}}
    payload = json.dumps({"email": "u@example.org", "number": number, **plan, **claims}).encode()
    return f"e30.{base64.urlsafe_b64encode(payload).decode().rstrip('=')}.c2ln"


async def login(client, access_token, account="acc-1", **more):
    return await client.call(
        "account/login/start", type="chatgptAuthTokens", accessToken=access_token, chatgptAccountId=account, **more
    )


def answer(client, id, **message):
    client.wire.requests.send_nowait(json.dumps({"id": id, **message}).encode())


async def asked(client):
    """The id and the params of the request for other tokens."""
    while True:
        message = await client.wire.messages.receive()
        if message.get("method") == "account/chatgptAuthTokens/refresh":
            return message["id"], message["params"]


async def renewal(key, client, **message):
    """Renew the token after a refusal, with this answer of the client; returns what the client was asked."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(key.renew, token())
        id, params = await asked(client)
        answer(client, id, **message)
    return params


@pytest.fixture
def key(client):
    return LoginKey(client.backend.credentials)


async def test_tokens_are_the_login_until_the_logout(client, key):
    assert await login(client, token()) == {"type": "chatgptAuthTokens"}
    assert (await client.notification("account/login/completed"))["success"] is True
    assert await client.notification("account/updated") == {"authMode": "chatgptAuthTokens", "planType": "pro"}
    account = (await client.call("account/read"))["account"]
    assert account == {"type": "chatgpt", "email": "u@example.org", "planType": "pro"}
    status = await client.call("getAuthStatus", includeToken=True)
    assert (status["authMethod"], status["authToken"]) == ("chatgptAuthTokens", token())
    assert (await client.call("getAuthStatus"))["authToken"] is None
    assert await key() == AccountToken(token(), (("chatgpt-account-id", "acc-1"),))
    assert not client.backend.home.auth_file.exists()
    refused = await client.call("account/login/start", type="apiKey", apiKey="sk-1")
    assert refused["message"].startswith("External auth is active.")
    await client.call("account/logout")
    assert (await client.call("account/read"))["account"] is None
    assert await key() is None
    assert await key.renew(token()) is False


@pytest.mark.parametrize(
    "access_token", ["abc", "a.b.c", "e30.bm8.c2ln", "e30.W10.c2ln", "e30.e30.", "e30.e30.c2ln\r\nx: y"]
)
async def test_what_is_no_token_is_refused(client, key, access_token):
    refused = await login(client, access_token)
    assert refused == {"code": -32603, "message": "failed to set external auth: invalid ID token format"}
    assert await key() is None
    assert "invalid ChatGPT account id" in (await login(client, token(), "a\r\nb: c"))["message"]


async def test_an_ephemeral_key_is_kept_in_memory(client):
    (client.backend.home.path / "config.toml").write_text('cli_auth_credentials_store = "ephemeral"\n')
    assert await client.call("account/login/start", type="apiKey", apiKey="sk-1") == {"type": "apiKey"}
    assert (await client.call("getAuthStatus", includeToken=True))["authToken"] == "sk-1"
    assert not client.backend.home.auth_file.exists()


async def test_the_plan_of_the_client_has_precedence(client):
    await login(client, token(), chatgptPlanType="team")
    assert (await client.call("account/read"))["account"]["planType"] == "team"
    await login(client, token(), chatgptPlanType="another")
    assert (await client.call("account/read"))["account"]["planType"] == "unknown"
    await login(client, token(email=None))
    assert (await client.call("account/read"))["message"] == "email and plan type are required for chatgpt authentication"


async def test_the_client_renews_a_refused_token_once(client, key):
    await login(client, token())
    renewed = {"accessToken": token(2), "chatgptAccountId": "acc-2"}
    assert await renewal(key, client, result=renewed) == {"reason": "unauthorized", "previousAccountId": "acc-1"}
    assert await key() == AccountToken(token(2), (("chatgpt-account-id", "acc-2"),))
    assert await key.renew(token()) is True  # of a request that was sent before: nothing is asked


@pytest.mark.parametrize(
    ("message", "why"),
    [
        ({"error": {"code": -1, "message": "nope"}}, "code=-1 message=nope"),
        ({"result": {"accessToken": 1}}, "the answer is not valid"),
        ({"result": {"accessToken": "a.b.c", "chatgptAccountId": "x"}}, "invalid ID token format"),
    ],
)
async def test_a_renewal_that_fails_leaves_the_token(client, key, message, why):
    await login(client, token())
    with pytest.RaisesGroup(pytest.RaisesExc(ModelError, match=f"auth refresh request failed: {why}")):
        await renewal(key, client, **message)
    assert (await key()).key == token()
    assert client.services.questions._open == {}


async def test_a_client_that_does_not_answer_is_not_waited_for(client, key, monkeypatch):
    monkeypatch.setattr(token_refresh, "DEADLINE", 0)
    await login(client, token())
    with pytest.raises(ModelError, match="no answer in 0 s"):
        await key.renew(token())
