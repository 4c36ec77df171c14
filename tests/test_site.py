"""The hooks of the documentation's site. `.ci/run` builds the site itself."""

import types
from pathlib import Path
from typing import Any

import attrs
import pytest
from docs.site import links, offline, reference

import spindle


@pytest.mark.parametrize(
    ("page", "text", "moved"),
    [
        ("docs/config.md", "[a](sandbox.md#secrets)", "[a](sandbox.md#secrets)"),
        ("docs/guides/tools.md", "[a](../config.md)", "[a](../config.md)"),
        ("docs/config.md", "[a](../README.md#why)", "[a](project/README.md#why)"),
        ("docs/guides/tools.md", "[a](../../examples/embedding.py)", "[a](../project/examples/embedding.py)"),
        ("README.md", "[a](docs/config.md)", "[a](../config.md)"),
        ("benchmarks/README.md", "[a](../LICENSE)", "[a](../LICENSE)"),
        ("README.md", "[a](https://b/c) [b](#why) `[c](d)`", "[a](https://b/c) [b](#why) `[c](d)`"),
        ("README.md", "```python\nx[0](docs/y)\n```\n[a](docs/y)", "```python\nx[0](docs/y)\n```\n[a](../y)"),
    ],
)
def test_a_link_fits_the_site(page: str, text: str, moved: str) -> None:
    assert links.moved(text, page) == moved
    assert links.origin(links.placed(page)) == page


def test_what_a_page_loads_from_other_hosts_is_found() -> None:
    page = '<script src="https://a/x.js"></script><link rel="canonical" href="https://b"><img src="//c/d"><a href="https://e">'
    assert offline.loads(page) == ["https://a/x.js", "//c/d"]
    assert offline.loads('<style>@import "https://f/g"; p {background: url(//h/i)}</style>') == ["https://f/g", "//h/i"]
    assert offline.loads('<pre class="mermaid">') != []
    assert offline.loads('<link rel="stylesheet" href="assets/x.css"><img src="y.png">') == []


def test_each_public_name_has_an_entry() -> None:
    page = reference.filled("before\n\n<!-- api: spindle -->\n\nafter")
    assert [name for name in reference.public(spindle) if f"::: spindle.{name}\n" not in page] == []
    assert "::: spindle.events\n" not in page
    assert page.startswith("before\n")
    assert page.endswith("\nafter")


def test_a_table_shows_methods_members_and_meaning() -> None:
    @attrs.frozen
    class Told:
        """Something | happened.

        And more.
        """

        METHOD = "some/thing"
        delta: str
        _hidden: "int | None" = None

    module: Any = types.ModuleType("events")
    module.__all__, module.Told = ["Told"], Told
    row = '| `some/thing` | <a id="events.Told"></a>`Told` | <code>delta: str</code> | Something &#124; happened. And more. |'
    assert reference.table(module).splitlines()[2:] == [row]


def test_each_command_and_option_is_shown() -> None:
    text = reference.commands()
    assert "## `spindle app-server`\n\nServe clients on" in text
    assert "| `--listen URL` | stdio:// (default)" in text
    assert "--serve-relays" not in text


@pytest.mark.parametrize(("shown", "warnings"), [((), 0), (("Turn._secret",), 1)])
def test_a_site_without_a_name_or_with_a_private_one_is_reported(
    shown: tuple[str, ...],
    warnings: int,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reference, "PUBLIC", ("spindle",))
    (tmp_path / "reference").mkdir()
    (tmp_path / "reference/api.html").write_text(
        "".join(f'<h3 id="spindle.{name}">' for name in shown), encoding="utf-8"
    )
    reference.on_post_build(types.SimpleNamespace(site_dir=tmp_path))
    assert len(caplog.records) == len(reference.public(spindle)) + warnings
