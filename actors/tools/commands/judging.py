"""Judge a command as it would start now: in its environment, and with the folders that the model may write.

Reads the file system: for worker threads.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Final

from attrs import evolve

from spindle.actors.tools.commands.decision import Run, SandboxPermissions, Verdict, decide, programs_of
from spindle.actors.tools.commands.environment import user_shell
from spindle.actors.tools.commands.locating import Program, Writable, loads_only_fixed, locate
from spindle.actors.tools.commands.process import Command
from spindle.actors.tools.commands.rules import Rules
from spindle.actors.tools.commands.script import reads_profiles, shell_script, with_paths
from spindle.actors.tools.sandbox.confinement import Confinement, Place, within
from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.settings import AskForApproval, SandboxPolicy, WorkspaceWritePolicy

_SHARED: Final = ("/tmp", "/var/tmp")


def may_write(place: Place, policy: SandboxPolicy, confinement: Confinement | None) -> Writable:
    """The paths that the model may write without asking, now or under an earlier policy of the thread."""
    more = policy.writable_roots if isinstance(policy, WorkspaceWritePolicy) else ()
    roots = {os.path.realpath(root) for root in (place.cwd, *_SHARED, *more, place.tmpdir) if root}

    def writable(path: str) -> bool:
        if any(within(path, root) for root in roots):
            return True
        return confinement is not None and confinement.access(path) == "write"

    return writable


@frozen
class Judgement:
    """The verdict, and the command to start if it runs without asking."""

    verdict: Verdict
    command: Command


def judge(
    command: Command,
    writable: Writable,
    *,
    approval: AskForApproval,
    sandbox: SandboxPolicy,
    rules: Rules,
    permissions: SandboxPermissions = "use_default",
    justification: str | None = None,
    prefix_rule: Sequence[str] | None = None,
) -> Judgement:
    """See `decide`. Blocks.

    A command that is allowed because of its programs starts them by path. Outside the sandbox, its PATH has no folder that
    the model may write, because programs start others.
    """
    env, argv = command.env, command.argv
    script = shell_script(argv)
    programs: dict[str, Program] = {}
    if loads_only_fixed(env, profiles=script is not None and reads_profiles(argv), writable=writable):
        path = env.get("PATH", os.defpath)
        programs = locate(
            programs_of(argv), path=path, writable=writable, shell=user_shell(), builtins=script is not None
        )
    verdict = decide(
        argv,
        approval=approval,
        sandbox=sandbox,
        rules=rules,
        programs=programs,
        permissions=permissions,
        justification=justification,
        prefix_rule=prefix_rule,
    )
    if isinstance(verdict, Run) and verdict.by_path:
        command = evolve(command, argv=_by_path(argv, programs))
        if not verdict.sandboxed:
            command = evolve(command, env=_fixed_path(env, writable))
    return Judgement(verdict, command)


def _by_path(argv: Sequence[str], programs: Mapping[str, Program]) -> list[str]:
    paths = {name: program.path for name, program in programs.items() if program.path is not None}
    shell = paths.get(argv[0], argv[0])
    if shell_script(argv) is None:
        return [shell, *argv[1:]]
    return [shell, argv[1], with_paths(argv[2], paths)]


def _fixed_path(env: Mapping[str, str], writable: Writable) -> dict[str, str]:
    if "PATH" not in env:
        return dict(env)
    kept = [
        folder
        for folder in env["PATH"].split(os.pathsep)
        if os.path.isabs(folder) and not writable(os.path.realpath(folder))
    ]
    return {**env, "PATH": os.pathsep.join(kept)}
