"""Voice sessions of a thread."""

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Literal, TypeAlias

from attrs import field

from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.shapes import U16, U32, Tagged, USize
from spindle.rpc.protocol.wire import Notification

RealtimeOutputModality: TypeAlias = Literal["text", "audio"]


CodexResponseHandoffMode: TypeAlias = Literal["thinking", "commentary", "bemTags"]


ConversationTextRole: TypeAlias = Literal["user", "developer", "assistant"]


@frozen
class ThreadRealtimeInitialItem:
    """A message that a voice session begins with."""

    role: ConversationTextRole
    text: str


@frozen
class WebsocketRealtimeTransport:
    """The server connects by a WebSocket."""

    type: Literal["websocket"] = field(default="websocket", init=False)


@frozen
class WebrtcRealtimeTransport:
    """The client connects by WebRTC."""

    type: Literal["webrtc"] = field(default="webrtc", init=False)
    sdp: str


@frozen
class ExistingCallRealtimeTransport:
    """The session joins a call."""

    type: Literal["existingCall"] = field(default="existingCall", init=False)
    call_id: str


ThreadRealtimeStartTransport: TypeAlias = Annotated[
    WebsocketRealtimeTransport | WebrtcRealtimeTransport | ExistingCallRealtimeTransport,
    Tagged("ThreadRealtimeStartTransport"),
]


RealtimeConversationVersion: TypeAlias = Literal["v1", "v2", "v3"]


RealtimeVoice: TypeAlias = Literal[
    "alloy",
    "arbor",
    "ash",
    "aube",
    "ballad",
    "breeze",
    "bubbie",
    "cedar",
    "coral",
    "cove",
    "echo",
    "ember",
    "haetsal",
    "hanul",
    "himari",
    "juniper",
    "leher",
    "maple",
    "marin",
    "miko",
    "neer",
    "porto",
    "rindo",
    "rio",
    "rivage",
    "sage",
    "selva",
    "shimmer",
    "sol",
    "sonna",
    "spruce",
    "tinta",
    "vale",
    "verse",
    "viola",
]


@frozen
class ThreadRealtimeStartParams:
    """Start a voice session of a thread."""

    output_modality: RealtimeOutputModality
    thread_id: str
    backend_reasoning_status: bool = False
    client_managed_handoffs: bool | None = None
    codex_response_handoff_channel_prefixes: Mapping[str, Sequence[str]] | None = None
    codex_response_handoff_mode: CodexResponseHandoffMode | None = None
    codex_response_item_prefix: str | None = None
    codex_responses_as_items: bool | None = None
    delegation_ack_filler: bool | None = None
    flush_transcript_tail_on_session_end: bool | None = None
    include_startup_context: bool | None = None
    initial_items: Sequence[ThreadRealtimeInitialItem] | None = None
    model: str | None = None
    prompt: str | None = None
    realtime_end_instructions: str | None = None
    realtime_session_id: str | None = None
    realtime_start_instructions: str | None = None
    transport: ThreadRealtimeStartTransport | None = None
    version: RealtimeConversationVersion | None = None
    voice: RealtimeVoice | None = None
    voice_session_id: str | None = None


@frozen
class ThreadRealtimeStartResponse:
    """The start was taken; notifications say how it went."""


@frozen
class ThreadRealtimeAudioChunk:
    """A piece of sound, in base64."""

    data: str
    num_channels: U16
    sample_rate: U32
    item_id: str | None = None
    samples_per_channel: U32 | None = None


@frozen
class ThreadRealtimeAppendAudioParams:
    """Send sound to the voice session."""

    audio: ThreadRealtimeAudioChunk
    thread_id: str


@frozen
class ThreadRealtimeAppendAudioResponse:
    """The sound was taken."""


@frozen
class ThreadRealtimeAppendTextParams:
    """Send text to the voice session."""

    text: str
    thread_id: str
    role: ConversationTextRole = "user"


@frozen
class ThreadRealtimeAppendTextResponse:
    """The text was taken."""


@frozen
class ThreadRealtimeAppendSpeechParams:
    """Have the voice session say a text."""

    text: str
    thread_id: str


@frozen
class ThreadRealtimeAppendSpeechResponse:
    """The text was taken."""


@frozen
class ThreadRealtimeStopParams:
    """End the voice session."""

    thread_id: str


@frozen
class ThreadRealtimeStopResponse:
    """The end was taken."""


@frozen
class ThreadRealtimeListVoicesParams:
    """List the voices."""


@frozen
class RealtimeVoicesList:
    """The voices of each version of the API."""

    default_v1: RealtimeVoice
    default_v2: RealtimeVoice
    v1: Sequence[RealtimeVoice]
    v2: Sequence[RealtimeVoice]
    v3: Sequence[RealtimeVoice] = ()


@frozen
class ThreadRealtimeListVoicesResponse:
    """The voices."""

    voices: RealtimeVoicesList


ThreadRealtimeOrder: TypeAlias = Literal["observedAt", "position"]


@frozen
class ThreadRealtimeListParams:
    """Read what was said in the voice sessions of a thread."""

    thread_id: str
    after_position: USize | None = None
    cursor: str | None = None
    event_id: str | None = None
    from_observed_at_ms: int | None = None
    limit: U32 | None = None
    order: ThreadRealtimeOrder | None = None
    required_through_position: USize | None = None
    session_id: str | None = None
    snapshot_end: USize | None = None
    to_observed_at_ms: int | None = None


ThreadRealtimeCoverage: TypeAlias = Literal["unsupported", "pending", "ready"]


ThreadRealtimeTranscriptRole: TypeAlias = Literal["user", "assistant"]


@frozen
class ThreadRealtimeVoiceTranscript:
    """A text that was spoken."""

    role: ThreadRealtimeTranscriptRole
    text: str


@frozen
class ThreadRealtimeFrameChannels:
    """What a frame has."""

    voice_transcript: ThreadRealtimeVoiceTranscript = field(metadata={"wire": "voice_transcript"})


@frozen
class WholeItemPresentation:
    """The item as a whole."""

    type: Literal["wholeItem"] = field(default="wholeItem", init=False)


@frozen
class InlineMarkdownPresentation:
    """The item as Markdown."""

    type: Literal["inlineMarkdown"] = field(default="inlineMarkdown", init=False)


@frozen
class InlineVisualizationPresentation:
    """A visualization of the item."""

    type: Literal["inlineVisualization"] = field(default="inlineVisualization", init=False)
    index: U32


ThreadRealtimeBemItemPresentation: TypeAlias = Annotated[
    WholeItemPresentation | InlineMarkdownPresentation | InlineVisualizationPresentation,
    Tagged("ThreadRealtimeBemItemPresentation"),
]


ThreadRealtimeSessionOutcome: TypeAlias = Literal["ended", "failed"]


ThreadRealtimeHandoffMode: TypeAlias = Literal["start", "steer"]


@frozen
class RealtimeSessionStartedItem:
    """A session began."""

    type: Literal["realtimeSessionStarted"] = field(default="realtimeSessionStarted", init=False)


@frozen
class FrameItem:
    """A frame."""

    type: Literal["frame"] = field(default="frame", init=False)
    channels: ThreadRealtimeFrameChannels


@frozen
class TranscriptSegmentItem:
    """A piece of what was said."""

    type: Literal["transcriptSegment"] = field(default="transcriptSegment", init=False)
    role: ThreadRealtimeTranscriptRole
    text: str


@frozen
class BemItemPromotedItem:
    """An item of a turn was shown."""

    type: Literal["bemItemPromoted"] = field(default="bemItemPromoted", init=False)
    item_id: str = field(metadata={"wire": "item_id"})
    presentation: ThreadRealtimeBemItemPresentation
    turn_id: str = field(metadata={"wire": "turn_id"})


@frozen
class RealtimeSessionClosedItem:
    """A session ended."""

    type: Literal["realtimeSessionClosed"] = field(default="realtimeSessionClosed", init=False)
    outcome: ThreadRealtimeSessionOutcome


@frozen
class TurnInputAcceptedItem:
    """A turn took what was said."""

    type: Literal["turnInputAccepted"] = field(default="turnInputAccepted", init=False)
    handoff_id: str = field(metadata={"wire": "handoff_id"})
    input: str
    input_item_id: str = field(metadata={"wire": "input_item_id"})
    mode: ThreadRealtimeHandoffMode
    source_event_ids: Sequence[str] = field(metadata={"wire": "source_event_ids"})
    turn_id: str = field(metadata={"wire": "turn_id"})


@frozen
class SessionEndInputSavedItem:
    """What was said last is kept."""

    type: Literal["sessionEndInputSaved"] = field(default="sessionEndInputSaved", init=False)
    input: str
    input_item_id: str = field(metadata={"wire": "input_item_id"})
    source_event_ids: Sequence[str] = field(metadata={"wire": "source_event_ids"})


ThreadRealtimeItem: TypeAlias = Annotated[
    RealtimeSessionStartedItem
    | FrameItem
    | TranscriptSegmentItem
    | BemItemPromotedItem
    | RealtimeSessionClosedItem
    | TurnInputAcceptedItem
    | SessionEndInputSavedItem,
    Tagged("ThreadRealtimeItem"),
]


@frozen
class ThreadRealtimeEntry:
    """An item, and its place."""

    item: ThreadRealtimeItem
    position: USize


@frozen
class ThreadRealtimeListResponse:
    """A page of items."""

    coverage: ThreadRealtimeCoverage
    data: Sequence[ThreadRealtimeEntry]
    projected_through_item_index: USize
    snapshot_end: USize
    next_cursor: str | None = None


@frozen
class ThreadRealtimeErrorNotification(Notification):
    """A voice session failed."""

    METHOD: ClassVar[str] = "thread/realtime/error"

    message: str
    thread_id: str


@frozen
class ThreadRealtimeClosedNotification(Notification):
    """A voice session ended."""

    METHOD: ClassVar[str] = "thread/realtime/closed"

    thread_id: str
    reason: str | None = None
