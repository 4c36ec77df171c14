"""The pages of documentation: their links, and the paths that they name. `test_code_blocks.py` runs their code."""

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import trio

import spindle
from spindle.actors.delivery import questions as delivery
from spindle.rpc.protocol.approvals import CommandExecutionRequestApprovalParams

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "benchmarks/README.md"])
LINKED = re.compile(r"(?<!`)\[[^\]]*\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")
SECTION = re.compile(r"^#+ (.+)$", re.MULTILINE)
PATH = re.compile(r"`((?:actors|rpc|storage|src|tests|docs|benchmarks|examples|\.ci|\.github)/[\w./-]*)`")
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    titles = SECTION.findall(page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_link_leads_somewhere(page: Path) -> None:
    for where, section in LINKED.findall(page.read_text(encoding="utf-8")):
        target = page.parent / where if where else page
        assert target.exists(), where
        assert not section or section in anchors(target), f"{where}#{section}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_path_exists(page: Path) -> None:
    missing = [name for name in PATH.findall(page.read_text(encoding="utf-8")) if not (ROOT / name).exists()]
    assert missing == []


def blocks() -> list[str]:
    return BLOCK.findall((ROOT / "README.md").read_text(encoding="utf-8"))


def test_the_readme_imports_public_names_only() -> None:
    imported: set[str] = set()
    used: set[str] = set()
    for node in (node for block in blocks() for node in ast.walk(ast.parse(block))):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(f"from {node.module}")
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "spindle":
            used.add(node.attr)
    assert imported == {"trio", "spindle"}
    assert len(used) > 4
    assert used <= set(spindle.__all__)


def test_the_first_program_of_the_readme_runs(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", blocks()[0]], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert '"Explain this repository"' in done.stdout
    assert list((tmp_path / "spindle-home/sessions").rglob("rollout-*.jsonl"))


async def run_block(source: str, model: spindle.Model, tmp_path: Path) -> dict[str, Any]:
    """Run a block that uses a `runtime`; returns its names."""
    names: dict[str, Any] = {"spindle": spindle, "trio": trio}
    code = compile(source, "README.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    async with spindle.open_runtime(home=tmp_path / "home", model=model) as runtime:
        await eval(code, names | {"runtime": runtime}, names)
    return names


async def test_the_tools_of_the_readme_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = await run_block(blocks()[1], spindle.OfflineModel(["Sunny."]), tmp_path)
    assert capsys.readouterr().out == "Sunny.\n"
    assert await names["weather"]("Oslo", 2) == "2 days of sun in Oslo"


async def test_the_approvals_of_the_readme_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = await run_block(blocks()[2], spindle.OfflineModel(["They do."]), tmp_path)
    assert capsys.readouterr().out == "They do.\n"
    for command, answer in [("make test", {"decision": "acceptForSession"}), ("make clean", None)]:
        params = CommandExecutionRequestApprovalParams(
            thread_id="t", turn_id="u", item_id="i", started_at_ms=0, command=f"/bin/bash -lc '{command}'"
        )
        asked = delivery.Question(0, "t", params, None)
        await names["ask"](spindle.CommandApproval(asked))
        if answer is not None:
            assert await asked.wait() == answer
        else:
            with pytest.raises(spindle.RpcError, match="only the tests may run"):
                await asked.wait()
    assert len(blocks()) == 3
