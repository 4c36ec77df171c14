"""Credentials of AWS on this machine: which there are, never what they are.

The files and variables are those of the AWS command line:
https://docs.aws.amazon.com/cli/latest/userguide/cli-configure-files.html
"""

from __future__ import annotations

import configparser
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Literal, TypeAlias

from spindle.storage.outside import TEXT, read_file

Kind: TypeAlias = Literal["accessKeys", "bedrockApiKey"]

_PROFILE: Final = "profile "


def environment_credentials(env: Mapping[str, str]) -> Sequence[tuple[Kind, str | None]]:
    """(kind, region) of the credentials in an environment."""
    region = env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION") or None
    found: list[tuple[Kind, str | None]] = []
    if env.get("AWS_ACCESS_KEY_ID") and env.get("AWS_SECRET_ACCESS_KEY"):
        found.append(("accessKeys", region))
    if env.get("AWS_BEARER_TOKEN_BEDROCK"):
        found.append(("bedrockApiKey", region))
    return found


def profiles(env: Mapping[str, str]) -> Sequence[tuple[str, str | None]]:
    """(name, region) of the profiles in AWS's files, by name. A file that cannot be read has none. Blocks."""
    home = Path(env.get("HOME") or os.path.expanduser("~")) / ".aws"
    config = _read(env.get("AWS_CONFIG_FILE") or home / "config")
    credentials = _read(env.get("AWS_SHARED_CREDENTIALS_FILE") or home / "credentials")
    found: dict[str, str | None] = {}
    for section in config.sections():
        if section == "default" or section.startswith(_PROFILE):
            found[section.removeprefix(_PROFILE).strip()] = config.get(section, "region", fallback=None)
    for section in credentials.sections():
        found[section] = found.get(section) or credentials.get(section, "region", fallback=None)
    return sorted(found.items())


def _read(path: str | Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, default_section="\0", strict=False)
    try:
        parser.read_string(read_file(path, TEXT).decode("utf-8", "replace"))
    except (OSError, configparser.Error):
        return configparser.ConfigParser()
    return parser
