"""No step of a task takes long on the trio thread, however long a thread is."""

import subprocess
import sys
from pathlib import Path

STEPS = Path(__file__).parent.parent / "benchmarks" / "steps.py"


def test_no_step_of_a_task_takes_more_than_25_milliseconds():
    # At this size, work that is done in one step takes several times 25 ms of processor time.
    command = [sys.executable, str(STEPS), "--megabytes", "100"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
