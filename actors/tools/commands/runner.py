"""Run a command: judge it, ask if needed, confine it, and retry it without the sandbox after a denial.

A `Runner` belongs to one thread, and its commands end with that. A tool says what to run and how to wait for it; the runner
decides whether it runs, and where.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import trio
from attrs import evolve

from spindle.actors.tools.approvals.remembered import Remembered
from spindle.actors.tools.approvals.requests import Declined, ask_command, command_review, permitted, reviewed
from spindle.actors.tools.commands.arguments import os_failure
from spindle.actors.tools.commands.decision import (
    RETRY,
    AskUser,
    Forbid,
    SandboxPermissions,
    asks,
    decide_input,
    retries,
)
from spindle.actors.tools.commands.environment import (
    EnvironmentPolicy,
    Programs,
    command_environment,
    with_programs,
)
from spindle.actors.tools.commands.execution import Around, confined, plain
from spindle.actors.tools.commands.items import CommandItem
from spindle.actors.tools.commands.judging import Judgement, judge, may_write
from spindle.actors.tools.commands.locating import Writable
from spindle.actors.tools.commands.process import Command, Warden
from spindle.actors.tools.commands.rule_book import RuleBook
from spindle.actors.tools.commands.rules import Rules
from spindle.actors.tools.commands.sessions import Session, Sessions
from spindle.actors.tools.interface import BackgroundTasks, ToolHost, ToolRefused, TurnCancelled, Use
from spindle.actors.tools.sandbox.confinement import Confinement, Place
from spindle.actors.tools.sandbox.denial import denied, names_denied
from spindle.actors.tools.sandbox.profile import ProfileError, of_settings
from spindle.actors.tools.sandbox.sandbox import Sandbox, SandboxUnavailable
from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.approvals import AcceptWithExecpolicyAmendment, ExecpolicyAmendment
from spindle.rpc.protocol.items import CommandExecutionSource
from spindle.rpc.protocol.settings import ExternalSandboxPolicy, PermissionProfile
from spindle.rpc.protocol.turns import WarningNotification
from spindle.storage.rollout import records

log = logging.getLogger("spindle")

REJECTED = "rejected by user"


class NotRun(Exception):
    """The command did not run or could not start; the text says why. Its item is completed."""


class AttemptResult(Protocol):
    """The result of an attempt."""

    @property
    def exit_code(self) -> int | None:
        """None while it still runs."""
        ...

    @property
    def output(self) -> str:
        """The output so far."""
        ...


E = TypeVar("E", bound=AttemptResult)
Attempt = Callable[[Command, Around], Awaitable[E]]


@frozen(kw_only=True)
class Wanted:
    """A command that the model asks for. `cwd` is absolute; `quiet`: an environment without colours and pagers.

    `use` is the command as hooks receive it.
    """

    argv: Sequence[str]
    cwd: str
    tty: bool = False
    quiet: bool = False
    permissions: SandboxPermissions = "use_default"
    justification: str | None = None
    prefix_rule: Sequence[str] | None = None
    use: Use | None = None


class Runner:
    """Runs the commands of one thread; `home` is the Codex home.

    `programs` returns our own programs for the PATH of commands; it blocks and may raise OSError.
    """

    def __init__(
        self,
        warden: Warden,
        nursery: BackgroundTasks,
        sandbox: Sandbox,
        rules: RuleBook,
        home: Path,
        *,
        remembered: Remembered | None = None,
        inherited: Mapping[str, str] | None = None,
        programs: Callable[[], Programs] | None = None,
    ) -> None:
        self.warden, self.nursery = warden, nursery
        self.sessions = Sessions(warden, nursery)
        self.remembered = Remembered() if remembered is None else remembered
        self.environment = EnvironmentPolicy()
        """The policy of the current turn."""
        self.profile: PermissionProfile | None = None
        """The profile of the current turn; if set, it replaces the turn's sandbox policy."""
        self._sandbox, self._rules, self._home = sandbox, rules, home
        self._inherited = inherited
        self._make_programs = programs
        self._programs: Programs | None = None

    @property
    def inherited(self) -> Mapping[str, str]:
        """The environment that commands inherit from."""
        return os.environ if self._inherited is None else self._inherited

    def place(self, cwd: str) -> Place:
        """The folders that a sandbox for `cwd` depends on."""
        return Place(cwd, str(self._home), self.inherited.get("TMPDIR"))

    def item(
        self,
        host: ToolHost,
        call_id: str,
        wanted: Wanted,
        *,
        source: CommandExecutionSource = "agent",
        process_id: str | None = None,
    ) -> CommandItem:
        """The item of a command."""
        item = CommandItem(host, call_id, wanted.argv, wanted.cwd, source=source, process_id=process_id)
        item.use = wanted.use
        return item

    async def run(self, host: ToolHost, item: CommandItem, wanted: Wanted, attempt: Attempt[E]) -> E:
        """Run the command with `attempt` if it may run, in its sandbox; the caller completes the item.

        Raises NotRun, with the item completed or declined; ToolRefused, without an item; TurnCancelled. If cancelled, the
        item is completed or declined.
        """
        try:
            return await self._run(host, item, wanted, attempt)
        except Declined as error:
            item.decline(str(error))
            raise NotRun(error.answer(REJECTED)) from None
        except (TurnCancelled, trio.Cancelled):
            item.decline()
            raise
        except OSError as error:
            reason = os_failure(error)
            item.complete(-1, reason, 0.0)
            raise NotRun(reason) from error

    async def command(self, host: ToolHost, wanted: Wanted) -> Command:
        """The command as it is started without a sandbox."""
        return self._finding_programs(await self._command(host, wanted))

    async def _command(self, host: ToolHost, wanted: Wanted) -> Command:
        """The command with its environment."""
        if make := self._make_programs:
            try:
                self._programs = await trio.to_thread.run_sync(make)
            except OSError as error:
                log.warning("thread %s: commands have no apply_patch on their PATH: %s", host.thread_id, error)
            self._make_programs = None
        outside = isinstance(host.sandbox, ExternalSandboxPolicy) and host.sandbox.network_access == "restricted"
        env = command_environment(
            self.environment,
            thread_id=host.thread_id,
            inherited=self.inherited,
            network=not outside,
            quiet=wanted.quiet,
            programs=self._programs,
        )
        return Command(argv=wanted.argv, cwd=wanted.cwd, env=env, tty=wanted.tty, thread_id=host.thread_id)

    def _finding_programs(self, command: Command) -> Command:
        if self._programs is None:
            return command
        return evolve(command, argv=with_programs(command.argv, command.env, self._programs))

    def _judge(self, host: ToolHost, wanted: Wanted, command: Command, rules: Rules) -> Judgement:
        """Blocks."""
        return judge(
            command,
            self._writable(host),
            approval=host.approval,
            sandbox=host.sandbox,
            rules=rules,
            permissions=wanted.permissions,
            justification=wanted.justification,
            prefix_rule=wanted.prefix_rule,
        )

    def _writable(self, host: ToolHost) -> Writable:
        try:
            return may_write(self.place(host.cwd), host.sandbox, self.confinement(host))
        except ProfileError:
            return lambda path: True

    async def _run(self, host: ToolHost, item: CommandItem, wanted: Wanted, attempt: Attempt[E]) -> E:
        rules = await self._rules.current()
        command = await self._command(host, wanted)
        judgement = await trio.to_thread.run_sync(self._judge, host, wanted, command, rules)
        verdict, command = judgement.verdict, self._finding_programs(judgement.command)
        if isinstance(verdict, Forbid):
            if not verdict.shown:
                raise ToolRefused(verdict.reason)
            item.decline(verdict.reason)
            raise NotRun(verdict.reason)
        if isinstance(verdict, AskUser):
            await self._ask(host, item, wanted, verdict, repeats=item.item.id)
            retry = AskUser(RETRY, verdict.amendment, False) if retries(host.approval) else None
        else:
            retry = verdict.on_denial
            if self.remembered.strict(host.turn_id):
                item.start(asked=True)
                await reviewed(host, lambda: command_review(item.item, None), strict=True)
        item.start()
        if not verdict.sandboxed:
            return await attempt(command, plain)
        try:
            confinement = await trio.to_thread.run_sync(self.confinement, host, abandon_on_cancel=True)
        except ProfileError as error:
            item.decline(str(error))
            raise NotRun(str(error)) from None
        if confinement is None:
            return await attempt(command, plain)
        await trio.to_thread.run_sync(check_exists, command)
        try:
            ended = await attempt(evolve(command, confinement=confinement), confined(self._sandbox, confinement))
        except SandboxUnavailable as error:
            if not asks(host.approval):
                item.decline(str(error))
                raise NotRun(str(error)) from None
            asked = AskUser(f"{error}; run it without a sandbox?", None, False)
            await self._ask(host, item, wanted, asked, repeats=item.item.id)
            return await attempt(command, plain)
        if retry is None or ended.exit_code is None or not denied(ended.exit_code, ended.output, confinement):
            return ended
        # an approved command reruns without asking, but only if the sandbox itself confirms the denial, not just the output
        agreed = isinstance(verdict, AskUser)
        if not (agreed and await trio.to_thread.run_sync(names_denied, ended.output, wanted.cwd, confinement)):
            await self._ask(host, item, wanted, retry)
        return await attempt(command, plain)

    async def permit_input(self, host: ToolHost, session: Session, chars: str, use: Use) -> None:
        """Return if `chars` may be written to the session, by the rules and the policy of the current turn.

        Raises NotRun with the reason, and TurnCancelled.
        """
        rules = await self._rules.current()
        try:
            now = await trio.to_thread.run_sync(self.confinement, host)
        except ProfileError as error:
            raise NotRun(str(error)) from None
        held = session.execution.command.confinement
        wider = now is not None and (held is None or held.exceeds(now))
        verdict = decide_input(session.line + chars, approval=host.approval, rules=rules, wider=wider)
        if isinstance(verdict, Forbid):
            raise NotRun(verdict.reason)
        if verdict is None:
            return
        about = chars if verdict.sandboxed else session.id  # the input that a rule matched, or any input
        wanted = Wanted(argv=[*session.item.argv, about], cwd=session.item.item.cwd, use=use)
        try:
            await self._ask(host, session.item, wanted, verdict)
        except Declined as error:
            raise NotRun(error.answer(REJECTED)) from None

    async def _ask(
        self, host: ToolHost, item: CommandItem, wanted: Wanted, ask: AskUser, repeats: str | None = None
    ) -> None:
        """Return if the command may run. `repeats` is that of `ToolHost.ask`. Raises Declined, TurnCancelled."""
        if await permitted(host, wanted.use and wanted.use.asking(wanted.justification)):
            return
        permissions = wanted.permissions if ask.sandboxed else "require_escalated"
        if self.remembered.allows_command(wanted.argv, wanted.cwd, permissions):
            return
        item.start(asked=True)
        decision = await ask_command(host, item.item, reason=ask.reason, amendment=ask.amendment, repeats=repeats)
        match decision:
            case "acceptForSession":
                self.remembered.allow_command(wanted.argv, wanted.cwd, permissions)
            case AcceptWithExecpolicyAmendment(ExecpolicyAmendment(words)) if words:
                try:
                    await self._rules.allow(words)
                except OSError as error:
                    text = f"the rule could not be saved, and holds for this command only: {error}"
                    host.emit(WarningNotification(host.thread_id, text))
                else:
                    host.record(records.response_item(_saved(words)))
            case _:
                pass

    def confinement(self, host: ToolHost) -> Confinement | None:
        """The confinement of the turn's commands and patches; None if there is none. Blocks. Raises ProfileError."""
        place, granted = self.place(host.cwd), self.remembered.granted(host.turn_id)
        if self._programs is not None:
            place = evolve(place, programs=self._programs.readable)
        return of_settings(host.sandbox, self.profile, place, granted)


def _saved(words: Sequence[str]) -> dict[str, Any]:
    """The message to the model about the new rule, in the words of later versions of Codex."""
    text = f"Approved command prefix saved:\n- {json.dumps(list(words), ensure_ascii=False)}"
    return {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": text}]}


def check_exists(command: Command) -> None:
    """Raise OSError for a missing program or directory, which the sandbox's program could not report. Blocks."""
    if not os.path.isdir(command.cwd):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), command.cwd)
    name = command.argv[0]
    found = (
        os.access(os.path.join(command.cwd, name), os.X_OK)
        if "/" in name
        else shutil.which(name, path=command.env.get("PATH"))
    )
    if not found:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
