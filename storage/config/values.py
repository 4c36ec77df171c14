"""Configured values, as an error message names them."""


def describe(value: object) -> str:
    """A value as an error message names it."""
    match value:
        case bool():
            return f"boolean `{str(value).lower()}`"
        case int():
            return f"integer `{value}`"
        case float():
            return f"floating point `{value}`"
        case str():
            return f'string "{value}"'
        case list():
            return "sequence"
        case None:
            return "null"
        case _:
            return "map"
