"""How the server names itself and its system: in the answer to `initialize`, and to models.

Standard library only: `initialize` is answered before anything else is imported.
"""

import os
from typing import Final

PROTOCOL_VERSION: Final = "0.169.0"
"""The version of the Codex protocol that we tell clients and write into rollouts; SDKs refuse servers below 0.151.0."""

PLATFORM_FAMILY: Final = "unix"


def is_header_value(name: str) -> bool:
    """Whether a client's name can be an HTTP header value, which it becomes towards the model."""
    return name != "" and all(" " <= character <= "~" or character >= "\x80" or character == "\t" for character in name)


def user_agent(name: str, version: str) -> str:
    """`<client>/<our protocol version> (<system>; <machine>) spindle (<client>; <client version>)`."""
    system = os.uname()
    where = f"{system.sysname} {system.release}; {system.machine}"
    return f"{name}/{PROTOCOL_VERSION} ({where}) spindle ({name}; {version})"


def platform_os() -> str:
    """The operating system: `linux`, `macos`, or else the lower-case name of the kernel."""
    kernel = os.uname().sysname
    return {"Darwin": "macos"}.get(kernel, kernel.lower())
