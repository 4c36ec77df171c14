"""`spindle app-server generate-json-schema` and `generate-ts`: write the protocol's types as files."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from spindle.rpc.schema.layout import Layout
from spindle.rpc.schema.reading import Protocol

FORMATTING: Final = 120.0
"""Seconds that Prettier may take."""

_FILES: Final[Mapping[str, Callable[[Layout], dict[str, str]]]] = {
    "generate-json-schema": Layout.json_files,
    "generate-ts": Layout.typescript_files,
}


def main(command: str, out: str, *, experimental: bool, prettier: str | None = None) -> int:
    """Write the files below the folder `out`, which is made if needed; returns the exit code.

    experimental: with the methods and members that need the experimentalApi capability.
    prettier: the program that formats TypeScript.
    """
    files = _FILES[command](Layout(Protocol(experimental)))
    written: list[str] = []
    try:
        for name, text in files.items():
            path = Path(out) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            written.append(str(path))
        if prettier is not None:
            subprocess.run([prettier, "--write", "--log-level", "warn", *written], check=True, timeout=FORMATTING)
    except (OSError, subprocess.SubprocessError) as error:
        sys.stderr.write(f"spindle: {error}\n")
        return 1
    return 0
