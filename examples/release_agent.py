"""An agent with tools and approvals: it prepares a release, and asks before it does what cannot be undone.

    python examples/release_agent.py --offline

With --offline a script plays the model; else the provider in config.toml answers.
"""

import argparse
import tempfile
from typing import Annotated, Literal

import attrs
import trio

import spindle

SAFE = ("git status", "git log", "ls", "echo")


@attrs.frozen
class Release:
    """What the agent is to find out: the answer has this form."""

    version: str
    kind: Literal["major", "minor", "patch"]
    notes: list[str]


class Tracker:
    """The issue tracker; its public methods are tools."""

    async def closed_issues(self, since: Annotated[str, "a version, such as 1.4.0"]) -> list[str]:
        """List the titles of the issues that are closed since a release."""
        return [f"Fixed since {since}: crash on empty input", "New: export as CSV"]

    @spindle.tool(needs_approval=True, timeout=30)
    async def publish(self, ctx: spindle.ToolContext[list[str]], version: str) -> str:
        """Publish a release. This cannot be undone."""
        await ctx.emit_progress(f"uploading {version}")
        ctx.deps.append(version)
        return f"{version} is published"


async def decide(question: spindle.Question) -> None:
    """Safe commands run at once; anything else is for the user."""
    if isinstance(question, spindle.CommandApproval) and (question.script or "").startswith(SAFE):
        return question.accept()
    prompt = f"The agent asks {question}. Allow it? [y/N] "
    answer = await trio.to_thread.run_sync(input, prompt, abandon_on_cancel=True)
    if answer.strip().lower() == "y" and not isinstance(question, spindle.UserQuestion):
        return question.accept()
    return question.decline("the user said no")


async def main(model: spindle.Model | None, home: str | None) -> None:
    published: list[str] = []
    async with (
        spindle.open_runtime(model=model, home=home, on_question=decide) as runtime,
        runtime.start_thread(tools=[Tracker()], deps=published, approval_policy="untrusted") as thread,
    ):
        plan = await thread.run("Which release is due after 1.4.0?", output_type=Release)
        print(f"{plan.output.version} ({plan.output.kind}): {'; '.join(plan.output.notes)}")
        async with thread.turn(f"Publish {plan.output.version}") as turn:
            async for event in turn:
                match event:
                    case spindle.AgentMessageDeltaNotification(delta=text):
                        print(text, end="", flush=True)
                    case spindle.ItemStartedNotification(item=item):
                        print(f"[{item.type}]")
                    case _:
                        pass
    print("\npublished:", published)


PLAN = '{"version": "1.5.0", "kind": "minor", "notes": ["CSV export", "no crash on empty input"]}'
SCRIPT: list[spindle.ScriptedAnswer | str] = [  # the answers of the model, one for each request
    spindle.ScriptedAnswer.from_json({"calls": [{"name": "closed_issues", "arguments": {"since": "1.4.0"}}]}),
    PLAN,
    spindle.ScriptedAnswer.from_json({"calls": [{"name": "publish", "arguments": {"version": "1.5.0"}}]}),
    "That is all.",
]

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Prepare a release.")
    parser.add_argument("--offline", action="store_true")
    if parser.parse_args().offline:
        with tempfile.TemporaryDirectory() as folder:
            trio.run(main, spindle.OfflineModel(SCRIPT), folder)
    else:
        trio.run(main, None, None)
