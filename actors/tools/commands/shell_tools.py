"""The tools `shell` and `shell_command`, and the user's own commands: they run to their end or a timeout."""

from __future__ import annotations

import json
from typing import Final

import trio

from spindle.actors.tools.commands import quoting
from spindle.actors.tools.commands.arguments import Shell, ShellCommand, working_directory
from spindle.actors.tools.commands.environment import shell_argv
from spindle.actors.tools.commands.exec_tools import PatchCommands, bash, script_use
from spindle.actors.tools.commands.execution import Around, Execution, plain
from spindle.actors.tools.commands.items import CommandItem
from spindle.actors.tools.commands.offered import SHELL, SHELL_COMMAND
from spindle.actors.tools.commands.process import Command, Warden
from spindle.actors.tools.commands.runner import REJECTED, NotRun, Runner, Wanted
from spindle.actors.tools.interface import BackgroundTasks, Call, Output, ToolHost, ToolRefused, Use
from spindle.actors.tools.truncation import MODEL_LIMIT, Limit, line_count, shown_to_model, truncate_middle
from spindle.rpc.lazy_class import frozen

TIMEOUT: Final = 10_000
"""The default timeout in milliseconds."""
TIMED_OUT: Final = 124


@frozen
class Result:
    """The end of a command: `exit_code` is 124 after a timeout, -1 after a signal."""

    exit_code: int
    output: str
    seconds: float

    @property
    def _full(self) -> str:
        if self.exit_code == TIMED_OUT:
            return f"command timed out after {int(self.seconds * 1000)} milliseconds\n{self.output}"
        return self.output

    def shown(self, limit: Limit = MODEL_LIMIT) -> str:
        """The output for the model, truncated to `limit`."""
        return shown_to_model(self._full, limit)

    def json(self, limit: Limit = MODEL_LIMIT) -> str:
        """The answer of `shell`."""
        metadata = {"exit_code": self.exit_code, "duration_seconds": round(self.seconds, 1)}
        answer = {"output": self.shown(limit), "metadata": metadata}
        return json.dumps(answer, ensure_ascii=False, separators=(",", ":"))

    def text(self, limit: Limit = MODEL_LIMIT) -> str:
        """The answer of `shell_command`."""
        full = self._full
        shown = truncate_middle(full, limit)
        lines = [f"Exit code: {self.exit_code}", f"Wall time: {round(self.seconds, 1):g} seconds"]
        if shown is not full:
            lines.append(f"Total output lines: {line_count(full)}")
        return "\n".join([*lines, "Output:", shown])


async def run_shell(
    warden: Warden,
    nursery: BackgroundTasks,
    item: CommandItem,
    command: Command,
    *,
    timeout_ms: int | None = None,
    around: Around = plain,
) -> Result:
    """Run `command` to its end, or kill it after `timeout_ms`. The caller completes the item.

    Background processes of the command live until `nursery` ends. Raises OSError if the command cannot be started, and what
    `around` raises. If cancelled, it kills the command and completes the item.
    """
    item.start()
    execution = Execution(warden, command, emit=item.delta, room=item.host.room, linger=True, around=around)
    timed_out = False
    try:
        await nursery.start(execution.run)
        with trio.move_on_after((TIMEOUT if timeout_ms is None else max(timeout_ms, 0)) / 1000) as scope:
            await execution.exited.wait()
        if scope.cancelled_caught:
            timed_out = True
            await execution.end()
    except trio.Cancelled:
        await execution.end()
        item.complete(execution.exit_code, execution.transcript.text(), execution.seconds)
        raise
    return Result(TIMED_OUT if timed_out else execution.exit_code, execution.transcript.text(), execution.seconds)


class ShellTool:
    """Runs a program to its end. `plain`: the answer is text, for models that write patches under a grammar; else JSON."""

    name = "shell"
    namespace = None
    offer = SHELL

    def __init__(
        self, runner: Runner, patches: PatchCommands, *, plain: bool = False, limit: Limit = MODEL_LIMIT
    ) -> None:
        self._runner, self._patches, self._limit = runner, patches, limit
        self._form = Result.text if plain else Result.json

    def exclusive(self, call: Call) -> bool:
        """Calls with a patch."""
        return self._patches.suspects(call)

    def aborted(self, seconds: float) -> str:
        """See Abortable."""
        return _aborted(seconds)

    def use(self, call: Call) -> Use | None:
        """See Hooked."""
        try:
            return bash(call.id, quoting.join(call.arguments(Shell).command))
        except ToolRefused:
            return None

    async def run(self, call: Call, host: ToolHost) -> Output:
        """Run the command. A cancelled call kills it."""
        given = call.arguments(Shell)
        if not given.command:
            raise ToolRefused("command args are empty")
        ran = await _run(self._runner, self._patches, self.name, list(given.command), call, host, given)
        return self._form(ran, self._limit) if isinstance(ran, Result) else ran


class ShellCommandTool:
    """Runs a script to its end."""

    name = "shell_command"
    namespace = None
    offer = SHELL_COMMAND

    def __init__(
        self, runner: Runner, patches: PatchCommands, *, logins: bool = True, limit: Limit = MODEL_LIMIT
    ) -> None:
        """`logins`: allow login shells."""
        self._runner, self._patches, self._logins, self._limit = runner, patches, logins, limit

    def exclusive(self, call: Call) -> bool:
        """Calls with a patch."""
        return self._patches.suspects(call)

    def aborted(self, seconds: float) -> str:
        """See Abortable."""
        return _aborted(seconds)

    def use(self, call: Call) -> Use | None:
        """See Hooked."""
        return script_use(call, "command")

    async def run(self, call: Call, host: ToolHost) -> Output:
        """Run the command. A cancelled call kills it."""
        given = call.arguments(ShellCommand)
        argv = shell_argv(given.command, login=given.login and self._logins)
        ran = await _run(self._runner, self._patches, self.name, argv, call, host, given)
        return ran.text(self._limit) if isinstance(ran, Result) else ran


def _aborted(seconds: float) -> str:
    return f"Wall time: {seconds:.1f} seconds\naborted by user"


async def _run(
    runner: Runner,
    patches: PatchCommands,
    tool: str,
    argv: list[str],
    call: Call,
    host: ToolHost,
    given: Shell | ShellCommand,
) -> Result | Output:
    cwd = working_directory(host.cwd, given.workdir)
    answer = await patches.take(tool, argv, cwd, call.id, host)
    if answer is not None:
        return answer
    use = bash(call.id, given.command if isinstance(given, ShellCommand) else quoting.join(argv))
    wanted = Wanted(
        argv=argv,
        cwd=cwd,
        permissions=given.sandbox_permissions,
        justification=given.justification,
        prefix_rule=given.prefix_rule,
        use=use,
    )
    item = runner.item(host, call.id, wanted)

    async def attempt(command: Command, around: Around) -> Result:
        return await run_shell(runner.warden, runner.nursery, item, command, timeout_ms=given.timeout_ms, around=around)

    try:
        result = await runner.run(host, item, wanted, attempt)
    except NotRun as error:
        return f"exec command {error}" if str(error).startswith(REJECTED) else str(error)
    item.complete(result.exit_code, result.output, result.seconds)
    call.report(use, result.shown())
    return result


USER_TIMEOUT = 3_600_000
"""The default timeout of a user's command in milliseconds."""


@frozen
class UsersCommand:
    """A script that the user runs; killed after `timeout_ms`."""

    script: str
    timeout_ms: int | None = None


async def run_users_command(runner: Runner, host: ToolHost, item_id: str, asked: UsersCommand) -> str:
    """Run a script of the user, without asking and unconfined; returns the message about it for the model.

    If cancelled, it kills the script.
    """
    wanted = Wanted(argv=shell_argv(asked.script), cwd=host.cwd)
    item = runner.item(host, item_id, wanted, source="userShell")
    timeout = USER_TIMEOUT if asked.timeout_ms is None else asked.timeout_ms
    try:
        result = await run_shell(
            runner.warden, runner.nursery, item, await runner.command(host, wanted), timeout_ms=timeout
        )
    except OSError as error:
        result = Result(-1, f"execution error: {error}", 0.0)
    item.complete(result.exit_code, result.output, result.seconds)
    return (
        f"<user_shell_command>\n<command>\n{asked.script}\n</command>\n<result>\nExit code: {result.exit_code}\n"
        f"Duration: {result.seconds:.4f} seconds\nOutput:\n{result.shown()}\n</result>\n</user_shell_command>"
    )
