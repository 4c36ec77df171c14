"""URLs of servers: what is wrong with one, and how it is shown in errors, events and logs, without secrets."""

from collections.abc import Collection
from urllib.parse import parse_qsl, urlsplit, urlunsplit


def shown(url: str) -> str:
    """The URL without user, password and the values of its query: these may be keys and tokens."""
    try:
        parts = urlsplit(url)
    except ValueError:  # such as an unclosed bracket
        return "(an invalid URL)"
    host = parts.netloc.rpartition("@")[2]
    query = "&".join(f"{name}=…" for name, _ in parse_qsl(parts.query, keep_blank_values=True))
    return urlunsplit((parts.scheme, host, parts.path, query, ""))


def url_fault(url: str, schemes: Collection[str] = ("http", "https")) -> str | None:
    """Why a URL cannot be that of a server with one of `schemes`; None if it can. Does not quote it, as it may have a key."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:  # such as an unclosed bracket, or a port that is no number
        return "the URL has no valid host and port"
    if parts.scheme not in schemes:
        return f"a URL begins with {' or '.join(f'{scheme}://' for scheme in schemes)}"
    return None if parts.hostname else "the URL has no host"
