"""URLs as they may be shown: in errors, events and logs."""

from urllib.parse import parse_qsl, urlsplit, urlunsplit


def shown(url: str) -> str:
    """The URL without a user and a password, and with its query's values left out: keys and tokens are given in either."""
    try:
        parts = urlsplit(url)
    except ValueError:  # such as a bracket without its end
        return "(an invalid URL)"
    host = parts.netloc.rpartition("@")[2]
    query = "&".join(f"{name}=…" for name, _ in parse_qsl(parts.query, keep_blank_values=True))
    return urlunsplit((parts.scheme, host, parts.path, query, ""))
