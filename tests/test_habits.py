"""Rules and files for contributors: imports in functions, hooks, changelog fragments, issue forms, the citation."""

from __future__ import annotations

import ast
import configparser
import io
import re
import shutil
import subprocess
import sys
import textwrap
import tokenize
import tomllib
from pathlib import Path

import pytest
import yaml

from alpenhorn import __version__
from tests.fixtures.repository import CHECKOUT, environment, git, repository

TEMPLATES = sorted((CHECKOUT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))


def hooks() -> list[dict[str, object]]:
    config = yaml.safe_load((CHECKOUT / ".pre-commit-config.yaml").read_text("utf-8"))
    return [hook for repository in config["repos"] for hook in repository["hooks"]]


def test_the_hooks_are_the_checks_of_tox() -> None:
    tox = configparser.ConfigParser()
    tox.read(CHECKOUT / "tox.ini")
    lines = tox["testenv:check"]["commands"].splitlines()
    checks = [line for line in lines if line and not line.startswith(("#", "python -m "))]
    entries = [str(hook["entry"]) for hook in hooks() if hook.get("stages") != ["commit-msg"]]
    assert len(checks) == 4 and entries == [f".tox/check/bin/{check}" for check in checks]
    assert all(hook["language"] == "system" for hook in hooks()), "the programs of the environment of tox"


def test_git_runs_the_hooks(tmp_path: Path) -> None:
    files = (".pre-commit-config.yaml", ".gitignore", "bin/commit-subject")
    checkout = repository(tmp_path, *files)
    programs = checkout / ".tox" / "check" / "bin"
    programs.mkdir(parents=True)
    for name in ("ruff", "mypy", "lint-imports"):
        # What they find is no matter of this test: that they are run, with which arguments, and that they can refuse.
        (programs / name).write_text(f'#!/bin/sh\necho {name} "$@" >> ran\ntest ! -e refuse-{name}\n')
        (programs / name).chmod(0o755)
    install = [sys.executable, "-m", "pre_commit", "install"]
    subprocess.run(install, cwd=checkout, env=environment(checkout), check=True, capture_output=True)
    (checkout / ".git" / "info" / "exclude").write_text("/ran\n/refuse-*\n/.cache\n")

    (checkout / "new.py").write_text("new = 1\n")
    git(checkout, "add", "new.py")
    assert "commit subject" in git(checkout, "commit", "--message=Added a module.", ok=False)
    for name in ("ruff", "mypy", "lint-imports"):
        (checkout / f"refuse-{name}").touch()
        git(checkout, "commit", "--message=Add a module", ok=False)
        (checkout / f"refuse-{name}").unlink()
    (checkout / "ran").unlink()
    git(checkout, "commit", "--message=Add a module")
    ran = (checkout / "ran").read_text().splitlines()
    assert ran == ["ruff check", "ruff format --check", "mypy", "lint-imports --no-cache"]


@pytest.mark.parametrize(
    ("message", "complaint"),
    [
        ("Add a table of nodes", ""),
        ("Add a table of nodes\n\nIt was missing.\n", ""),
        ("Need no server for the demo", ""),
        ("Pass the clock to each run", ""),
        ("Merge branch 'x'", ""),
        (f"Merge {'x' * 100}", ""),
        ("fixup! add it.", ""),
        (f"Add {'x' * 67}", ""),
        (f"Add {'x' * 68}", "has 72 characters"),
        (f"Fügt {'ü' * 66}", ""),
        ("add a table", "capital letter"),
        ("Added a table", "imperative"),
        ("Adding a table", "imperative"),
        ("Adds a table", "imperative"),
        ("Add a table.", "full stop"),
        ("Add a table\nof nodes", "blank line"),
        ("\n# a comment of git\nadd a table\n# another\n", "capital letter"),
        ("Add a table\n\n# ------------------------ >8 ------------------------\ndiff\n", ""),
    ],
)
def test_a_commit_message_is_checked(message: str, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "COMMIT_EDITMSG"
    path.write_text(message, "utf-8")
    argv = [sys.executable, str(CHECKOUT / "bin" / "commit-subject"), str(path)]
    done = subprocess.run(argv, env={"LC_ALL": "C.UTF-8"}, capture_output=True, text=True)
    assert done.returncode == (1 if complaint else 0), done.stderr
    assert complaint in done.stderr and len(done.stderr.splitlines()) == bool(complaint)


def test_changelog_fragments_become_a_section(tmp_path: Path) -> None:
    """Fragments form a section above those of earlier versions, in the order of types."""
    checkout = repository(tmp_path, "pyproject.toml", "CHANGELOG.md")
    shutil.copytree(CHECKOUT / ".changes", checkout / ".changes")
    settings = tomllib.loads((CHECKOUT / "pyproject.toml").read_text("utf-8"))["tool"]["towncrier"]
    types = {one["directory"]: one["name"] for one in settings["type"]}
    documented = re.findall(
        r"^\| `(\w+)` \|", (CHECKOUT / ".changes" / "README.md").read_text("utf-8"), re.MULTILINE
    )
    assert list(types) == documented
    for name in types:
        (checkout / ".changes" / f"+test-{name}.{name}.md").write_text(f"A line of {name}.\n")
    (checkout / ".changes" / "7.fixed.md").write_text("A line with an issue.\n")
    git(checkout, "add", "--all")
    before = (checkout / "CHANGELOG.md").read_text("utf-8")
    argv = [sys.executable, "-m", "towncrier", "build", "--yes", "--version", "99.0", "--date", "2030-01-01"]
    done = subprocess.run(argv, cwd=checkout, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    after = (checkout / "CHANGELOG.md").read_text("utf-8")
    head, _, section = after.partition("\n## 99.0 (2030-01-01)\n")
    section, _, earlier = section.partition("\n## ")
    assert before.startswith(head.rstrip("\n")) and before.endswith(f"\n## {earlier}")
    assert re.findall("^### (.+)$", section, re.MULTILINE) == list(types.values())
    assert "- A line with an issue. (#7)\n" in section
    assert [path.name for path in (checkout / ".changes").iterdir()] == ["README.md"]


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_an_issue_form_is_valid(path: Path) -> None:
    form = yaml.safe_load(path.read_text("utf-8"))
    if path.name == "config.yml":
        assert form == {"blank_issues_enabled": False}
        return
    assert form["name"] and form["description"]
    identifiers = [item["id"] for item in form["body"] if item["type"] != "markdown"]
    assert identifiers and len(set(identifiers)) == len(identifiers)
    for item in form["body"]:
        assert item["type"] in {"markdown", "textarea", "input", "dropdown", "checkboxes"}
        assert item["attributes"]["value" if item["type"] == "markdown" else "label"]
        assert item["type"] not in {"dropdown", "checkboxes"} or item["attributes"]["options"]


def test_there_is_a_form_for_each_kind_of_issue() -> None:
    assert [path.stem for path in TEMPLATES] == ["bug", "config", "question", "storage-class"]


def test_commands_in_issue_forms_exist() -> None:
    named = {
        match
        for path in TEMPLATES
        for match in re.findall(r"`alpenhorn ((?:[a-z]+ ?)+)", path.read_text("utf-8"))
    }
    assert named
    for command in sorted(named):
        words = command.split()
        argv = [sys.executable, "-m", "alpenhorn", *(words if words[0] == "help" else [*words, "-h"])]
        done = subprocess.run(argv, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def unexplained(source: str) -> list[int]:
    """Return the lines of imports in functions without a comment at their end or above the block that they are in."""
    ends, above = set(), set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT and not re.match("# *(noqa|type:)", token.string):
            (above if token.line.lstrip().startswith("#") else ends).add(token.start[0])
    tree = ast.parse(source)
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    inside = {node for function in functions for node in ast.walk(function)}
    found = []
    for node in inside:
        for block in (value for _, value in ast.iter_fields(node) if isinstance(value, list)):
            explained = False
            for one in block:
                if not isinstance(one, ast.Import | ast.ImportFrom):
                    explained = False
                    continue
                explained = explained or one.lineno - 1 in above or one.end_lineno in ends
                if not explained:
                    found.append(one.lineno)
    return sorted(found)


def test_every_package_says_what_it_is_for() -> None:
    packages = sorted((CHECKOUT / "alpenhorn").rglob("__init__.py"))
    assert len(packages) > 20
    silent = [
        str(one)
        for one in packages
        if not (ast.get_docstring(ast.parse(one.read_text())) or "").endswith(".")
    ]
    assert silent == []


def test_an_import_in_a_function_says_why_it_is_there() -> None:
    """Nobody can see whether an import was left there by accident, breaks a cycle, or saves time."""
    paths = sorted((CHECKOUT / "alpenhorn").rglob("*.py"))
    assert len(paths) > 300
    wrong = [
        f"{path.relative_to(CHECKOUT)}:{at}" for path in paths for at in unexplained(path.read_text("utf-8"))
    ]
    assert not wrong, "move to the top, or say in a comment what it saves"


@pytest.mark.parametrize(
    ("body", "lines"),
    [
        ("import rich", [2]),
        ("import rich  # noqa: F401", [2]),
        ("import rich  # 40 ms", []),
        ("# 40 ms\nimport rich", []),
        ("# 40 ms\n\nimport rich", [4]),
        ("x = 1  # a number\nimport rich", [3]),
        ("import rich  # 40 ms\n\nimport psutil\nfrom peewee import Model", []),
        ("import rich\nimport psutil  # 13 ms", [2]),
        ("import rich  # 40 ms\nx = 1\nimport psutil", [4]),
        ("if x:\n    import rich\nelse:\n    import psutil  # 13 ms", [3]),
        ("try:\n    pass\nexcept OSError:\n    import rich", [5]),
        ("match x:\n    case 1:\n        import rich", [4]),
        ("class A:\n    import rich", [3]),
        ("def g():\n    import rich", [3]),
    ],
)
def test_an_import_without_a_reason_is_found(body: str, lines: list[int]) -> None:
    assert unexplained(f"async def f(x):\n{textwrap.indent(body, '    ')}\n") == lines
    assert unexplained(f"def f(x):\n{textwrap.indent(body, '    ')}\n") == lines
    if "def " not in body:
        assert unexplained(f"if True:\n{textwrap.indent(body, '    ')}\n") == [], "only functions"


def test_the_citation_is_that_of_this_version() -> None:
    citation = yaml.safe_load((CHECKOUT / "CITATION.cff").read_text("utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert (citation["title"], str(citation["version"]), citation["license"]) == (
        "alpenhorn",
        __version__,
        "MIT",
    )
    setup = configparser.ConfigParser()
    setup.read(CHECKOUT / "setup.cfg", "utf-8")
    assert [author["name"] for author in citation["authors"]] == [setup["metadata"]["author"]]


def test_links_in_the_security_policy_exist() -> None:
    policy = CHECKOUT / ".github" / "SECURITY.md"
    (link,) = re.findall(r"\]\(([^)]+)\)", policy.read_text("utf-8"))
    manual = (policy.parent / link).resolve()
    assert manual.is_file() and "\n## Security\n" in manual.read_text("utf-8")


def engines(*arguments: str) -> dict[str, set[str]]:
    """Return the engines that pytest would run each of the tests with, by its name with the other parameters."""
    argv = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *arguments]
    done = subprocess.run(argv, cwd=CHECKOUT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, set[str]] = {}
    for name, engine, others in re.findall(r"::(\w+)\[(sqlite|mariadb)(-.*)?\]$", done.stdout, re.MULTILINE):
        found.setdefault(name + others, set()).add(engine)
    return found


def test_marked_tests_run_with_one_engine_and_with_both_with_long() -> None:
    module = "tests/end_to_end/test_edges.py"
    chosen, both = engines(module), engines(module, "--long")
    assert chosen and set(chosen) == set(both), "no test is left out"
    assert all(len(found) == 1 for found in chosen.values()) and len(set.union(*chosen.values())) == 2
    assert all(found == {"sqlite", "mariadb"} for found in both.values())
    assert engines(module, "--engines", "one") == chosen
    name = next(iter(chosen))
    for engine in ("sqlite", "mariadb"):
        assert engines(f"{module}::{name}[{engine}]") == {name: {engine}}


def test_of_the_quick_tests_each_runs_with_one_engine() -> None:
    module = "tests/record/test_reconcile.py"
    quick, both = engines(module, "--engines", "one"), engines(module)
    assert {"-" in name for name in quick} == {True, False}, "no test has other parameters, or all have"
    assert quick and set(quick) == set(both), "no test is left out"
    assert all(len(found) == 1 for found in quick.values()) and len(set.union(*quick.values())) == 2
    assert all(found == {"sqlite", "mariadb"} for found in both.values())
