"""Tokens of a ChatGPT account that a client has obtained and passes in. They are kept in memory only."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any, Final

import orjson
from attrs import field

from spindle.rpc.lazy_class import frozen
from spindle.rpc.lenient import is_mapping, mapping
from spindle.rpc.protocol.values import loads

_JWT: Final = re.compile(r"[\w-]+\.([\w-]+)\.[\w-]+", re.ASCII)
_ACCOUNT: Final = re.compile(r"[!-~]{1,256}")
_PROFILE: Final = "https://api.openai.com/profile"
_AUTH: Final = "https://api.openai.com/auth"
_PLANS: Final = {
    *("free", "go", "plus", "pro", "prolite", "team", "business", "enterprise", "edu"),
    *("self_serve_business_usage_based", "enterprise_cbp_usage_based"),
}


@frozen
class PassedTokens:
    """The access token, the account it is for, and what the token says about the user."""

    access_token: str = field(repr=False)
    account_id: str
    plan_type: str
    """A `PlanType` of the protocol, `unknown` for any other."""
    email: str | None = None


def passed_tokens(access_token: str, account_id: str, plan_type: str | None) -> PassedTokens:
    """Read the claims of the token, a JWT; its signature is not verified. `plan_type` has precedence over its claim.

    Raises ValueError for another token, and for an account that cannot be sent as a header.
    """
    whole = _JWT.fullmatch(access_token)
    claims = None if whole is None else _claims(whole[1])
    if claims is None:
        raise ValueError("invalid ID token format")
    if _ACCOUNT.fullmatch(account_id) is None:
        raise ValueError("invalid ChatGPT account id")
    email = claims.get("email") or mapping(claims.get(_PROFILE)).get("email")
    plan = plan_type or mapping(claims.get(_AUTH)).get("chatgpt_plan_type")
    known = plan.lower() if isinstance(plan, str) else ""
    shown = email if isinstance(email, str) else None
    return PassedTokens(access_token, account_id, known if known in _PLANS else "unknown", shown)


def _claims(encoded: str) -> Mapping[str, Any] | None:
    try:
        value: object = loads(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)))
    except (ValueError, orjson.JSONDecodeError):
        return None
    return value if is_mapping(value) else None
