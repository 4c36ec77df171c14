"""The settings of threads and turns: approvals, sandbox, reasoning, tools."""

from collections.abc import Sequence
from typing import Annotated, ClassVar, Final, Literal, TypeAlias

from attrs import field

from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.shapes import AbsolutePath, JsonObject, Keyed, Tagged

ApprovalsReviewer: TypeAlias = Literal["user", "auto_review", "guardian_subagent"]
SandboxMode: TypeAlias = Literal["read-only", "workspace-write", "danger-full-access"]
NetworkAccess: TypeAlias = Literal["restricted", "enabled"]
ReasoningEffort: TypeAlias = str
"""none, minimal, low, medium, high, xhigh. Newer clients have more; the model decides which it accepts."""
ReasoningSummary: TypeAlias = Literal["auto", "concise", "detailed", "none"]
ServiceTier: TypeAlias = str
"""fast or flex. Newer clients also send a provider's own names."""
Personality: TypeAlias = Literal["none", "friendly", "pragmatic"]
ModeKind: TypeAlias = Literal["plan", "default"]
PermissionProfile: TypeAlias = JsonObject
"""Detailed permissions for network and files, as the client sent them."""


@frozen
class TurnEnvironmentParams:
    """Where commands run. Only the server's machine, `LOCAL_ENVIRONMENT`, is supported."""

    environment_id: str
    cwd: AbsolutePath
    runtime_workspace_roots: Sequence[AbsolutePath] | None = None


LOCAL_ENVIRONMENT: Final = "local"


@frozen(kw_only=True)
class GranularSettings:
    """Which kinds of approval the user is asked for; the others are refused. Snake case on the wire."""

    sandbox_approval: bool = field(metadata={"wire": "sandbox_approval"})
    rules: bool
    skill_approval: bool = field(default=False, metadata={"wire": "skill_approval"})
    request_permissions: bool = field(default=False, metadata={"wire": "request_permissions"})
    mcp_elicitations: bool = field(metadata={"wire": "mcp_elicitations"})


@frozen
class GranularApproval:
    """The approval policy ``{"granular": {...}}``."""

    EXPERIMENTAL: ClassVar[str] = "askForApproval.granular"

    granular: GranularSettings


ApprovalWord: TypeAlias = Literal["untrusted", "on-failure", "on-request", "never"]
AskForApproval: TypeAlias = Annotated[
    ApprovalWord | GranularApproval, Keyed(("untrusted", "on-failure", "on-request", "granular", "never"))
]


@frozen
class FullReadAccess:
    """All files may be read."""

    type: Literal["fullAccess"] = field(default="fullAccess", init=False)


@frozen
class RestrictedReadAccess:
    """Only `readable_roots` may be read, and the files that the platform needs to run programs."""

    type: Literal["restricted"] = field(default="restricted", init=False)
    include_platform_defaults: bool = True
    readable_roots: Sequence[AbsolutePath] = ()


ReadOnlyAccess: TypeAlias = Annotated[RestrictedReadAccess | FullReadAccess, Tagged("ReadOnlyAccess")]


@frozen
class DangerFullAccessPolicy:
    """No sandbox."""

    type: Literal["dangerFullAccess"] = field(default="dangerFullAccess", init=False)


@frozen
class ReadOnlyPolicy:
    """Commands read but do not write."""

    type: Literal["readOnly"] = field(default="readOnly", init=False)
    access: ReadOnlyAccess = field(factory=FullReadAccess)
    network_access: bool = False


@frozen
class ExternalSandboxPolicy:
    """The server runs in a sandbox already; commands get none of their own."""

    type: Literal["externalSandbox"] = field(default="externalSandbox", init=False)
    network_access: NetworkAccess = "restricted"


@frozen
class WorkspaceWritePolicy:
    """Commands may write in the thread's directory, in `writable_roots` and, unless excluded, in temporary folders."""

    type: Literal["workspaceWrite"] = field(default="workspaceWrite", init=False)
    writable_roots: Sequence[AbsolutePath] = ()
    read_only_access: ReadOnlyAccess = field(factory=FullReadAccess)
    network_access: bool = False
    exclude_tmpdir_env_var: bool = False
    exclude_slash_tmp: bool = False


SandboxPolicy: TypeAlias = Annotated[
    DangerFullAccessPolicy | ReadOnlyPolicy | ExternalSandboxPolicy | WorkspaceWritePolicy, Tagged("SandboxPolicy")
]


@frozen
class CollaborationSettings:
    """The settings of a collaboration mode. Snake case on the wire."""

    model: str
    reasoning_effort: ReasoningEffort | None = field(default=None, metadata={"wire": "reasoning_effort"})
    developer_instructions: str | None = field(default=None, metadata={"wire": "developer_instructions"})


@frozen
class CollaborationMode:
    """The collaboration mode: plan first, or work directly."""

    mode: ModeKind
    settings: CollaborationSettings


@frozen
class DynamicToolSpec:
    """A tool that the client runs when the model calls it; `input_schema` is a JSON Schema."""

    type: Literal["function"] = field(default="function", init=False)
    name: str
    description: str
    input_schema: object
    namespace: str | None = field(default=None, metadata={"omit_none": True})
    defer_loading: bool = False


@frozen
class DynamicToolNamespace:
    """Tools of one namespace. From Codex 0.171."""

    type: Literal["namespace"] = field(default="namespace", init=False)
    name: str
    description: str
    tools: Sequence[DynamicToolSpec]


DynamicTools: TypeAlias = Annotated[DynamicToolSpec | DynamicToolNamespace, Tagged("DynamicToolSpec", "function")]
