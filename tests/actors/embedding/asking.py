"""A thread that asks, and what a scripted model calls to be asked about."""

import json

ASKING = [
    ("sandbox_mode", "danger-full-access"),
    ("approval_policy", "untrusted"),
    ("features.apply_patch_freeform", True),
]


def call(id, name, **arguments):
    return {"type": "function_call", "call_id": id, "name": name, "arguments": json.dumps(arguments)}


def touch(path, id="c"):
    return call(id, "exec_command", cmd=f"touch {path}", login=False)


def add(path):
    text = f"*** Begin Patch\n*** Add File: {path}\n+new\n*** End Patch\n"
    return {"type": "custom_tool_call", "call_id": "p", "name": "apply_patch", "input": text}


def output(model, request=-1):
    """The last output of a tool in a request."""
    said = [item["output"] for item in map(json.loads, model.requests[request].input) if "output" in item][-1]
    return said if isinstance(said, str) else said[0]["text"]
