"""Measures the time from the start of `true` to its end, in each sandbox and without one.

Needs Linux. Without bubblewrap, or where a mechanism does not work, its row says why.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import tempfile
import time

import trio

from spindle.actors.tools.sandbox.confinement import Confinement, Place, of_policy
from spindle.actors.tools.sandbox.mechanism import Bubblewrap, Landlock, Mechanism, Namespaces
from spindle.actors.tools.sandbox.sandbox import Sandbox, trial
from spindle.rpc.protocol.settings import ReadOnlyPolicy, WorkspaceWritePolicy

COMMAND = ["/bin/true"]


def timed(argv: list[str], env: dict[str, str], cwd: str, rounds: int) -> str:
    taken: list[float] = []
    for _ in range(rounds):
        began = time.perf_counter()
        subprocess.run(argv, env=env, cwd=cwd, check=True)
        taken.append((time.perf_counter() - began) * 1e3)
    return f"{statistics.median(taken):6.1f} ms   (90 %: {statistics.quantiles(taken, n=10)[-1]:.1f} ms)"


def home() -> str:
    return os.environ.get("CODEX_HOME") or os.path.expanduser("~/.codex")


async def main(rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        place = Place(folder, home())
        env = dict(os.environ)
        print(f"{'none':<14}{'':<18}{timed(COMMAND, env, place.cwd, rounds)}")
        machine = os.uname().machine
        began = time.perf_counter()
        found = Sandbox().mechanism()
        print(f"finding a mechanism: {type(found).__name__}, once, {(time.perf_counter() - began) * 1e3:.0f} ms")
        mechanisms: list[Mechanism] = [Namespaces(machine), Landlock(machine)]
        if isinstance(found, Bubblewrap):
            mechanisms.insert(0, found)
        for mechanism in mechanisms:
            name = type(mechanism).__name__
            if (reason := trial(mechanism)) is not None:
                print(f"{name:<14}{reason}")
                continue
            for policy in (ReadOnlyPolicy(), WorkspaceWritePolicy()):
                confinement = of_policy(policy, place)
                assert isinstance(confinement, Confinement)
                async with Sandbox(mechanism).confined(confinement, COMMAND, env) as command:
                    line = timed(list(command.argv), dict(command.env), place.cwd, rounds)
                print(f"{name:<14}{policy.type:<18}{line}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=50)
    trio.run(main, parser.parse_args().rounds)
