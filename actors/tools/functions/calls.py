"""The calls of functions: an embedding application passes them to `start_thread`, and the model calls them.

An async function runs in the turn's task and is cancelled with it. Any other runs in a worker thread. A cancelled turn waits
for it, unless it has a timeout: then a task of the thread does. Anything a function raises, even SystemExit, is the answer to
the model. Clients see the calls as calls of dynamic tools.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, TypeAlias

import trio

from spindle.actors.tools.approvals.calls import approval_request, elicited, never_asks
from spindle.actors.tools.dynamic import check_dynamic_tools, failed, shown
from spindle.actors.tools.functions.context import ToolContext
from spindle.actors.tools.functions.conversion import Misfit
from spindle.actors.tools.functions.sets import named_apart
from spindle.actors.tools.functions.tool import FunctionTool
from spindle.actors.tools.interface import (
    APPLICATION,
    Call,
    Output,
    Refusal,
    Subject,
    ToolFailed,
    ToolHost,
    TurnCancelled,
    Use,
)
from spindle.actors.tools.progress import Progress
from spindle.rpc.large import LARGE, apart
from spindle.rpc.lazy_class import frozen
from spindle.rpc.lenient import mapping
from spindle.rpc.protocol.approvals import DynamicToolCallResponse
from spindle.rpc.protocol.items import ImageOutput, TextOutput
from spindle.rpc.protocol.settings import DynamicToolSpec
from spindle.rpc.weighing import weigh

Explain: TypeAlias = Callable[[BaseException, str], tuple[Exception, str]]
"""Logs an exception as a failure of the named code. Returns it and its text; re-raises a cancellation in it."""

_DECLINED = "the user declined the call"


@frozen
class Application:
    """What the functions of one application share. `limiter` bounds the worker threads of functions that are not async."""

    explain: Explain
    limiter: trio.CapacityLimiter
    deps: Any = None


class BoundTool:
    """A tool of a thread and its agents. Raises TypeError if its signature has no JSON schema, or does not fit `deps`."""

    kind: Literal["function"] = "function"
    namespace: str | None = None

    def __init__(self, tool: FunctionTool[..., Any], application: Application) -> None:
        self.name = tool.name
        self._tool, self._options, self._application = tool, tool.options, application
        self._signature = tool.signature
        _check_deps(tool, application.deps)
        _check_rule(tool)
        self._allowed = False  # by the user, for the session
        self._spec = DynamicToolSpec(self.name, tool.description, tool.signature.schema)
        self.offer: dict[str, Any] = {
            "type": "function",
            "name": self.name,
            "description": self._spec.description,
            "strict": False,
            "parameters": tool.signature.schema,
        }

    async def run(self, call: Call, host: ToolHost) -> Output:
        """Call the function. An exception fails the call, not the turn, unless `on_error` says so."""
        return await shown(self._spec, call, host, partial(self._answer, call, host))

    async def _answer(self, call: Call, host: ToolHost, given: object) -> DynamicToolCallResponse:
        try:
            arguments = await apart(len(call.payload), None, self._signature.read, given)
        except Misfit as error:
            return failed(f"the arguments do not fit: {error}")
        progress = Progress(host, call.id)

        async def emit(message: Any) -> None:
            if not isinstance(message, str):
                raise TypeError(f"the message of a progress must be a text, not {type(message).__name__}")
            progress.report(message)
            await host.room()

        context = ToolContext(host.thread_id, host.turn_id, call.id, self._application.deps, emit)
        try:
            if (refusal := await self._refusal(call, host, given, context, arguments)) is not None:
                return failed(refusal)
            named = arguments if self._signature.context is None else arguments | {self._signature.context: context}
            return await self._called(partial(self._tool.function, **named), host)
        except TurnCancelled:
            raise
        except BaseException as raised:  # a function may raise anything
            return self._failure(raised)
        finally:
            progress.finish()

    async def _called(self, work: Callable[[], Any], host: ToolHost) -> DynamicToolCallResponse:
        timeout = self._options.timeout
        with trio.CancelScope() as scope:
            if timeout is not None:
                scope.deadline = trio.current_time() + timeout
            if inspect.iscoroutinefunction(self._tool.function):
                result = await work()
            elif timeout is None:
                result = await trio.to_thread.run_sync(work, limiter=self._application.limiter)
            else:
                result = await self._beside(work, host)
            return DynamicToolCallResponse(await self._content(result), success=True)
        return failed(f"timed out after {timeout:g} s")

    async def _beside(self, work: Callable[[], Any], host: ToolHost) -> object:
        """Wait for `work` in a worker thread. If that is cancelled, a task of the thread waits for it instead."""
        ended, results, failures = trio.Event(), list[object](), list[BaseException]()

        async def wait() -> None:
            try:
                results.append(await trio.to_thread.run_sync(work, limiter=self._application.limiter))
            except trio.Cancelled:
                raise
            except BaseException as raised:  # a function may raise anything
                failures.append(raised)
            ended.set()

        host.tasks.start_soon(wait)
        await ended.wait()
        if failures:
            raise failures.pop()
        return results.pop()

    async def _content(self, result: Any) -> Sequence[TextOutput | ImageOutput]:
        parts: Sequence[Any] = result if type(result) in (list, tuple) else [result]
        if parts and all(isinstance(part, TextOutput | ImageOutput) for part in parts):
            return parts
        return [TextOutput(await apart(weigh(result, LARGE), None, self._signature.text, result))]

    async def _refusal(
        self, call: Call, host: ToolHost, given: object, context: ToolContext[Any], arguments: dict[str, Any]
    ) -> str | None:
        """Why the call is refused, after asking if needed; None if it may run. Raises TurnCancelled."""
        needed = self._options.needs_approval
        if callable(needed):
            answer = needed(context, **arguments)
            needed = await answer if inspect.isawaitable(answer) else answer
        if not needed or never_asks(host.approval, host.sandbox):
            return None
        if (decision := await host.permission(Use(id=call.id, tool=self.name, input=given))) is not None:
            return None if decision.allowed else decision.reason
        return None if self._allowed else await self._asked(call, host, given)

    async def _asked(self, call: Call, host: ToolHost, given: object) -> str | None:
        request = approval_request(
            host.thread_id,
            host.turn_id,
            APPLICATION,
            f"Allow the tool {self.name} to run?",
            given,
            ["session"],
            tool_name=self.name,
            tool_description=self._spec.description or None,
        )
        try:
            about = Subject(tool=self.name, arguments=given)
            answer = await elicited(host.ask(request, "waitingOnApproval", about, repeats=call.id))
        except Refusal as refusal:
            return refusal.add_to(_DECLINED)
        if answer is None or answer.action == "decline":
            return _DECLINED
        if answer.action == "cancel":
            raise TurnCancelled
        self._allowed = self._allowed or mapping(answer.meta).get("persist") == "session"
        return None

    def _failure(self, raised: BaseException) -> DynamicToolCallResponse:
        what = f"the function {self.name}"
        error, text = self._application.explain(raised, what)
        match self._options.on_error:
            case "message":
                return failed(text)
            case "type":
                return failed(text.partition(": ")[0])
            case "raise":
                raise ToolFailed(f"the tool {self.name} failed: {text}") from error
            case shown_as:
                try:
                    return failed(str(shown_as(error)))
                except Exception as another:
                    return failed(self._application.explain(another, f"`on_error` of {what}")[1])


def bound_tools(sources: Sequence[object], application: Application) -> list[BoundTool]:
    """The tools in `sources` (`sets.tools_of`) for a thread.

    Raises TypeError, also for two tools of one name, and RpcError for a name that a model cannot call.
    """
    tools = [BoundTool(tool, application) for tool in named_apart(sources)]
    check_dynamic_tools([DynamicToolSpec(tool.name, "", {}) for tool in tools])
    return tools


def _check_rule(tool: FunctionTool[..., Any]) -> None:
    rule, names = tool.options.needs_approval, tool.signature.names
    if isinstance(rule, bool):
        return
    try:
        inspect.signature(rule).bind(None, **dict.fromkeys(names))
    except ValueError:  # a function whose signature is not known
        return
    except TypeError as error:
        called = ", ".join(["context", *(f"{name}=…" for name in names)])
        raise TypeError(f"the tool {tool.name}: needs_approval is called as f({called}): {error}") from error


def _check_deps(tool: FunctionTool[..., Any], deps: object) -> None:
    wanted: Any = tool.signature.deps
    try:
        fit = wanted in (None, Any) or isinstance(deps, wanted)
    except TypeError:  # a type that cannot be checked, such as a Protocol
        return
    if not fit:
        name = getattr(wanted, "__qualname__", wanted)
        raise TypeError(f"the tool {tool.name} needs deps of the type {name}, not {type(deps).__name__}")
