"""URLs for errors, events and logs, without secrets."""

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
