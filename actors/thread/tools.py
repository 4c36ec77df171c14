"""The tools of a thread, and what of them outlives a call or a turn."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence, Set
from functools import partial
from typing import Any

from spindle.actors.settings.catalogue import ModelInfo, models
from spindle.actors.settings.settings import Settings
from spindle.actors.thread.agents.parent import ThreadAgents
from spindle.actors.thread.core import ThreadCore
from spindle.actors.thread.messages import EndTerminal, EndTerminals, ListTerminals
from spindle.actors.thread.servers import ThreadServers
from spindle.actors.tools.agents.tools import agent_tools
from spindle.actors.tools.approvals.permissions import RequestPermissions
from spindle.actors.tools.commands.environment import environment_policy
from spindle.actors.tools.commands.exec_tools import ExecCommandTool, WriteStdinTool
from spindle.actors.tools.commands.runner import Runner
from spindle.actors.tools.commands.sessions import LONGEST_POLL
from spindle.actors.tools.commands.shell_tools import ShellCommandTool, ShellTool
from spindle.actors.tools.images.view_image import ViewImage
from spindle.actors.tools.interface import Tool, ToolHost
from spindle.actors.tools.patch.on_path import programs
from spindle.actors.tools.patch.tool import ApplyPatch, PatchCommands
from spindle.actors.tools.patch.turn_patches import TurnPatches
from spindle.actors.tools.request_user_input import RequestUserInput
from spindle.actors.tools.sandbox.confinement import NOTHING, Confinement, Grants
from spindle.actors.tools.sandbox.profile import ProfileError
from spindle.actors.tools.update_plan import UpdatePlan
from spindle.actors.turn.toolbox import Offered, Toolbox
from spindle.rpc.protocol.settings import DangerFullAccessPolicy
from spindle.storage.config import Config

log = logging.getLogger("spindle")

_ACTING = (ExecCommandTool, WriteStdinTool, ShellTool, ShellCommandTool, ApplyPatch, ViewImage, RequestPermissions)
"""Tools that need an environment: they act on the machine, read its files, or ask for permission to."""


class ThreadTools:
    """What one thread can do on the machine and elsewhere."""

    def __init__(self, thread: ThreadCore, servers: ThreadServers, agents: ThreadAgents) -> None:
        self._thread = thread
        self._servers = servers
        self._agents = agents
        self._runner: Runner | None = None
        self._patches: TurnPatches | None = None

    def runner(self) -> Runner:
        """What runs the thread's commands, in the environment that the thread's configuration gives them."""
        services, config, runner = self._thread.services, self._thread.state.config, self._runner
        if runner is None:
            home, tasks = services.home.path, self._thread.tasks
            runner = Runner(
                services.warden, tasks, services.sandbox, services.rules, home, programs=partial(programs, home)
            )
            services.warden.hold()
            runner.environment = environment_policy(config.table("shell_environment_policy"), config.key_variables)
            self._runner = runner
        return runner

    @property
    def granted(self) -> Grants:
        """What the user has granted for the session."""
        return NOTHING if self._runner is None else self._runner.remembered.granted("")

    def toolbox(self, settings: Settings, info: ModelInfo) -> Toolbox:
        """The tools of a turn that begins now with `settings`, for the model `info`."""
        services, state = self._thread.services, self._thread.state
        config, runner = state.config, self.runner()
        runner.profile = settings.profile
        patches = self._patches = TurnPatches(runner.remembered, runner.confinement)
        grammar = info.patches == "freeform" or config.features("apply_patch_freeform", False)
        taker = PatchCommands(patches, grammar=grammar)
        offered, hidden = _shells(config, info, runner, taker, grammar)
        hidden.append(ApplyPatch(patches, custom=False))  # models that know it call it without an offer
        offered += self._servers.functions()
        offered += [UpdatePlan()] if config.offers_tool("update_plan") else []
        if config.offers_tool("experimental_request_user_input"):
            anywhere = config.features("default_mode_request_user_input", False)
            offered.append(RequestUserInput(in_default_mode=anywhere))
        if config.features("request_permissions_tool", False):
            offered.append(RequestPermissions(runner.remembered, runner.place(settings.cwd)))
        if grammar or info.patches == "function":
            offered.append(ApplyPatch(patches, custom=grammar))
        offered += web_search(config, unconfined=isinstance(settings.sandbox, DangerFullAccessPolicy))
        if config.offers_tool("view_image") and config.features("view_image", True):
            offered.append(ViewImage(runner.confinement))
        if self._agents.allowed:
            listed = services.model_lists.entries(settings.model_provider, config)
            reading = runner.confinement if settings.has_environment else _no_files
            offered += agent_tools(self._agents, models(config, listed), reading)
        offered += state.dynamic_tools
        offered = [*_without(offered, {tool.name for tool in state.functions}), *state.functions]
        if not settings.has_environment:
            offered, hidden = [tool for tool in offered if not isinstance(tool, _ACTING)], []
        return Toolbox(offered, hidden, self._servers, info.output)

    async def finish_turn(self, host: ToolHost) -> None:
        """The turn ends: emit the diff of all its patches."""
        patches, self._patches = self._patches, None
        if patches is not None:
            try:
                await patches.finish(host)
            except Exception:
                log.exception("the diff of a turn of thread %s could not be emitted", host.thread_id)

    async def let_go(self) -> None:
        """The thread has ended, and its commands with it: hold no process for them any more."""
        if self._runner is not None:
            await self._thread.services.warden.let_go()

    # -- commands that have outlived their calls

    def list_terminals(self, message: ListTerminals) -> None:
        """Answer with those that run, the longest unused first."""
        message.reply.resolve([] if self._runner is None else self._runner.sessions.terminals())

    def end_terminal(self, message: EndTerminal) -> None:
        """End one, and answer when it has ended. Other messages do not wait."""
        runner = self._runner

        async def end() -> bool:
            return runner is not None and await runner.sessions.terminate(message.process_id)

        self._thread.answer_later(message.reply, end)

    def end_terminals(self, message: EndTerminals) -> None:
        """End all, and answer when they have ended. Other messages do not wait."""
        runner = self._runner

        async def end() -> None:
            if runner is not None:
                await runner.sessions.clean()

        self._thread.answer_later(message.reply, end)


def _shells(
    config: Config, info: ModelInfo, runner: Runner, taker: PatchCommands, grammar: bool
) -> tuple[list[Offered], list[Tool]]:
    """(the tools that run commands, as `info` says which the model is offered; others that it may call without an offer)

    Where `features.shell_tool` is off there are none: a call to one runs nothing.
    """
    if not config.features("shell_tool", True):
        return [], []
    logins, poll = config.allow_login_shell, config.raw.get("background_terminal_max_timeout")
    shell = ShellTool(runner, taker, plain=grammar, limit=info.output)
    scripts = ShellCommandTool(runner, taker, logins=logins, limit=info.output)
    offered: list[Offered] = []
    if config.features("unified_exec", True) or info.shell == "unified_exec":
        longest = poll if isinstance(poll, int) else LONGEST_POLL
        offered = [ExecCommandTool(runner, taker, logins=logins), WriteStdinTool(runner, longest_poll=longest)]
    elif info.shell != "disabled":
        offered = [scripts if info.shell == "shell_command" else shell]
    return offered, [shell, scripts]


def _without(offered: Sequence[Offered], names: Set[str]) -> Sequence[Offered]:
    """The tools but for those of these names, which functions of the application replace."""
    return [tool for tool in offered if isinstance(tool, Mapping) or tool.namespace or tool.name not in names]


def _no_files(host: ToolHost) -> Confinement | None:
    raise ProfileError("the thread has no environment, so no file can be read")


def web_search(config: Config, *, unconfined: bool) -> Sequence[Mapping[str, Any]]:
    """The offer of the provider's web search: of cached pages, or of the live web.

    Where commands run without a sandbox and can reach the web anyway, the search is live, if the requirements allow it.
    `[tools.web_search]` says which pages, how much, and from where.
    """
    mode, allowed = config.web_search, config.requirements.web_search_modes
    if mode == "disabled":
        return []
    live = mode == "live" or (unconfined and (allowed is None or "live" in allowed))
    offer: dict[str, Any] = {"type": "web_search", "external_web_access": live}
    wanted = config.web_search_options
    if (domains := wanted.get("allowed_domains")) is not None:
        offer["filters"] = {"allowed_domains": domains}
    if (location := wanted.get("location")) is not None:
        where = {key: location[key] for key in ("country", "region", "city", "timezone") if key in location}
        offer["user_location"] = {"type": "approximate", **where}
    if (size := wanted.get("context_size")) is not None:
        offer["search_context_size"] = size
    return [offer]
