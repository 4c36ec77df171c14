"""The files for GitHub and for pre-commit: that they parse, and that they check what pyproject.toml promises."""

import re
import runpy
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
FILES = sorted([*ROOT.glob(".github/**/*.yml"), ROOT / ".pre-commit-config.yaml"])
WORKFLOWS = [path for path in FILES if path.parent.name == "workflows"]
RUNNERS = {"Operating System :: POSIX :: Linux": "ubuntu-latest", "Operating System :: MacOS": "macos-latest"}


def read(path: Path) -> dict[str, Any]:
    loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(loaded, dict)
    return loaded


def jobs(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = read(path)["jobs"]
    return found


def commands(job: dict[str, Any]) -> list[str]:
    return [line.strip() for step in job["steps"] for line in step.get("run", "").splitlines()]


@pytest.fixture
def ci() -> dict[str, Any]:
    return jobs(ROOT / ".github/workflows/ci.yml")


def test_there_are_workflows_and_forms() -> None:
    assert {path.name for path in FILES} >= {"ci.yml", "release.yml", "bug.yml", "feature.yml", "dependabot.yml"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_file_parses(path: Path) -> None:
    assert read(path)


def test_each_system_and_python_of_the_classifiers_is_checked(ci: dict[str, Any]) -> None:
    matrix = ci["checks"]["strategy"]["matrix"]
    pythons = [match[1] for line in PROJECT["classifiers"] if (match := re.search(r"Python :: (3\.\d+)$", line))]
    assert matrix["python"] == pythons
    assert matrix["os"] == [RUNNERS[line] for line in reversed(PROJECT["classifiers"]) if line in RUNNERS]
    assert ".ci/run" in commands(ci["checks"])


def test_the_lowest_dependencies_are_checked_with_the_lowest_python(ci: dict[str, Any]) -> None:
    assert [f">={python}" for python in ci["lowest"]["strategy"]["matrix"]["python"]] == [PROJECT["requires-python"]]
    assert ".ci/run --lowest" in commands(ci["lowest"])


def test_the_coverage_is_checked(ci: dict[str, Any]) -> None:
    assert ".ci/run --coverage" in commands(ci["coverage"])


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_runs_files_that_exist(path: Path) -> None:
    for job in jobs(path).values():
        for script in re.findall(r"\.ci/\w+(?:\.py)?", "\n".join(commands(job)) if "steps" in job else ""):
            assert (ROOT / script).is_file()
        if "uses" in job:
            assert (ROOT / job["uses"]).is_file()


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_an_action_is_pinned_to_a_commit(path: Path) -> None:
    used = re.findall(r"uses: (.*)", path.read_text(encoding="utf-8"))
    for action in used:
        assert re.fullmatch(r"\./\.github/workflows/\w+\.yml|[\w/.-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action)
    assert used


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_job_ends_and_may_do_no_more_than_it_needs(path: Path) -> None:
    assert read(path)["permissions"] == {"contents": "read"}
    for name, job in jobs(path).items():
        assert "uses" in job or job["timeout-minutes"] <= 30
        if path.name != "release.yml" or name not in ("build", "publish"):
            assert "permissions" not in job


def test_a_release_is_checked_attested_and_published_without_a_password() -> None:
    release = jobs(ROOT / ".github/workflows/release.yml")
    assert set(release["publish"]["needs"]) == {"checks", "build"}
    assert 'python .ci/check_tag.py "$GITHUB_REF_NAME"' in commands(release["build"])
    assert release["build"]["permissions"]["attestations"] == "write"
    used = [step["uses"].partition("@")[0] for step in release["build"]["steps"] if "uses" in step]
    assert used.index("actions/attest-build-provenance") < used.index("actions/upload-artifact")
    publish = release["publish"]["steps"][-1]
    assert publish["uses"].startswith("pypa/gh-action-pypi-publish@")
    assert "with" not in publish
    assert release["publish"]["permissions"] == {"id-token": "write"}


@pytest.mark.parametrize(
    ("tag", "section", "fault"),
    [
        ("v1.2.3", "## 1.2.3 - 2026-01-31", None),
        ("v1.2.4", "## 1.2.3 - 2026-01-31", "the tag is v1.2.4, but the version in pyproject.toml is 1.2.3"),
        ("1.2.3", "## 1.2.3 - 2026-01-31", "expected the tag v1.2.3"),
        ("v1.2.3", "## Unreleased", "CHANGELOG.md has no section `## 1.2.3 - YYYY-MM-DD`"),
        ("v1.2.3", "## 1.2.3", "CHANGELOG.md has no section `## 1.2.3 - YYYY-MM-DD`"),
    ],
)
def test_a_tag_is_released_only_if_it_is_the_version(tag: str, section: str, fault: str | None, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "1.2.3"\n')
    (tmp_path / "CHANGELOG.md").write_text(f"# Changelog\n\n{section}\n")
    said = runpy.run_path(str(ROOT / ".ci/check_tag.py"))["fault"](tag, tmp_path)
    assert (said is None) if fault is None else (fault in said)
