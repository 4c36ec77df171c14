"""No task keeps the trio thread for long, whatever is done with however long a thread."""

import subprocess
import sys
from pathlib import Path

STEPS = Path(__file__).parent.parent / "benchmarks" / "steps.py"


def test_no_step_of_any_task_takes_more_than_25_milliseconds():
    # processor time of the trio thread, at a size at which what is handled in one step takes several times as much
    command = [sys.executable, str(STEPS), "--megabytes", "100"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
