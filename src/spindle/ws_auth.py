"""The options of `spindle app-server` for the authorization of WebSockets: `--ws-auth` and what belongs to it.

Which combinations are accepted is as in Codex, and so are the words of the refusals.
"""

from __future__ import annotations

import argparse

TYPE_CHECKING = False  # typing takes longer to import than all of this
if TYPE_CHECKING:
    from spindle.rpc.transports.admission import Scheme

LONGEST = 64 * 1024
"""Bytes of a token or a secret with its file. A request head, which holds the token, is shorter."""

CAPABILITY, SIGNED = "capability-token", "signed-bearer-token"
_OF_CAPABILITY = ("ws_token_file", "ws_token_sha256")
_OF_SIGNED = ("ws_shared_secret_file", "ws_issuer", "ws_audience", "ws_max_clock_skew_seconds")


class AuthError(ValueError):
    """The options do not go together, or a file or a value of theirs cannot be used; `str()` says why."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options to the parser of `app-server`."""
    add = parser.add_argument
    add("--ws-auth", metavar="MODE", choices=(CAPABILITY, SIGNED), help=f"of WebSockets on TCP: {CAPABILITY}, {SIGNED}")
    add("--ws-token-file", metavar="PATH", help="the file with the capability token")
    add("--ws-token-sha256", metavar="HEX", help="the SHA-256 digest of the capability token")
    add("--ws-shared-secret-file", metavar="PATH", help="the file with the secret that signs bearer tokens (JWT, HS256)")
    add("--ws-issuer", metavar="ISSUER", help="the issuer that signed tokens must name")
    add("--ws-audience", metavar="AUDIENCE", help="the audience that signed tokens must name")
    add("--ws-max-clock-skew-seconds", metavar="SECONDS", type=_seconds, help="by which clocks may differ (30)")


def check(options: argparse.Namespace) -> None:
    """Check that the options go together. Raises AuthError."""
    given = {name for name in (*_OF_CAPABILITY, *_OF_SIGNED) if getattr(options, name) is not None}
    if options.ws_auth is None:
        if given:
            raise AuthError(f"websocket auth flags require `--ws-auth {CAPABILITY}` or `--ws-auth {SIGNED}`")
    elif options.ws_auth == CAPABILITY:
        if given & {*_OF_SIGNED}:
            raise AuthError(
                "`--ws-shared-secret-file`, `--ws-issuer`, `--ws-audience`, and `--ws-max-clock-skew-seconds` "
                f"require `--ws-auth {SIGNED}`"
            )
        if given == {*_OF_CAPABILITY}:
            raise AuthError("`--ws-token-file` and `--ws-token-sha256` are mutually exclusive")
        if not given:
            raise AuthError(f"`--ws-token-file` or `--ws-token-sha256` is required when `--ws-auth {CAPABILITY}` is set")
        if options.ws_token_sha256 is not None:
            _digest(options.ws_token_sha256)
    else:
        if given & {*_OF_CAPABILITY}:
            raise AuthError(f"`--ws-token-file` and `--ws-token-sha256` require `--ws-auth {CAPABILITY}`, not `{SIGNED}`")
        if options.ws_shared_secret_file is None:
            raise AuthError(f"`--ws-shared-secret-file` is required when `--ws-auth {SIGNED}` is set")


def scheme(options: argparse.Namespace) -> Scheme | None:
    """What checks the tokens, by options that go together; None without authorization. Reads files. Raises AuthError."""
    if options.ws_auth is None:
        return None
    if options.ws_auth == CAPABILITY:
        import hashlib

        from spindle.rpc.transports.admission import CapabilityToken

        if options.ws_token_sha256 is not None:
            return CapabilityToken(_digest(options.ws_token_sha256))
        return CapabilityToken(hashlib.sha256(_secret(options.ws_token_file)).digest())
    from spindle.rpc.transports.signed_token import CLOCK_SKEW, MOST_SECONDS, SECRET_BYTES, SignedToken

    if len(secret := _secret(options.ws_shared_secret_file)) < SECRET_BYTES:
        path = options.ws_shared_secret_file
        raise AuthError(f"signed websocket bearer secret {path} must be at least {SECRET_BYTES} bytes")
    skew = CLOCK_SKEW if options.ws_max_clock_skew_seconds is None else options.ws_max_clock_skew_seconds
    if skew > MOST_SECONDS:
        raise AuthError("websocket auth clock skew must fit in a signed 64-bit integer")
    return SignedToken(secret, options.ws_issuer or None, options.ws_audience or None, skew)


def _seconds(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 20 and int(text) < 2**64):
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a number of seconds")
    return int(text)


def _digest(text: str) -> bytes:
    try:
        digest = bytes.fromhex(text)
    except ValueError:
        digest = b""
    if len(digest) != 32 or len(text.strip()) != 64:
        raise AuthError("--ws-token-sha256 must be a 64-character hex SHA-256 digest")
    return digest


def _secret(path: str) -> bytes:
    """What a file contains, without white space around it."""
    try:
        with open(path, "rb") as file:
            data = file.read(LONGEST + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise AuthError(f"failed to read websocket auth secret {path}: {reason}") from None
    if len(data) > LONGEST:
        raise AuthError(f"websocket auth secret {path} must not be longer than {LONGEST} bytes")
    try:
        secret = data.decode().strip()
    except UnicodeDecodeError:
        raise AuthError(f"failed to read websocket auth secret {path}: not valid UTF-8") from None
    if not secret:
        raise AuthError(f"websocket auth secret {path} must not be empty")
    return secret.encode()
