"""An assistant for alarms: it reads logs, restarts a service if the person on duty agrees, and reports.

    python app.py "The shop is down"

The provider in config.toml answers. test_app.py has the tests: run `pytest` in this folder.
"""

import sys

import attrs
import trio

import spindle


@attrs.frozen
class Report:
    """What the assistant has found out and done."""

    service: str
    cause: str
    restarted: bool


@attrs.define
class Cluster:
    """The services. Its public methods are what the assistant can do."""

    logs: dict[str, str]
    _restarts: list[str] = attrs.field(factory=list[str])

    def read_log(self, service: str) -> str:
        """The last lines of a service's log."""
        return self.logs.get(service) or f"there is no service {service!r}"

    @spindle.tool(needs_approval=True)
    def restart(self, service: str) -> str:
        """Restart a service. Its users notice that."""
        self._restarts.append(service)
        return f"{service} has been restarted {len(self._restarts)} times"


async def handle(
    runtime: spindle.Runtime, cluster: Cluster, alarm: str, duty: spindle.OnQuestion, *, minutes: float = 30
) -> Report | None:
    """The report on an alarm. None if there is none in time, or no model: then a person has to look."""
    async with runtime.start_thread(tools=[cluster], on_question=with_patience(duty), sandbox="read-only") as thread:
        with trio.move_on_after(60 * minutes):  # interrupts the turn
            try:
                return (await thread.run(alarm, output_type=Report)).output
            except (spindle.TurnFailed, spindle.OutputInvalid) as error:
                print(f"no report on {alarm!r}: {error}", file=sys.stderr)
        return None


def with_patience(duty: spindle.OnQuestion, *, minutes: float = 5) -> spindle.OnQuestion:
    """Wait for the person on duty, but not forever: without an answer, a question is declined."""

    async def ask(question: spindle.Question) -> None:
        with trio.move_on_after(60 * minutes):
            await duty(question)
        question.decline("the person on duty does not answer")  # does nothing after an answer

    return ask


async def ask_here(question: spindle.Question) -> None:
    """The person on duty sits at this terminal."""
    answer = await trio.to_thread.run_sync(input, f"The assistant asks {question}. [y/N] ", abandon_on_cancel=True)
    if answer == "y" and not isinstance(question, spindle.UserQuestion):
        question.accept()


async def main(alarm: str) -> None:
    async with spindle.open_runtime() as runtime:
        print(await handle(runtime, Cluster({"shop": "out of memory", "mail": "all is well"}), alarm, ask_here))


if __name__ == "__main__":
    trio.run(main, sys.argv[1])
