"""The agent's questions as a program answers them: typed fields, and methods that settle a question at once.

There is one object for each question, however many streams and callbacks have it. Its methods do not wait. They do nothing if
the question is settled: answered here or by another client, or withdrawn because its turn has ended.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypeAlias

import trio

from spindle.actors.delivery import questions as delivery
from spindle.actors.embedding.answers import UserAnswer, form_content, part_of, user_answers
from spindle.actors.embedding.failures import InvalidOption
from spindle.actors.tools.commands import quoting
from spindle.actors.tools.commands.script import shell_script
from spindle.actors.tools.interface import APPLICATION, Refusal, Subject
from spindle.rpc.lenient import mapping, sequence
from spindle.rpc.protocol.approvals import (
    AcceptWithExecpolicyAmendment,
    ApplyNetworkPolicyAmendment,
    CommandExecutionApprovalDecision,
    CommandExecutionRequestApprovalParams,
    CommandExecutionRequestApprovalResponse,
    DynamicToolCallParams,
    DynamicToolCallResponse,
    ExecpolicyAmendment,
    FileChangeApprovalDecision,
    FileChangeRequestApprovalParams,
    FileChangeRequestApprovalResponse,
    NetworkAmendment,
    NetworkPolicyAmendment,
    PermissionGrantScope,
    PermissionsRequestApprovalParams,
    PermissionsRequestApprovalResponse,
    ToolRequestUserInputAnswer,
    ToolRequestUserInputParams,
    ToolRequestUserInputQuestion,
    ToolRequestUserInputResponse,
)
from spindle.rpc.protocol.converter import unstructure
from spindle.rpc.protocol.items import DynamicToolCallOutputContentItem, FileUpdateChange, TextOutput
from spindle.rpc.protocol.mcp import (
    McpFormElicitationParams,
    McpServerElicitationRequestResponse,
    McpUrlElicitationParams,
)
from spindle.rpc.protocol.shapes import JsonObject

_SHOWN = 200
"""Characters of an argument in the text of a question."""


class Asked:
    """What an application is asked, by the agent or by one of its agents."""

    def __init__(self, asked: delivery.Question) -> None:
        self._asked = asked
        self._callbacks: dict[int, trio.Lock] = {}  # by the id of each callback that is to answer it
        params = asked.params
        self.thread_id: str = params.thread_id
        """The thread that asks. It may be an agent's, and not the one that is subscribed."""
        self.turn_id: str | None = params.turn_id
        """The turn that waits. None for the question of an MCP server outside of any turn."""
        self.item_id: str | None = getattr(params, "item_id", None)
        """The item that waits, which was announced before. None for an elicitation."""

    @property
    def id(self) -> int:
        """The `request_id` that `ServerRequestResolvedNotification` has when the question is settled."""
        return self._asked.id

    @property
    def settled(self) -> bool:
        """Whether it is answered or withdrawn."""
        return self._asked.settled

    async def wait_settled(self) -> None:
        """Wait until it is answered or withdrawn."""
        await self._asked.over()

    def only_one(self, callback: object) -> trio.Lock:
        """Held while the callback answers, so that of the handles that have it, one after the other calls it."""
        return self._callbacks.setdefault(id(callback), trio.Lock())

    def to_json(self) -> dict[str, Any]:
        """The request as it is on the wire: `id`, `method` and `params`."""
        return {"id": self.id, "method": self._asked.method, "params": unstructure(self._asked.params)}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self}>"

    def _answer(self, response: object) -> None:
        self._asked.answer(unstructure(response))


class _Declinable(Asked):
    """A question, which can be declined."""

    reason: str | None
    """Why it is asked, in the words of the model or of the server."""

    def __init__(self, asked: delivery.Question) -> None:
        super().__init__(asked)
        self.reason = getattr(asked.params, "reason", None)

    def decline(self, reason: str = "") -> None:
        """Decline it. The turn goes on. The model is told that it was declined, and why if there is a `reason`."""
        if reason:
            self._asked.refuse(Refusal(reason))
        else:
            self._answer(self._declined())

    def cancel(self) -> None:
        """Decline it and interrupt the turn."""
        self._asked.refuse(Refusal(cancels=True))

    def _declined(self) -> object:
        """The response that declines."""
        raise NotImplementedError


class CommandApproval(_Declinable):
    """May this command run?"""

    METHOD: ClassVar[str] = CommandExecutionRequestApprovalParams.METHOD

    def __init__(self, asked: delivery.Question) -> None:
        super().__init__(asked)
        params: CommandExecutionRequestApprovalParams = asked.params
        self.command: str = params.command or ""
        """The whole command line."""
        self.script: str | None = _script(self.command)
        """The script, if the command is a shell of the system that runs one: what the model has written, as `make test`."""
        self.cwd: str = params.cwd or ""
        """Where it runs."""
        self.rule: Sequence[str] | None = params.proposed_execpolicy_amendment
        """The first words of the commands that `accept_always` allows, if such a rule is proposed."""
        self.network_rules: Sequence[NetworkPolicyAmendment] = params.proposed_network_policy_amendments or ()
        """The rules for a host that `apply_network_rule` can apply."""

    def accept(self) -> None:
        """Run it, this once."""
        self._decide("accept")

    def accept_for_session(self) -> None:
        """Run it, and do not ask about exactly this command again while the thread is loaded."""
        self._decide("acceptForSession")

    def accept_always(self) -> None:
        """Run it, and save the proposed `rule` in the home's `rules/`. Without a rule, as `accept_for_session`."""
        if self.rule:
            self._decide(AcceptWithExecpolicyAmendment(ExecpolicyAmendment(self.rule)))
        else:
            self.accept_for_session()

    def apply_network_rule(self, rule: NetworkPolicyAmendment) -> None:
        """Allow or deny a host from now on. Raises InvalidOption unless it is one of `network_rules`."""
        if rule not in self.network_rules:
            raise InvalidOption("rule", f"must be one of {list(self.network_rules)}")
        self._decide(ApplyNetworkPolicyAmendment(NetworkAmendment(rule)))

    def _decide(self, decision: CommandExecutionApprovalDecision) -> None:
        self._answer(CommandExecutionRequestApprovalResponse(decision))

    def _declined(self) -> object:
        return CommandExecutionRequestApprovalResponse("decline")

    def __str__(self) -> str:
        return f"to run the command `{self.script or self.command}`{_because(self.reason)}"


class FileApproval(_Declinable):
    """May these files be changed?"""

    METHOD: ClassVar[str] = FileChangeRequestApprovalParams.METHOD

    def __init__(self, asked: delivery.Question) -> None:
        super().__init__(asked)
        params: FileChangeRequestApprovalParams = asked.params
        self.changes: Sequence[FileUpdateChange] = _subject(asked).changes
        """The changes of the patch, with their diffs."""
        self.grant_root: str | None = params.grant_root
        """The folder that may be written to from then on, if one is asked for."""

    @property
    def files(self) -> Sequence[str]:
        """The paths of the files that are changed, added or deleted."""
        return [change.path for change in self.changes]

    def accept(self) -> None:
        """Apply the patch."""
        self._decide("accept")

    def accept_for_session(self) -> None:
        """Apply the patch, and do not ask about these files again while the thread is loaded."""
        self._decide("acceptForSession")

    def _decide(self, decision: FileChangeApprovalDecision) -> None:
        self._answer(FileChangeRequestApprovalResponse(decision))

    def _declined(self) -> object:
        return FileChangeRequestApprovalResponse("decline")

    def __str__(self) -> str:
        return f"to change {', '.join(self.files) or self.grant_root or 'files'}{_because(self.reason)}"


class PermissionRequest(_Declinable):
    """May the commands that follow have these permissions beyond the sandbox?"""

    METHOD: ClassVar[str] = PermissionsRequestApprovalParams.METHOD

    def __init__(self, asked: delivery.Question) -> None:
        super().__init__(asked)
        params: PermissionsRequestApprovalParams = asked.params
        self.permissions: JsonObject = params.permissions
        """The permissions as on the wire: `{"network": {"enabled": true}, "fileSystem": {"read": […], "write": […]}}`."""
        self.cwd: str = params.cwd
        """The working directory of the turn."""

    def accept(self, permissions: JsonObject | None = None) -> None:
        """Grant `permissions`, by default all, for this turn.

        Raises InvalidOption if they are not a part of what was asked for.
        """
        self._grant(permissions, "turn")

    def accept_for_session(self, permissions: JsonObject | None = None) -> None:
        """As `accept`, while the thread is loaded."""
        self._grant(permissions, "session")

    def _grant(self, permissions: JsonObject | None, scope: PermissionGrantScope) -> None:
        granted = part_of(self.permissions, self.permissions if permissions is None else permissions)
        self._answer(PermissionsRequestApprovalResponse(granted, scope))

    def _declined(self) -> object:
        return PermissionsRequestApprovalResponse({})

    def __str__(self) -> str:
        files: Any = self.permissions.get("fileSystem") or {}
        wanted = [f"to {access} {', '.join(files[access])}" for access in ("read", "write") if files.get(access)]
        wanted += ["to reach the network"] * bool(mapping(self.permissions.get("network")).get("enabled"))
        return f"permission {' and '.join(wanted)}{_because(self.reason)}"


class UserQuestion(_Declinable):
    """The agent asks the user one to three questions, each with an id, options, and whether the answer is secret."""

    METHOD: ClassVar[str] = ToolRequestUserInputParams.METHOD

    def __init__(self, asked: delivery.Question) -> None:
        super().__init__(asked)
        params: ToolRequestUserInputParams = asked.params
        self.questions: Sequence[ToolRequestUserInputQuestion] = params.questions
        """The questions."""

    def accept(self, answers: Mapping[str, UserAnswer] | Sequence[UserAnswer]) -> None:
        """Answer by the ids of the questions, or in their order; a text alone answers a single question.

        An answer is a text, or several options. Questions may be left out. Raises InvalidOption for an id that no question
        has, and for an answer that is no option where a question takes no other.
        """
        given = user_answers(self.questions, answers)
        self._answer(ToolRequestUserInputResponse({id: ToolRequestUserInputAnswer(each) for id, each in given.items()}))

    def _declined(self) -> object:
        return ToolRequestUserInputResponse({})

    def __str__(self) -> str:
        return f"what to answer to {'; '.join(question.question for question in self.questions)}"


class Elicitation(_Declinable):
    """An MCP server asks the user to fill in a form or to visit a page, or a tool's call needs approval.

    If a call needs approval, `tool` is the name of the tool, and `decline(reason)` reaches the model. A server gets no reason.
    """

    METHOD: ClassVar[str] = McpFormElicitationParams.METHOD

    def __init__(self, asked: delivery.Question) -> None:
        super().__init__(asked)
        params: McpFormElicitationParams | McpUrlElicitationParams = asked.params
        subject = _subject(asked)
        self.server: str = params.server_name
        """The name of the MCP server; of a program's own tools, that of their set."""
        self.message: str = params.message
        """What is asked, as text for the user."""
        self.schema: JsonObject | None = None
        """The JSON schema of the form's values; None if there is no form."""
        self.url: str | None = None
        """The page to visit; None if there is none."""
        if isinstance(params, McpUrlElicitationParams):
            self.url = params.url
        elif subject.tool is None:
            self.schema = params.requested_schema
        self.tool: str | None = subject.tool
        """The tool, if a call of it needs approval."""
        self.arguments: object = subject.arguments
        """The arguments of the call."""
        self._persist: Any = mapping(params.meta).get("persist")

    def accept(self, content: Mapping[str, Any] | None = None) -> None:
        """Answer with the form's values, say that the page will be visited, or let the call go on, this once.

        Raises InvalidOption unless `content` has what `schema` requires.
        """
        self._accept(content, None)

    def accept_for_session(self) -> None:
        """As `accept`, and do not ask about this tool again while the thread is loaded, if it can be remembered."""
        self._accept(None, "session")

    def accept_always(self) -> None:
        """As `accept_for_session`, and allow the tool in config.toml, if that is offered."""
        self._accept(None, "always" if self._offers("always") else "session")

    def _accept(self, content: Mapping[str, Any] | None, persist: str | None) -> None:
        values = None
        if self.schema is not None:
            values = form_content(self.schema, content)
        elif content:
            raise InvalidOption("content", "there is no form")
        meta = {"persist": persist} if persist is not None and self._offers(persist) else None
        self._answer(McpServerElicitationRequestResponse("accept", values, meta))

    def _offers(self, persist: str) -> bool:
        return persist == self._persist or persist in sequence(self._persist)

    def _declined(self) -> object:
        return McpServerElicitationRequestResponse("decline")

    def __str__(self) -> str:
        if self.tool is not None:
            called = ", ".join(f"{name}={_short(value)}" for name, value in mapping(self.arguments).items())
            of = "" if self.server == APPLICATION else f" of {self.server}"
            return f"to call the tool `{self.tool}({called})`{of}"
        if self.url is not None:
            return f"to visit {self.url} for the MCP server {self.server}: {self.message}"
        return f"what to answer the MCP server {self.server}: {self.message}"


class DynamicToolCall(Asked):
    """The model calls one of the `dynamic_tools`. The application carries it out, or another client of the thread does."""

    METHOD: ClassVar[str] = DynamicToolCallParams.METHOD

    def __init__(self, asked: delivery.Question) -> None:
        super().__init__(asked)
        params: DynamicToolCallParams = asked.params
        self.call_id: str = params.call_id
        """The call's id."""
        self.namespace: str | None = params.namespace
        """The namespace of the tool, if it has one."""
        self.tool: str = params.tool
        """The tool's name."""
        self.arguments: object = params.arguments
        """The arguments, as JSON values."""

    def answer(self, content: str | Sequence[DynamicToolCallOutputContentItem]) -> None:
        """Give the model a result: a text, or texts and images."""
        items = [TextOutput(content)] if isinstance(content, str) else content
        self._answer(DynamicToolCallResponse(items, success=True))

    def fail(self, reason: str) -> None:
        """Tell the model that the call has failed, and why."""
        self._answer(DynamicToolCallResponse([TextOutput(reason)], success=False))

    def __str__(self) -> str:
        return f"to call the client's tool `{self.tool}`"


Question: TypeAlias = CommandApproval | FileApproval | PermissionRequest | UserQuestion | Elicitation
"""What an agent may ask."""

_KINDS: Mapping[type, type[Question | DynamicToolCall]] = {
    CommandExecutionRequestApprovalParams: CommandApproval,
    FileChangeRequestApprovalParams: FileApproval,
    PermissionsRequestApprovalParams: PermissionRequest,
    ToolRequestUserInputParams: UserQuestion,
    McpFormElicitationParams: Elicitation,
    McpUrlElicitationParams: Elicitation,
    DynamicToolCallParams: DynamicToolCall,
}


def shown(asked: delivery.Question) -> Question | DynamicToolCall:
    """The one object that programs have for it."""
    if asked.shown is None:
        asked.shown = _KINDS[type(asked.params)](asked)
    view: Question | DynamicToolCall = asked.shown
    return view


def _script(command: str) -> str | None:
    """A shell elsewhere may be a program of the model's own, so its script says nothing."""
    words = quoting.split(command) or ()
    return shell_script(words) if words and os.path.dirname(words[0]) in ("/bin", "/usr/bin") else None


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _subject(asked: delivery.Question) -> Subject:
    return asked.about if isinstance(asked.about, Subject) else Subject()


def _because(reason: str | None) -> str:
    return f" ({reason})" if reason else ""
