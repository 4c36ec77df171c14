"""A scripted play of a thread and its agents, for tests of agents."""

import json
from collections import deque

import orjson

from spindle.actors.embedding.threads import CLIENT
from spindle.actors.kernel.mailbox import answer
from spindle.actors.registry.messages import Leave, Resume, ToThread
from spindle.actors.thread.loading.openings import FromRollout
from spindle.actors.thread.messages import Attach, Detach
from spindle.rpc.protocol.threads import ThreadResumeParams

FREE = [("sandbox_mode", "danger-full-access"), ("approval_policy", "never")]


def call(name, arguments, id):
    return {"type": "function_call", "call_id": id, "name": name, "arguments": json.dumps(arguments)}


class Cast:
    """A scripted model for each part of a play: the root's answers, and those of agents by the first word they are sent.

    An answer may be a function of the outputs that the request has, by call id.
    """

    stream_max_retries = 0

    def __init__(self, scripted, **parts):
        self.parts = {name: scripted() for name in parts}
        self.lines = {name: deque(answers) for name, answers in parts.items()}

    def stream(self, request):
        items = [orjson.loads(item) for item in request.input]
        said = [part["text"] for item in items if item.get("role") == "user" for part in item["content"] if "text" in part]
        words = [text.split()[0] for text in said if not text.startswith(("<", "#"))]
        name = next((word for word in words if word in self.parts and word != "root"), "root")
        outputs = {item["call_id"]: item["output"] for item in items if item["type"] == "function_call_output"}
        answer = self.lines[name].popleft() if self.lines[name] else ["ok"]
        model = self.parts[name]
        model.answers.append([piece(outputs) if callable(piece) else piece for piece in answer])
        return model.stream(request)

    async def aclose(self):
        pass


def agent_of(outputs, id="spawn"):
    return orjson.loads(outputs[id])["agent_id"]


def spawn(message="child do it", id="spawn", **more):
    return call("spawn_agent", {"message": message, **more}, id)


def wait(id="wait", spawned="spawn", **more):
    return lambda outputs: call("wait_agent", {"targets": [agent_of(outputs, spawned)], **more}, id)


def close(id="close", spawned="spawn"):
    return lambda outputs: call("close_agent", {"target": agent_of(outputs, spawned)}, id)


def send(message, id, **more):
    return lambda outputs: call("send_input", {"target": agent_of(outputs), "message": message, **more}, id)


def outputs_of(cast, name="root"):
    """The outputs in the last request of a part."""
    items = map(orjson.loads, cast.parts[name].requests[-1].input)
    return {item["call_id"]: item["output"] for item in items if item["type"] == "function_call_output"}


def notices(cast, name="root", index=-1):
    return [text for text in cast.parts[name].texts[index] if text.startswith("<subagent_notification>")]


def notice(id, status):
    return f"<subagent_notification>\n{orjson.dumps({'agent_path': id, 'status': status}).decode()}\n</subagent_notification>"


def loaded(runtime):
    return runtime._backend.registry.directory.loaded()


async def ask(runtime, id, message):
    return await answer(lambda reply: runtime._backend.registry.route(ToThread(id, message(reply))))


async def attach(runtime, id, subscriber):
    params = ThreadResumeParams(thread_id=id)

    def send_(reply):
        message = Attach(reply=reply, subscriber=subscriber, params=params)
        runtime._backend.registry.route(Resume(id, message, FromRollout(params=params, client=CLIENT)))

    await answer(send_)


async def leave(runtime, id, subscriber):
    return await answer(lambda reply: runtime._backend.registry.route(Leave(id, Detach(reply=reply, subscriber=subscriber))))
