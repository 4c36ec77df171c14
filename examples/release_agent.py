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

SAFE = {"git describe --tags", "make test"}  # whole commands: one that only begins so may go on with anything


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
    """Safe commands run at once. Other commands, changes and tools are for the user. What is not answered is declined."""
    match question:
        case spindle.CommandApproval(script=script) if script in SAFE:
            question.accept()
        case spindle.CommandApproval() | spindle.FileApproval() | spindle.Elicitation(schema=None):
            prompt = f"The agent asks {question}. Allow it? [y/N] "
            if (await trio.to_thread.run_sync(input, prompt, abandon_on_cancel=True)).strip().lower() == "y":
                question.accept()
        case spindle.PermissionRequest() | spindle.UserQuestion() | spindle.Elicitation():
            pass


async def main(model: spindle.Model | None, home: str | None) -> None:
    published: list[str] = []
    async with (
        spindle.open_runtime(model=model, home=home, cwd=home, on_question=decide) as runtime,
        runtime.start_thread(tools=[Tracker()], deps=published, approval_policy="untrusted") as thread,
    ):
        plan = await thread.run("Which release is due?", output_type=Release)
        print(f"{plan.output.version} ({plan.output.kind}): {'; '.join(plan.output.notes)}")
        async with thread.turn(f"Publish {plan.output.version}") as turn:
            async for event in turn:
                match event:
                    case spindle.AgentMessageDeltaNotification(delta=text):
                        print(text, end="", flush=True)
                    case _:
                        pass
    print("\npublished:", published)


def offline(*answers: str | dict[str, object]) -> spindle.OfflineModel:
    """A model that plays these answers, one for each request."""
    return spindle.OfflineModel([spindle.ScriptedAnswer.from_json(answer) for answer in answers])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Prepare a release.")
    parser.add_argument("--offline", action="store_true")
    if parser.parse_args().offline:
        script = offline(
            {"calls": [{"name": "exec_command", "arguments": {"cmd": "git describe --tags"}}]},
            {"calls": [{"name": "closed_issues", "arguments": {"since": "1.4.0"}}]},
            '{"version": "1.5.0", "kind": "minor", "notes": ["CSV export", "no crash on empty input"]}',
            {"calls": [{"name": "publish", "arguments": {"version": "1.5.0"}}]},
            "That is all.",
        )
        with tempfile.TemporaryDirectory() as folder:
            trio.run(main, script, folder)
    else:
        trio.run(main, None, None)
