"""docs/kernel.md: its example does what the page says, and the kernel is what the page says it is."""

import ast
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "kernel.md").read_text(encoding="utf-8")
KERNEL = sorted((ROOT / "actors" / "kernel").glob("*.py"))


def block(kind: str) -> str:
    found: list[str] = re.findall(rf"^```{kind}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    assert len(found) == 1
    return found[0]


def test_the_example_prints_what_the_page_says() -> None:
    done = subprocess.run([sys.executable, "-c", block("python")], capture_output=True, text=True, check=False)
    assert (done.stderr, done.stdout) == ("", block("text"))


def test_the_kernel_can_be_read_in_one_sitting_and_speaks_of_nothing_of_ours() -> None:
    sources = [path.read_text(encoding="utf-8") for path in KERNEL]
    assert sum(source.count("\n") for source in sources) < 450
    words = {word.lower() for source in sources for word in re.findall(r"[A-Za-z]+", source)}
    assert words.isdisjoint({"codex", "thread", "threads", "client", "clients", "turn", "turns", "rollout", "rpc"})


def test_every_public_name_of_the_kernel_is_documented() -> None:
    nodes = [node for path in KERNEL for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))]
    named = [node for node in nodes if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)]
    assert [node.name for node in named if not node.name.startswith("_") and not ast.get_docstring(node)] == []
