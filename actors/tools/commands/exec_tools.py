"""The tools `exec_command` and `write_stdin`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from spindle.actors.tools.commands.arguments import (
    ExecCommand,
    WriteStdin,
    exec_failure,
    output_limit,
    working_directory,
    write_failure,
)
from spindle.actors.tools.commands.environment import shell_argv
from spindle.actors.tools.commands.execution import Around
from spindle.actors.tools.commands.offered import EXEC_COMMAND, WRITE_STDIN
from spindle.actors.tools.commands.process import Command
from spindle.actors.tools.commands.runner import NotRun, Runner, Wanted
from spindle.actors.tools.commands.sessions import (
    LONGEST_POLL,
    CommandOutcome,
    InputRefused,
    UnknownSession,
    exec_yield,
    write_yield,
)
from spindle.actors.tools.interface import Call, Output, ToolHost, ToolRefused, Use


class PatchCommands(Protocol):
    """Applies commands that are patches. Implemented by `patch.tool.PatchCommands`."""

    def suspects(self, call: Call) -> bool:
        """Whether the call may contain a patch; cheap."""
        ...

    async def take(self, tool: str, argv: list[str], cwd: str, call_id: str, host: ToolHost) -> Output | None:
        """Apply the patch in the command, and answer in the form of `tool`; None if it is another command."""
        ...


class ExecCommandTool:
    """Runs a script; becomes a session if it runs longer than the call waits."""

    name = "exec_command"
    namespace = None
    offer = EXEC_COMMAND

    def __init__(self, runner: Runner, patches: PatchCommands, *, logins: bool = True) -> None:
        """`logins`: allow login shells."""
        self._runner, self._patches, self._logins = runner, patches, logins

    def exclusive(self, call: Call) -> bool:
        """Calls with a patch."""
        return self._patches.suspects(call)

    def use(self, call: Call) -> Use | None:
        """See Hooked."""
        return script_use(call, "cmd")

    async def run(self, call: Call, host: ToolHost) -> Output:
        """Run the script. A cancelled call kills it."""
        given, runner = call.arguments(ExecCommand), self._runner
        cwd = working_directory(host.cwd, given.workdir)
        argv = shell_argv(given.cmd, shell=given.shell, login=given.login and self._logins)
        answer = await self._patches.take(self.name, argv, cwd, call.id, host)
        if answer is not None:
            return answer
        wanted = Wanted(
            argv=argv,
            cwd=cwd,
            tty=given.tty,
            quiet=True,
            permissions=given.sandbox_permissions,
            justification=given.justification,
            prefix_rule=given.prefix_rule,
            use=bash(call.id, given.cmd),
        )
        sessions, seconds = runner.sessions, exec_yield(given.yield_time_ms)
        session_id = sessions.new_id()
        item = runner.item(host, call.id, wanted, source="unifiedExecStartup", process_id=session_id)

        async def attempt(command: Command, around: Around) -> CommandOutcome:
            return await sessions.execute(item, command, seconds, around=around)

        try:
            outcome = await runner.run(host, item, wanted, attempt)
        except NotRun as error:
            sessions.release(session_id)
            return exec_failure(argv, str(error))
        except BaseException:
            sessions.release(session_id)
            raise
        if outcome.exit_code is not None:
            item.complete(outcome.exit_code, outcome.output, outcome.seconds)
        limit = output_limit(given.max_output_tokens)
        if outcome.exit_code is not None:
            call.report(bash(call.id, given.cmd), outcome.shown(limit))
        return _answered(outcome.text(limit), sessions.warning)


class WriteStdinTool:
    """Writes to a session, or reads its new output."""

    name = "write_stdin"
    namespace = None
    offer = WRITE_STDIN

    def __init__(self, runner: Runner, *, longest_poll: int = LONGEST_POLL) -> None:
        """`longest_poll`: milliseconds."""
        self._runner, self._longest_poll = runner, longest_poll

    def exclusive(self, call: Call) -> bool:
        """Calls with input, which must arrive in order."""
        try:
            return bool(call.arguments(WriteStdin).chars)
        except ToolRefused:
            return False

    def use(self, call: Call) -> Use | None:
        """See Hooked. For hooks, typed text is a command."""
        use = script_use(call, "chars")
        return use if use is not None and use.input["command"] else None

    async def run(self, call: Call, host: ToolHost) -> Output:
        """Write the input if it is allowed, then wait for output."""
        given = call.arguments(WriteStdin)
        seconds = write_yield(given.yield_time_ms, poll=not given.chars, longest_poll=self._longest_poll)
        sessions, session_id = self._runner.sessions, str(given.session_id)
        try:
            if given.chars:
                use = bash(call.id, given.chars)
                await self._runner.permit_input(host, sessions.find(session_id), given.chars, use)
            outcome = await sessions.write_stdin(host, session_id, given.chars, seconds)
        except (UnknownSession, InputRefused, NotRun) as error:
            return write_failure(error)
        limit = output_limit(given.max_output_tokens)
        if outcome.use is not None:
            call.report(outcome.use, outcome.shown(limit))
        return outcome.text(limit)


def bash(call_id: str, script: str) -> Use:
    """A command as hooks receive it."""
    return Use(id=call_id, tool="Bash", input={"command": script})


def script_use(call: Call, member: str) -> Use | None:
    """The use in a call; `member` of its arguments is the script."""
    try:
        script: object = call.arguments(Mapping[str, object]).get(member)  # type: ignore[type-abstract]
    except ToolRefused:
        return None
    return bash(call.id, script) if isinstance(script, str) else None


def _answered(text: str, warning: str | None) -> str:
    return text if warning is None else f"Warning: {warning}\n\n{text}"
