"""The kernel is what docs/kernel.md says it is. `test_code_blocks.py` runs the page's example."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
KERNEL = sorted((ROOT / "actors" / "kernel").glob("*.py"))


def test_the_kernel_can_be_read_in_one_sitting_and_speaks_of_nothing_of_ours() -> None:
    sources = [path.read_text(encoding="utf-8") for path in KERNEL]
    assert sum(source.count("\n") for source in sources) < 450
    words = {word.lower() for source in sources for word in re.findall(r"[A-Za-z]+", source)}
    assert words.isdisjoint({"codex", "thread", "threads", "client", "clients", "turn", "turns", "rollout", "rpc"})


def test_every_public_name_of_the_kernel_is_documented() -> None:
    nodes = [node for path in KERNEL for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))]
    named = [node for node in nodes if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)]
    assert [node.name for node in named if not node.name.startswith("_") and not ast.get_docstring(node)] == []
