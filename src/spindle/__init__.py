"""Spindle hosts agent threads on trio and speaks the Codex app-server protocol. Each thread is an actor.

    async with spindle.open_runtime() as runtime:
        async with runtime.start_thread(cwd=".") as thread:
            result = await thread.run("Explain this repository")

Runtimes and threads
    `open_runtime` -> `Runtime`; `start_thread`, `resume_thread`, `fork_thread` -> `ThreadHandle`; `ThreadList`, `ThreadPage`.
Turns
    `ThreadHandle.run`, `.turn` and `.start_turn` -> `Turn`, `TurnResult`, `Usage`.
Events
    `Event`, the union of what streams yield. `spindle.events` has each class of it, `spindle.items` each class of `Item`.
Questions
    `Question` = `CommandApproval` | `FileApproval` | `PermissionRequest` | `UserQuestion` | `Elicitation`. `OnQuestion` answers
    them. `DynamicToolCall` is a call of a tool that the application described itself.
Tools
    `tool`, `tools_of`, `FunctionTool`, `ToolContext`.
Models
    `Model`, `ResponsesModel` with a `Provider`, `OfflineModel` with `ScriptedAnswer`; `ModelError`.
Watching
    `Instrument`; `spindle.otel` has one for OpenTelemetry.
Errors
    Each is an `Error`: `TurnFailed` (of a provider: `ProviderError`), `TurnInterrupted`, `ThreadNotFound`, `ThreadClosed`,
    `SubscriberLagged`, `ApprovalRequired`, `InvalidOption`, `OutputInvalid`, `ConfigError`, `HomeError`, `ModelError`,
    `RpcError`.

A public name is imported at its first use, so that `import spindle` stays cheap.
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False  # typing takes longer to import than all of this
if TYPE_CHECKING:
    __version__: str

    import spindle.events as events
    import spindle.items as items
    from spindle.actors.embedding.asking import ApprovalRequired as ApprovalRequired
    from spindle.actors.embedding.asking import OnQuestion as OnQuestion
    from spindle.actors.embedding.events import Event as Event
    from spindle.actors.embedding.failures import InvalidOption as InvalidOption
    from spindle.actors.embedding.failures import OutputInvalid as OutputInvalid
    from spindle.actors.embedding.failures import ProviderError as ProviderError
    from spindle.actors.embedding.failures import SubscriberLagged as SubscriberLagged
    from spindle.actors.embedding.failures import ThreadClosed as ThreadClosed
    from spindle.actors.embedding.failures import TurnFailed as TurnFailed
    from spindle.actors.embedding.failures import TurnInterrupted as TurnInterrupted
    from spindle.actors.embedding.listing import ThreadList as ThreadList
    from spindle.actors.embedding.listing import ThreadPage as ThreadPage
    from spindle.actors.embedding.questions import CommandApproval as CommandApproval
    from spindle.actors.embedding.questions import DynamicToolCall as DynamicToolCall
    from spindle.actors.embedding.questions import Elicitation as Elicitation
    from spindle.actors.embedding.questions import FileApproval as FileApproval
    from spindle.actors.embedding.questions import PermissionRequest as PermissionRequest
    from spindle.actors.embedding.questions import Question as Question
    from spindle.actors.embedding.questions import UserQuestion as UserQuestion
    from spindle.actors.embedding.results import TurnResult as TurnResult
    from spindle.actors.embedding.runtime import Runtime as Runtime
    from spindle.actors.embedding.runtime import fork_thread as fork_thread
    from spindle.actors.embedding.runtime import open_runtime as open_runtime
    from spindle.actors.embedding.runtime import resume_thread as resume_thread
    from spindle.actors.embedding.runtime import start_thread as start_thread
    from spindle.actors.embedding.threads import ThreadHandle as ThreadHandle
    from spindle.actors.embedding.turns import Turn as Turn
    from spindle.actors.services.instruments import Instrument as Instrument
    from spindle.actors.tools.functions.context import ToolContext as ToolContext
    from spindle.actors.tools.functions.sets import tools_of as tools_of
    from spindle.actors.tools.functions.tool import FunctionTool as FunctionTool
    from spindle.actors.tools.functions.tool import tool as tool
    from spindle.rpc.model.interface import Model as Model
    from spindle.rpc.model.interface import ModelError as ModelError
    from spindle.rpc.model.interface import Usage as Usage
    from spindle.rpc.model.offline import OfflineModel as OfflineModel
    from spindle.rpc.model.offline import ScriptedAnswer as ScriptedAnswer
    from spindle.rpc.model.provider import Provider as Provider
    from spindle.rpc.model.responses import ResponsesModel as ResponsesModel
    from spindle.rpc.protocol.errors import Error as Error
    from spindle.rpc.protocol.errors import RpcError as RpcError
    from spindle.rpc.protocol.errors import ThreadNotFound as ThreadNotFound
    from spindle.rpc.protocol.turns import AgentMessageDeltaNotification as AgentMessageDeltaNotification
    from spindle.rpc.protocol.turns import ItemCompletedNotification as ItemCompletedNotification
    from spindle.rpc.protocol.turns import ItemStartedNotification as ItemStartedNotification
    from spindle.rpc.protocol.turns import TurnCompletedNotification as TurnCompletedNotification
    from spindle.rpc.protocol.turns import TurnStartedNotification as TurnStartedNotification
    from spindle.storage.config import ConfigError as ConfigError
    from spindle.storage.home_path import HomeError as HomeError

_NAMES = {
    "ApprovalRequired": "spindle.actors.embedding.asking",
    "OnQuestion": "spindle.actors.embedding.asking",
    "Event": "spindle.actors.embedding.events",
    "InvalidOption": "spindle.actors.embedding.failures",
    "OutputInvalid": "spindle.actors.embedding.failures",
    "ProviderError": "spindle.actors.embedding.failures",
    "SubscriberLagged": "spindle.actors.embedding.failures",
    "ThreadClosed": "spindle.actors.embedding.failures",
    "TurnFailed": "spindle.actors.embedding.failures",
    "TurnInterrupted": "spindle.actors.embedding.failures",
    "ThreadList": "spindle.actors.embedding.listing",
    "ThreadPage": "spindle.actors.embedding.listing",
    "CommandApproval": "spindle.actors.embedding.questions",
    "DynamicToolCall": "spindle.actors.embedding.questions",
    "Elicitation": "spindle.actors.embedding.questions",
    "FileApproval": "spindle.actors.embedding.questions",
    "PermissionRequest": "spindle.actors.embedding.questions",
    "Question": "spindle.actors.embedding.questions",
    "UserQuestion": "spindle.actors.embedding.questions",
    "TurnResult": "spindle.actors.embedding.results",
    "Runtime": "spindle.actors.embedding.runtime",
    "fork_thread": "spindle.actors.embedding.runtime",
    "open_runtime": "spindle.actors.embedding.runtime",
    "resume_thread": "spindle.actors.embedding.runtime",
    "start_thread": "spindle.actors.embedding.runtime",
    "ThreadHandle": "spindle.actors.embedding.threads",
    "Turn": "spindle.actors.embedding.turns",
    "Instrument": "spindle.actors.services.instruments",
    "ToolContext": "spindle.actors.tools.functions.context",
    "tools_of": "spindle.actors.tools.functions.sets",
    "FunctionTool": "spindle.actors.tools.functions.tool",
    "tool": "spindle.actors.tools.functions.tool",
    "Model": "spindle.rpc.model.interface",
    "ModelError": "spindle.rpc.model.interface",
    "Usage": "spindle.rpc.model.interface",
    "OfflineModel": "spindle.rpc.model.offline",
    "ScriptedAnswer": "spindle.rpc.model.offline",
    "Provider": "spindle.rpc.model.provider",
    "ResponsesModel": "spindle.rpc.model.responses",
    "Error": "spindle.rpc.protocol.errors",
    "RpcError": "spindle.rpc.protocol.errors",
    "ThreadNotFound": "spindle.rpc.protocol.errors",
    "AgentMessageDeltaNotification": "spindle.rpc.protocol.turns",
    "ItemCompletedNotification": "spindle.rpc.protocol.turns",
    "ItemStartedNotification": "spindle.rpc.protocol.turns",
    "TurnCompletedNotification": "spindle.rpc.protocol.turns",
    "TurnStartedNotification": "spindle.rpc.protocol.turns",
    "ConfigError": "spindle.storage.config",
    "HomeError": "spindle.storage.home_path",
}

__all__ = [
    "AgentMessageDeltaNotification",
    "ApprovalRequired",
    "CommandApproval",
    "ConfigError",
    "DynamicToolCall",
    "Elicitation",
    "Error",
    "Event",
    "FileApproval",
    "FunctionTool",
    "HomeError",
    "Instrument",
    "InvalidOption",
    "ItemCompletedNotification",
    "ItemStartedNotification",
    "Model",
    "ModelError",
    "OfflineModel",
    "OutputInvalid",
    "OnQuestion",
    "PermissionRequest",
    "Provider",
    "ProviderError",
    "Question",
    "ResponsesModel",
    "RpcError",
    "Runtime",
    "ScriptedAnswer",
    "SubscriberLagged",
    "ThreadClosed",
    "ThreadHandle",
    "ThreadList",
    "ThreadNotFound",
    "ThreadPage",
    "ToolContext",
    "Turn",
    "TurnCompletedNotification",
    "TurnFailed",
    "TurnInterrupted",
    "TurnResult",
    "TurnStartedNotification",
    "Usage",
    "UserQuestion",
    "fork_thread",
    "open_runtime",
    "resume_thread",
    "start_thread",
    "tool",
    "tools_of",
    "events",
    "items",
]


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        return version("spindle")  # `version` of pyproject.toml, as it was when Spindle was installed
    if name in ("events", "items"):
        return import_module(f"spindle.{name}")
    try:
        module = _NAMES[name]
    except KeyError:
        raise AttributeError(f"module 'spindle' has no attribute {name!r}") from None
    return getattr(import_module(module), name)


def __dir__() -> list[str]:
    return [*__all__, *(name for name in globals() if name.startswith("__"))]
