"""`spindle trust`: show what a project's `.codex` wants to run or change, and approve its present content."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from spindle.storage.config import ConfigError, ConfigLoader
from spindle.storage.config.approvals import Approval
from spindle.storage.config.trusting import Proposal, Proposals, approve, proposals
from spindle.storage.home import Home, HomeError


def main(path: str, *, only_show: bool) -> int:
    """Approve the project that contains `path`; returns the exit code: 1 if a part of it could not be approved."""
    try:
        if not os.path.isdir(path):
            raise NotADirectoryError(f"{shown(path)} is not a folder")
        loader = ConfigLoader(Home.resolve(os.environ))
        wanted = proposals(loader, Path(path))
        _show(wanted)
        if only_show:
            return 0
        approve(loader, wanted)
    except (HomeError, ConfigError, OSError) as error:
        print(shown(f"spindle: {error}"), file=sys.stderr)
        return 1
    failed = [proposal for proposal in wanted.proposals if not isinstance(proposal.approval, Approval)]
    for proposal in failed:
        print(shown(f"spindle: {proposal.name} cannot be approved: {proposal.approval}"), file=sys.stderr)
    what = "." if failed or not wanted.proposals else ", with all of this as it is now."
    print(f"{shown(str(wanted.root))} is trusted{what}")
    return 1 if failed else 0


def shown(text: str) -> str:
    """The text, as a JSON string if it has characters that could drive a terminal or start a line."""
    return text if text.isprintable() else json.dumps(text)


def _show(wanted: Proposals) -> None:
    for warning in wanted.warnings:
        print(f"spindle: {shown(warning)}", file=sys.stderr)
    if not wanted.proposals:
        print(f"{shown(str(wanted.root))} wants nothing that has to be approved.")
        return
    print(f"{shown(str(wanted.root))} wants to run, or to change:")
    for proposal in wanted.proposals:
        print(f"\n{_where(proposal)}: {shown(proposal.name)} ({proposal.standing})")
        value = proposal.value if isinstance(proposal.value, str) else json.dumps(proposal.value)
        print(f"    {shown(value)}")
        if isinstance(proposal.approval, Approval):
            for file in proposal.approval.files:
                print(f"    with the file {shown(file)}")
    print()


def _where(proposal: Proposal) -> str:
    return shown(str(proposal.file)) + ("" if proposal.line is None else f":{proposal.line}")
