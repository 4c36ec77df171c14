"""Thread ids as clients write them."""

from __future__ import annotations

import re
import uuid

from spindle.rpc.protocol.errors import INVALID_REQUEST, RpcError


def thread_id(text: str, *, what: str = "thread id", code: int = INVALID_REQUEST) -> str:
    """The id in canonical form. Raises RpcError naming what is wrong, in the words of the reference's UUID parser."""
    try:
        return str(uuid.UUID(text.removeprefix("urn:uuid:")))
    except ValueError:
        bad = re.search(r"[^0-9a-fA-F-]", text)
        if bad is not None:
            detail = (
                "invalid character: expected an optional prefix of `urn:uuid:` followed by [0-9a-fA-F-], "
                f"found `{bad.group()}` at {bad.start() + 1}"
            )
        else:
            detail = f"invalid length: expected length 32 for simple format, found {len(text)}"
        raise RpcError(code, f"invalid {what}: {detail}") from None
