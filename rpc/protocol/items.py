"""Items: the events of a turn as clients see them, and the parts of a user's input.

Each item class has its `type` as a fixed attribute, first on the wire.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, TypeAlias

from attrs import field

from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.settings import ReasoningEffort
from spindle.rpc.protocol.shapes import I32, U32, Tagged, Untagged
from spindle.rpc.protocol.user_input import ImageDetail, UserInput
from spindle.rpc.protocol.wire import Item

MessagePhase: TypeAlias = Literal["commentary", "final_answer"]
CommandExecutionSource: TypeAlias = Literal["agent", "userShell", "unifiedExecStartup", "unifiedExecInteraction"]
CommandExecutionStatus: TypeAlias = Literal["inProgress", "completed", "failed", "declined"]
PatchApplyStatus: TypeAlias = Literal["inProgress", "completed", "failed", "declined"]
McpToolCallStatus: TypeAlias = Literal["inProgress", "completed", "failed"]
DynamicToolCallStatus: TypeAlias = Literal["inProgress", "completed", "failed"]
CollabAgentTool: TypeAlias = Literal[
    "spawnAgent",
    "sendInput",
    "resumeAgent",
    "wait",
    "closeAgent",
    # used in rollouts of 0.169
    "sendMessage",
    "followupTask",
    "interruptAgent",
    "listAgents",
]
CollabAgentToolCallStatus: TypeAlias = Literal["inProgress", "completed", "failed", "interrupted"]
CollabAgentStatus: TypeAlias = Literal[
    "pendingInit", "running", "interrupted", "completed", "errored", "shutdown", "notFound"
]


@frozen
class UserMessageItem(Item):
    """What the user said. `client_id` is the id under which the client sent it, if it gave one (from 0.169)."""

    type: Literal["userMessage"] = field(default="userMessage", init=False)
    id: str
    client_id: str | None = field(default=None, kw_only=True, metadata={"omit_none": True})
    content: Sequence[UserInput]


@frozen
class HookPromptFragment:
    """One piece of text that a hook added."""

    text: str
    hook_run_id: str


@frozen
class HookPromptItem(Item):
    """Text that hooks added to the model's history."""

    type: Literal["hookPrompt"] = field(default="hookPrompt", init=False)
    id: str
    fragments: Sequence[HookPromptFragment]


@frozen
class MemoryCitationEntry:
    """Lines of a memory file, counted from 1."""

    path: str
    line_start: U32
    line_end: U32
    note: str


@frozen
class MemoryCitation:
    """The memories that an answer used."""

    entries: Sequence[MemoryCitationEntry]
    thread_ids: Sequence[str]


@frozen
class AgentMessageItem(Item):
    """What the agent said."""

    type: Literal["agentMessage"] = field(default="agentMessage", init=False)
    id: str
    text: str
    phase: MessagePhase | None = None
    memory_citation: MemoryCitation | None = None


@frozen
class PlanItem(Item):
    """A plan the agent proposes, in Markdown."""

    type: Literal["plan"] = field(default="plan", init=False)
    id: str
    text: str


@frozen
class ReasoningItem(Item):
    """The model's reasoning: the parts of its summary, and of the raw reasoning if the provider sends it."""

    type: Literal["reasoning"] = field(default="reasoning", init=False)
    id: str
    summary: Sequence[str] = ()
    content: Sequence[str] = ()


@frozen
class ReadAction:
    """A command that reads the file `path`."""

    type: Literal["read"] = field(default="read", init=False)
    command: str
    name: str
    path: str


@frozen
class ListFilesAction:
    """A command that lists a directory."""

    type: Literal["listFiles"] = field(default="listFiles", init=False)
    command: str
    path: str | None = None


@frozen
class SearchAction:
    """A command that searches files."""

    type: Literal["search"] = field(default="search", init=False)
    command: str
    query: str | None = None
    path: str | None = None


@frozen
class UnknownAction:
    """Any other command."""

    type: Literal["unknown"] = field(default="unknown", init=False)
    command: str


CommandAction: TypeAlias = Annotated[
    ReadAction | ListFilesAction | SearchAction | UnknownAction, Tagged("CommandAction")
]


@frozen
class CommandExecutionItem(Item):
    """A command; `command` is quoted for a shell. Output and exit code are None until it ends."""

    type: Literal["commandExecution"] = field(default="commandExecution", init=False)
    id: str
    command: str
    cwd: str
    process_id: str | None = None
    source: CommandExecutionSource = "agent"
    status: CommandExecutionStatus = "inProgress"
    command_actions: Sequence[CommandAction] = ()
    aggregated_output: str | None = None
    exit_code: I32 | None = None
    duration_ms: int | None = None


@frozen
class AddChange:
    """The file was added; the diff is its content."""

    type: Literal["add"] = field(default="add", init=False)


@frozen
class DeleteChange:
    """The file was deleted; the diff is its old content."""

    type: Literal["delete"] = field(default="delete", init=False)


@frozen
class UpdateChange:
    """The file changed; the diff is unified. `move_path` is the new path of a moved file; snake case on the wire."""

    type: Literal["update"] = field(default="update", init=False)
    move_path: str | None = field(default=None, metadata={"wire": "move_path"})


PatchChangeKind: TypeAlias = Annotated[AddChange | DeleteChange | UpdateChange, Tagged("PatchChangeKind")]


@frozen
class FileUpdateChange:
    """One file's part of a patch."""

    path: str
    kind: PatchChangeKind
    diff: str


@frozen
class FileChangeItem(Item):
    """A patch, with one change per file."""

    type: Literal["fileChange"] = field(default="fileChange", init=False)
    id: str
    changes: Sequence[FileUpdateChange]
    status: PatchApplyStatus


@frozen
class McpToolCallResult:
    """The result of an MCP tool, in the form of MCP."""

    content: Sequence[object]
    structured_content: object = None
    meta: object = field(default=None, metadata={"wire": "_meta"})


@frozen
class McpToolCallError:
    """The error of a call of an MCP tool."""

    message: str


@frozen
class McpToolCallItem(Item):
    """A call of a tool of an MCP server."""

    type: Literal["mcpToolCall"] = field(default="mcpToolCall", init=False)
    id: str
    server: str
    tool: str
    status: McpToolCallStatus
    arguments: object = None
    mcp_app_resource_uri: str | None = field(default=None, metadata={"omit_none": True})
    result: McpToolCallResult | None = None
    error: McpToolCallError | None = None
    duration_ms: int | None = None


@frozen
class TextOutput:
    """Text in the answer of a client's tool."""

    type: Literal["inputText"] = field(default="inputText", init=False)
    text: str


@frozen
class ImageOutput:
    """An image in the answer of a client's tool."""

    type: Literal["inputImage"] = field(default="inputImage", init=False)
    image_url: str


@frozen
class InputTextContent:
    """Text, in the form of the Responses API."""

    type: Literal["input_text"] = field(default="input_text", init=False)
    text: str


@frozen(kw_only=True)
class InputImageContent:
    """An image by URL or by the id of an uploaded file, in the form of the Responses API."""

    type: Literal["input_image"] = field(default="input_image", init=False)
    image_url: str | None = field(default=None, metadata={"wire": "image_url", "omit_none": True})
    file_id: str | None = field(default=None, metadata={"wire": "file_id", "omit_none": True})
    detail: ImageDetail | None = field(default=None, metadata={"omit_none": True})


@frozen(kw_only=True)
class InputAudioContent:
    """Audio by URL or by the id of an uploaded file, in the form of the Responses API. From Codex 0.171."""

    type: Literal["input_audio"] = field(default="input_audio", init=False)
    audio_url: str | None = field(default=None, metadata={"wire": "audio_url", "omit_none": True})
    file_id: str | None = field(default=None, metadata={"wire": "file_id", "omit_none": True})


@frozen
class EncryptedContent:
    """Content that only the provider can read."""

    type: Literal["encrypted_content"] = field(default="encrypted_content", init=False)
    encrypted_content: str = field(metadata={"wire": "encrypted_content"})


FunctionCallOutputContentItem: TypeAlias = Annotated[
    InputTextContent | InputImageContent | InputAudioContent | EncryptedContent, Tagged("FunctionCallOutputContentItem")
]
FunctionCallOutputBody: TypeAlias = Annotated[
    str | Sequence[FunctionCallOutputContentItem], Untagged("FunctionCallOutputBody")
]

DynamicToolCallOutputContentItem: TypeAlias = Annotated[
    TextOutput | ImageOutput, Tagged("DynamicToolCallOutputContentItem")
]


@frozen
class DynamicToolCallItem(Item):
    """A call of a tool of the client."""

    type: Literal["dynamicToolCall"] = field(default="dynamicToolCall", init=False)
    id: str
    namespace: str | None = field(default=None, kw_only=True)
    tool: str
    arguments: object
    status: DynamicToolCallStatus
    content_items: Sequence[DynamicToolCallOutputContentItem] | None = None
    success: bool | None = None
    duration_ms: int | None = None


@frozen
class CollabAgentState:
    """The status of a sub-agent; `message` is its last message."""

    status: CollabAgentStatus
    message: str | None = None


@frozen
class CollabAgentToolCallItem(Item):
    """A call by which an agent spawns other agents, sends them input, waits for them or closes them."""

    type: Literal["collabAgentToolCall"] = field(default="collabAgentToolCall", init=False)
    id: str
    tool: CollabAgentTool
    status: CollabAgentToolCallStatus
    sender_thread_id: str
    receiver_thread_ids: Sequence[str] = ()
    prompt: str | None = None
    model: str | None = None
    reasoning_effort: ReasoningEffort | None = None
    agents_states: Mapping[str, CollabAgentState] = field(factory=dict[str, CollabAgentState])


@frozen
class WebSearchItem(Item):
    """A web search by the provider; `action` is its kind and details, as the model reported them."""

    type: Literal["webSearch"] = field(default="webSearch", init=False)
    id: str
    query: str
    action: object = None


@frozen
class ImageViewItem(Item):
    """The agent looked at an image file."""

    type: Literal["imageView"] = field(default="imageView", init=False)
    id: str
    path: str


@frozen
class ImageGenerationItem(Item):
    """An image that the model made; `result` is base64, `saved_path` the path of its file."""

    type: Literal["imageGeneration"] = field(default="imageGeneration", init=False)
    id: str
    status: str
    revised_prompt: str | None = None
    result: str = ""
    saved_path: str | None = field(default=None, metadata={"omit_none": True})


@frozen
class FunctionCallOutputItem(Item):
    """An output that a client sent to the model without a call. `output` is a text or content of the Responses API."""

    type: Literal["functionCallOutput"] = field(default="functionCallOutput", init=False)
    id: str
    name: str
    namespace: str | None = field(default=None, kw_only=True)
    output: FunctionCallOutputBody


@frozen
class EnteredReviewModeItem(Item):
    """A review started; `review` is its label."""

    type: Literal["enteredReviewMode"] = field(default="enteredReviewMode", init=False)
    id: str
    review: str


@frozen
class ExitedReviewModeItem(Item):
    """A review ended; `review` is its finding."""

    type: Literal["exitedReviewMode"] = field(default="exitedReviewMode", init=False)
    id: str
    review: str


@frozen
class ContextCompactionItem(Item):
    """The model's history was replaced by a summary."""

    type: Literal["contextCompaction"] = field(default="contextCompaction", init=False)
    id: str


ThreadItem: TypeAlias = Annotated[
    UserMessageItem
    | HookPromptItem
    | AgentMessageItem
    | PlanItem
    | ReasoningItem
    | CommandExecutionItem
    | FileChangeItem
    | McpToolCallItem
    | DynamicToolCallItem
    | CollabAgentToolCallItem
    | WebSearchItem
    | ImageViewItem
    | ImageGenerationItem
    | FunctionCallOutputItem
    | EnteredReviewModeItem
    | ExitedReviewModeItem
    | ContextCompactionItem,
    Tagged("ThreadItem"),
]
