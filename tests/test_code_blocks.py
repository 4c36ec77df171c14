"""Every code block of the README and of docs/ does what the page says.

- `python` with `trio.run` or a file name as `title` is a program. A `console` block after it runs it; else it runs by itself.
- Other `python` is a fragment. It runs in a runtime, with what earlier blocks define, and with a `thread` if it uses one.
- `python` with a title `With …` is code of another library, and is compiled.
- `console` runs its `$` lines in a folder with the page's titled files, and compares the output; `…` stands for any text.
- `text` after a `python` block is the output of that block.
- `sh` installs, starts daemons or needs an account. It is not run; its syntax and its command lines of `spindle` are checked.
- `toml`, `json`, `ini` and `dockerfile` are read by what they are for.

A comment `<!-- model: […] -->` before a block is the script of the model, as OfflineModel reads it. The provider of programs
that do not name a model is a server on the loopback interface, which plays the same script.
"""

from __future__ import annotations

import ast
import configparser
import json
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
from benchmarks.driving.model import ModelServer, chunk, completed, created, item_done, spoken

import spindle
from spindle.cli import parser
from spindle.rpc.model.offline import ScriptedAnswer
from spindle.rpc.model.playing import words
from spindle.storage.config.hooks import hook_config
from spindle.storage.config.loader import ConfigLoader
from spindle.storage.config.mcp_servers import mcp_servers
from spindle.storage.config.providers import providers
from spindle.storage.home import Home

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md")])
FENCE = re.compile(
    r"""(?:<!-- model: (.*?) -->\n+)?^( *)```(\w*)(?: title="([^"]*)")?\n(.*?)^ *```$""", re.MULTILINE | re.DOTALL
)
INDENTED = re.compile(r"\n\n {4}(?! *([-*]|\d+\.) )\S")
LANGUAGES = {"python", "console", "text", "sh", "toml", "json", "ini", "dockerfile", "mermaid"}
INSTRUCTIONS = {"FROM", "RUN", "COPY", "ENV", "USER", "WORKDIR", "VOLUME", "EXPOSE", "ENTRYPOINT", "CMD"}
PUBLIC = {"spindle", "spindle.events", "spindle.instruments", "spindle.items", "spindle.testing", "spindle.otel"}
PROJECT: Mapping[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@attrs.frozen
class Block:
    page: Path
    line: int
    language: str
    title: str
    text: str
    script: list[Any]
    before: tuple[Block, ...]
    """The earlier blocks of the page."""

    @property
    def is_program(self) -> bool:
        return self.title.endswith(".py") or re.search(r"^trio\.run\(", self.text, re.MULTILINE) is not None

    @property
    def is_foreign(self) -> bool:
        return self.title.startswith("With ")

    def tree(self) -> ast.Module:
        code = compile(
            self.text, f"{self.page.name}:{self.line}", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        )
        assert isinstance(code, ast.Module)
        return code


def blocks(page: Path) -> Iterator[Block]:
    """The blocks of a page."""
    text = page.read_text(encoding="utf-8")
    before: tuple[Block, ...] = ()
    for match in FENCE.finditer(text):
        script, indent, language, title, body = match.groups("")
        line = text.count("\n", 0, match.start(2)) + 1
        body = re.sub(rf"^{indent}", "", body, flags=re.MULTILINE)
        block = Block(page, line, language, title, body, json.loads(script or "[]"), before)
        before = (*before, block)
        yield block


BLOCKS = [block for page in PAGES for block in blocks(page)]


def of(*languages: str) -> pytest.MarkDecorator:
    found = [block for block in BLOCKS if block.language in languages]
    return pytest.mark.parametrize("block", found, ids=lambda block: f"{block.page.relative_to(ROOT)}:{block.line}")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_each_block_says_what_it_is(page: Path) -> None:
    assert {block.language for block in blocks(page)} <= LANGUAGES
    assert INDENTED.search(FENCE.sub("", page.read_text(encoding="utf-8"))) is None


class Provider(ModelServer):
    """A provider that plays a script; an answer is a text, or an object as in a script of OfflineModel."""

    poll = 0.01

    def __init__(self) -> None:
        self.script: list[Any] = []
        super().__init__()

    def answer(self, body: bytes) -> Iterable[bytes]:
        entry = self.script.pop(0) if self.script else "Hello."
        answer = ScriptedAnswer.from_json(entry)
        if not answer.items:
            return [chunk(*spoken(words("".join(answer.chunks))))]
        return [chunk(created(), *(item_done(**item) for item in answer.items), completed())]


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    server = Provider()
    yield server
    server.close()


@pytest.fixture
def folder(block: Block, provider: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the page's files up to the block, and an environment whose provider plays the block's script."""
    home, work = tmp_path / "home", tmp_path / "work"
    for path in (home / ".codex", work):
        path.mkdir(parents=True)
    (home / ".codex/config.toml").write_text(f'openai_base_url = "{provider.url}"\n', encoding="utf-8")
    provider.script = list(block.script)
    for each in (*block.before, block):
        if re.fullmatch(r"[\w./-]+\.\w+", each.title):
            (work / each.title).parent.mkdir(parents=True, exist_ok=True)
            (work / each.title).write_text(each.text, encoding="utf-8")
    environment = {"HOME": home, "CODEX_HOME": home / ".codex", "OPENAI_API_KEY": "sk-none", "PYTHONPATH": ROOT / "src"}
    for name, value in environment.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(work)
    return work


def followed_by(block: Block) -> list[Block]:
    page = list(blocks(block.page))
    return page[len(block.before) + 1 :]


def output_of(block: Block) -> str | None:
    """The output that the page shows right after the block."""
    following = followed_by(block)
    return following[0].text if following and following[0].language == "text" else None


def assert_shown(shown: str, printed: str) -> None:
    pattern = ".*".join(map(re.escape, shown.rstrip().split("…")))
    assert re.fullmatch(pattern, printed.rstrip(), re.DOTALL), (
        f"the page shows\n{shown}\nand this was printed:\n{printed}"
    )


def run_program(path: Path, *argv: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `python PATH` does it."""
    monkeypatch.setattr(sys, "argv", [str(path), *argv])
    monkeypatch.syspath_prepend(str(path.parent))
    known = set(sys.modules)
    try:
        runpy.run_path(str(path), run_name="__main__")
    finally:
        for name in set(sys.modules) - known:
            if (path.parent / f"{name}.py").exists():  # another program of another page may have the same name
                del sys.modules[name]


@of("python")
def test_python_uses_public_names_only(block: Block) -> None:
    if block.is_foreign or block.page.name == "kernel.md":
        return
    for node in ast.walk(block.tree()):
        if isinstance(node, ast.Import):
            names = {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names = {node.module or ""}
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "spindle":
            assert node.attr in spindle.__all__ or f"spindle.{node.attr}" in PUBLIC, f"spindle.{node.attr}"
            continue
        else:
            continue
        assert {name for name in names if name.split(".")[0] == "spindle"} <= PUBLIC


@of("python")
async def test_a_fragment_runs(block: Block, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if block.is_foreign or block.is_program:
        return
    names: dict[str, Any] = {"spindle": spindle, "trio": trio}
    for earlier in block.before:
        if earlier.language == "python" and not earlier.is_foreign:
            exec(compile(definitions(earlier.tree()), f"{earlier.page.name}:{earlier.line}", "exec"), names)
    model = spindle.OfflineModel([ScriptedAnswer.from_json(entry) for entry in block.script])
    code = compile(block.tree(), f"{block.page.name}:{block.line}", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    async with spindle.open_runtime(home=folder / "home", model=model) as runtime:
        names["runtime"] = runtime
        if "thread" in free(block.tree()):
            async with runtime.start_thread(cwd=folder) as thread:
                await run_code(code, names | {"thread": thread})
        else:
            await run_code(code, names)
    if (shown := output_of(block)) is not None:
        assert_shown(shown, capsys.readouterr().out)


async def run_code(code: Any, names: dict[str, Any]) -> None:
    running = eval(code, names)
    if running is not None:
        await running


def definitions(tree: ast.Module) -> ast.Module:
    kinds = (ast.Import, ast.ImportFrom, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return ast.Module([node for node in tree.body if isinstance(node, kinds)], [])


def free(tree: ast.Module) -> set[str]:
    """The names that a fragment uses and does not set at its top level."""
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    return {node.id for node in names if isinstance(node.ctx, ast.Load)} - {
        node.id for node in names if isinstance(node.ctx, ast.Store)
    }


@of("python")
def test_a_program_runs(
    block: Block, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if block.is_foreign or not block.is_program:
        return
    if block.title:
        stem = re.escape(Path(block.title).stem)
        assert any(
            each.language == "console" and re.search(rf"\b{stem}\b|pytest", each.text) for each in followed_by(block)
        ), "no console block runs it"
        return
    path = folder / "program.py"
    path.write_text(block.text, encoding="utf-8")
    run_program(path, monkeypatch=monkeypatch)
    if (shown := output_of(block)) is not None:
        assert_shown(shown, capsys.readouterr().out)


@of("python")
def test_code_of_another_library_compiles(block: Block) -> None:
    if block.is_foreign:
        block.tree()


@of("console")
def test_a_console_shows_what_happens(
    block: Block, folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = re.split(r"^\$ ", block.text, flags=re.MULTILINE)
    assert commands[0] == ""
    assert len(commands) > 1
    for command in commands[1:]:
        line, _, shown = command.partition("\n")
        match shlex.split(line):
            case ["export", setting]:
                monkeypatch.setenv(*setting.split("=", 1))
            case ["python", file, *argv] if file.endswith(".py"):
                run_program(folder / file, *argv, monkeypatch=monkeypatch)
            case [("python" | "pytest" | "spindle" | "cat" | "ls") as program, *argv]:
                start = [sys.executable, "-m", program] if program in ("pytest", "spindle") else [program]
                subprocess.run([*start, *argv], cwd=folder, check=False, stdin=subprocess.DEVNULL, timeout=60)
            case other:
                pytest.fail(f"{other[0]} is not run; write a `sh` block")
        printed = capfd.readouterr()
        assert_shown(shown, printed.out + printed.err)


def command_lines(text: str) -> Iterator[list[str]]:
    """The simple commands of a script, as far as shlex sees them, without assignments."""
    for line in text.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="();<>|&")
        lexer.whitespace_split = True
        command: list[str] = []
        for word in [*lexer, ";"]:
            if not set(word) <= set("();<>|&"):
                command.append(word)
                continue
            while command and (
                re.match(r"\w+=", command[0]) or command[0] in ("exec", "then", "if", "do", "sudo", "env")
            ):
                command.pop(0)
            if command:
                yield command
            command = []


def check_command(command: list[str]) -> None:
    """Fail for a command line of ours that is not accepted, and for a file or an extra that does not exist."""
    name, argv = Path(command[0]).name, command[1:]
    if name == "spindle" and not any("$" in word for word in argv):
        try:
            parser().parse_args(argv)
        except SystemExit as exited:
            if exited.code:
                pytest.fail(f"{shlex.join(command)} is wrong usage")
    for word in argv:
        if extras := re.fullmatch(r"(?:\.|spindle|/src)\[([\w,-]+)\]", word):
            assert set(extras[1].split(",")) <= set(PROJECT["optional-dependencies"]), word
        if re.match(r"(tests|benchmarks|examples|docs)/", word):
            assert (ROOT / word.split("::")[0]).exists(), word


@of("sh")
def test_a_shell_script_is_valid(block: Block) -> None:
    checked = subprocess.run(["bash", "-n"], input=block.text, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")
    for command in command_lines(block.text):
        check_command(command)


@of("toml")
def test_toml_is_a_configuration_without_warnings(block: Block, tmp_path: Path) -> None:
    if block.title == "pyproject.toml":
        assert tomllib.loads(block.text)
        return
    (tmp_path / (block.title or "config.toml")).write_text(block.text, encoding="utf-8")
    loader = ConfigLoader(Home(tmp_path), system_file=tmp_path / "config.toml")
    config = loader.load()
    assert (list(config.notes), dict(config.refusals)) == ([], {})
    assert hook_config(config).warnings == ()
    assert providers(config.merged) is not None
    assert mcp_servers(config.merged) is not None


@of("json")
def test_json_parses(block: Block) -> None:
    assert json.loads(block.text)


@of("ini")
def test_a_unit_is_valid(block: Block, tmp_path: Path) -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None, delimiters="=")
    unit.read_string(block.text)
    assert set(unit.sections()) <= {"Unit", "Service", "Socket", "Install"}
    check_command(shlex.split(re.sub(r"%\w", "/run", unit["Service"]["ExecStart"])))
    if shutil.which("systemd-analyze"):
        text = re.sub(r"(?<==)\S*/spindle(?= )", shutil.which("true") or "", block.text)
        (tmp_path / "spindle.service").write_text(text, encoding="utf-8")
        command = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(tmp_path / "spindle.service")]
        verified = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (verified.returncode, verified.stderr) == (0, "")


@of("dockerfile")
def test_a_dockerfile_has_known_instructions(block: Block) -> None:
    lines = [line.split(None, 1) for line in block.text.replace("\\\n", " ").splitlines() if line and line[0] != "#"]
    assert lines[0][0] == "FROM"
    assert {word for word, _ in lines} <= INSTRUCTIONS
    whole: list[str] = []
    for word, rest in lines:
        if word == "RUN":
            for command in command_lines(rest):
                check_command(command)
        elif word in ("ENTRYPOINT", "CMD"):
            whole += json.loads(rest)
    check_command(whole)


def test_what_is_wrong_is_found(tmp_path: Path) -> None:
    for command in ("spindle app-server --listn x", "pip install .[nothing]", "pytest tests/nothing.py"):
        with pytest.raises((AssertionError, pytest.fail.Exception)):
            check_command(command.split())
    page = tmp_path / "page.md"
    page.write_text(
        'Text.\n\n<!-- model: ["Hi"] -->\n```python title="a.py"\nx\n```\n\n```sh\ny\n```\n', encoding="utf-8"
    )
    first, second = blocks(page)
    assert (first.line, first.title, first.script, second.before) == (4, "a.py", ["Hi"], (first,))
    assert list(command_lines('A=1 spindle index && exec "x y" # not this')) == [["spindle", "index"], ["x y"]]
    assert_shown("a…c", "a b\nc\n")
    with pytest.raises(AssertionError):
        assert_shown("a…c", "a b")
