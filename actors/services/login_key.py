"""The key of OpenAI's login: an API key, or tokens that a client has passed in and renews."""

from __future__ import annotations

import trio

from spindle.rpc.model.own_headers import AccountToken
from spindle.storage.credentials import CredentialStore


class LoginKey:
    """One per model client. After a refusal the client is asked for other tokens once, however many requests were refused."""

    def __init__(self, credentials: CredentialStore) -> None:
        self._credentials = credentials
        self._lock = trio.Lock()

    async def __call__(self) -> str | AccountToken | None:
        """The key for a request. Raises OSError."""
        if (passed := self._credentials.passed) is None:
            return self._credentials.api_key()
        return AccountToken(passed.access_token, (("chatgpt-account-id", passed.account_id),))

    async def renew(self, refused: str) -> bool:
        """Ask for other tokens, unless there already are others. API keys stay as they are. Raises ModelError."""
        async with self._lock:
            passed, ask = self._credentials.passed, self._credentials.ask_for_tokens
            if passed is None or ask is None:
                return False
            if passed.access_token == refused:
                renewed = await ask(passed)
                if self._credentials.passed is passed:  # else it was logged out, or in again, meanwhile
                    self._credentials.pass_in(renewed, ask)
            return True
