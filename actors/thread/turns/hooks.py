"""The hooks of a thread: those of its turns, and the `notify` program that is started when a turn has completed."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import orjson
import trio

from spindle.actors.settings.settings import Settings
from spindle.actors.tasks.boundary import start_apart
from spindle.actors.thread.core import ThreadCore
from spindle.actors.thread.loading.openings import FromRollout, NewThread
from spindle.actors.thread.tools import ThreadTools
from spindle.actors.tools.commands.environment import environment_policy, shell_argv
from spindle.actors.tools.hooks.notify import TurnDone
from spindle.storage.config.hooks import notify_program
from spindle.storage.rollout.history import StoredItem, is_user_message, stored

if TYPE_CHECKING:
    from spindle.actors.tools.hooks.runs import HookHost
    from spindle.actors.tools.hooks.turn_hooks import Beginning, TurnHooks

_IMAGE_MARK = re.compile(r"<image( name=[^>]*)?>|</image>")


def turn_hooks(
    thread: ThreadCore, tools: ThreadTools, host: HookHost, settings: Settings
) -> TurnHooks | None:
    """The hooks of a turn with these settings; None if none are configured. `host` is the turn's."""
    state = thread.state
    if not state.hooks.handlers:
        return None
    from spindle.actors.tools.hooks.program import Starter
    from spindle.actors.tools.hooks.turn_hooks import TurnHooks

    runner = tools.runner()
    path = state.conversation.path
    return TurnHooks(
        handlers=state.hooks.handlers,
        host=host,
        starter=Starter(
            runner.warden,
            thread.tasks,
            partial(shell_argv, login=False),
            lambda: runner.environment.without_keys(runner.inherited),
        ),
        transcript=None if path is None else str(path),
        model=settings.model,
        permission_mode="bypassPermissions" if settings.approval_policy == "never" else "default",
    )


def first_turn(thread: ThreadCore) -> Beginning | None:
    """How the thread was loaded; None after the first call."""
    if thread.state.begun:
        return None
    thread.state.begun = True
    match thread.opening:
        case FromRollout():
            return "resume"
        case NewThread(params=params) if params.session_start_source == "clear":
            return "clear"
        case _:
            return "startup"


async def start_notify(thread: ThreadCore, turn_id: str, cwd: str, last_message: str | None) -> None:
    """Start the `notify` program, if there is one. It may outlive the thread, but not the runtime."""
    services, state = thread.services, thread.state
    program = notify_program(state.config)
    if not program:
        return
    done = TurnDone(
        thread_id=thread.thread_id,
        turn_id=turn_id,
        cwd=cwd,
        client=state.client.originator,
        inputs=await trio.to_thread.run_sync(_user_texts, tuple(state.conversation.items)),
        last_message=last_message,
    )
    nursery = services.background or thread.tasks
    environment = environment_policy(state.config.table("shell_environment_policy"), state.config.key_variables)
    given = services.warden, program, environment.without_keys(os.environ), services.cwd, done
    start_apart(nursery, f"the notify program {program[0]}", services.notices.run, *given)


def _user_texts(history: Sequence[bytes]) -> list[str]:
    items = (stored(orjson.loads(raw)) for raw in history if b'"user"' in raw)
    return [_text(item) for item in items if item is not None and is_user_message(item)]


def _text(item: StoredItem) -> str:
    """The text of a message, without the tags around its images."""
    parts = orjson.loads(item.json)["content"]
    texts = [part.get("text", "") for part in parts]
    return "".join(text for text in texts if not _IMAGE_MARK.fullmatch(text))
