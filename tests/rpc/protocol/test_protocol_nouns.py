"""For all nouns: each class can be structured and unstructured, and notifications have the reference server's names."""

import subprocess
import sys
from importlib import import_module

import attrs
import pytest

from spindle.rpc.protocol.converter import make_converter

NOUNS = (
    "accounts", "approvals", "config", "file_search", "files", "initialize", "items", "models", "reviews", "search", "settings",
    "skills", "thread_changes", "threads", "turns",
)  # fmt: skip

NOTIFICATIONS = {
    "error", "thread/started", "thread/status/changed", "thread/archived", "thread/unarchived", "thread/closed",
    "skills/changed", "thread/name/updated", "thread/tokenUsage/updated", "turn/started", "turn/completed",
    "turn/diff/updated", "turn/plan/updated", "item/started", "item/completed", "rawResponseItem/completed",
    "rawResponse/completed",
    "item/agentMessage/delta", "item/plan/delta", "item/commandExecution/outputDelta",
    "item/commandExecution/terminalInteraction", "item/fileChange/outputDelta", "item/fileChange/patchUpdated",
    "serverRequest/resolved", "item/mcpToolCall/progress", "account/updated", "account/rateLimits/updated",
    "item/reasoning/summaryTextDelta", "item/reasoning/summaryPartAdded", "item/reasoning/textDelta",
    "thread/compacted", "model/rerouted", "model/verification", "turn/moderationMetadata",
    "warning", "deprecationNotice", "configWarning",
    "account/login/completed", "fs/changed",
    "thread/search/partial", "fuzzyFileSearch/sessionUpdated", "fuzzyFileSearch/sessionCompleted",
}  # fmt: skip


def classes() -> list[type]:
    found: list[type] = []
    for noun in NOUNS:
        module = import_module(f"spindle.rpc.protocol.{noun}")
        found += [
            value
            for value in vars(module).values()
            if isinstance(value, type) and attrs.has(value) and value.__module__ == module.__name__
        ]
    return found


@pytest.mark.parametrize("cls", classes(), ids=lambda cls: cls.__name__)
def test_every_class_has_hooks_both_ways(cls: type) -> None:
    converter = make_converter()
    assert callable(converter.get_structure_hook(cls))
    assert callable(converter.get_unstructure_hook(cls))


def test_every_notification_names_its_method() -> None:
    named = {cls.__name__: getattr(cls, "METHOD", None) for cls in classes() if cls.__name__.endswith("Notification")}
    assert set(named.values()) == NOTIFICATIONS
    assert len(named) == len(NOTIFICATIONS)


def test_the_handshake_does_not_load_the_other_nouns() -> None:
    program = (
        "import sys\n"
        "import spindle.rpc.protocol.catalog, spindle.rpc.protocol.envelope, spindle.rpc.protocol.initialize\n"
        "print(*sorted(name.rpartition('.')[2] for name in sys.modules if name.startswith('spindle.rpc.protocol.')))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == [
        "catalog", "converter", "envelope", "errors", "initialize", "invalid", "method_table", "shapes", "structuring",
        "values", "vocabulary",
    ]  # fmt: skip
