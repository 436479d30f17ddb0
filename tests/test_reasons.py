"""The codes of reasons: one enumeration, documented, used, and preserved wherever reasons are passed."""

from __future__ import annotations

import ast
import copy
import json
import pickle
import re
import shutil
import string
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import alpenhorn
from alpenhorn.errors import CommandFailed, CommandTimedOut, StorageError, UnsafePath
from alpenhorn.fs.tree_lock import LockTimeout
from alpenhorn.model.tasks import Blame
from alpenhorn.reasons import (
    Code,
    Reason,
    about,
    code_in_json,
    code_of,
    from_outside,
    headed,
    named,
    recorded,
    within,
)
from alpenhorn.transfer.blame import TransferFailed

ROOT = Path(__file__).parent.parent
LIST = Path(alpenhorn.__file__).parent / "docs" / "reasons.md"
LONGEST = 48  # what the index's columns hold
CODES = st.sampled_from(list(Code))


def written(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "bin" / "reasons"), *arguments], capture_output=True, text=True
    )


def test_the_list_in_the_documentation_is_that_of_the_enumeration() -> None:
    done = written("--print")
    assert done.returncode == 0, done.stderr
    assert done.stdout == LIST.read_text(encoding="utf-8"), "run bin/reasons"
    rows = re.findall(r"^\| `(.+?)` \| (.+?) \| (.+?) \|$", done.stdout, re.MULTILINE)
    assert [row[0] for row in rows] == [str(code) for code in Code]
    assert all(text and meaning.endswith(".") and len(meaning) < 150 for _, text, meaning in rows)


def test_the_list_is_installed_with_the_package(tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(ROOT / "alpenhorn", source / "alpenhorn", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.cfg", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    build = [
        "-c",
        "import setuptools; setuptools.setup()",
        "build_py",
        "--build-lib",
        str(tmp_path / "built"),
    ]
    subprocess.run([sys.executable, *build], cwd=source, check=True, capture_output=True)
    assert (tmp_path / "built" / "alpenhorn" / "docs" / LIST.name).is_file()


def test_codes_have_one_form_and_fit_into_the_index() -> None:
    codes = [str(code) for code in Code]
    assert len(set(codes)) == len(codes) == len(Code)
    for code in Code:
        assert re.fullmatch("[a-z0-9]+(-[a-z0-9]+)*", code) and len(code) <= LONGEST
        assert code.name == code.upper().replace("-", "_")


def test_every_code_is_used() -> None:
    source = "\n".join(
        path.read_text(encoding="utf-8")
        for path in (ROOT / "alpenhorn").rglob("*.py")
        if path.name != "reasons.py"
    )
    used = set(re.findall(r"\bCode\.([A-Z0-9_]+)\b", source)) | {"UNKNOWN"}
    assert used == {code.name for code in Code}


@given(CODES, st.text())
def test_a_reason_goes_everywhere_as_text_and_keeps_its_code(code: Code, said: str) -> None:
    names = [name for _, name, _, _ in string.Formatter().parse(code.text) if name]
    formats = {name: spec for _, name, spec, _ in string.Formatter().parse(code.text) if name}
    reason = code(**{name: 7 if formats[name] else said for name in names})
    assert isinstance(reason, str) and "{" + "".join(names[:1]) + "}" not in reason.replace(said, "")
    for other in (
        pickle.loads(pickle.dumps(reason)),
        pickle.loads(pickle.dumps(reason, protocol=0)),
        copy.deepcopy(reason),
        recorded(str(reason), str(code)),
        within(reason, str(reason)),
        from_outside(reason),
    ):
        assert isinstance(other, Reason) and other == reason and other.code is code
    assert json.loads(json.dumps({"why": reason, "code": reason.code})) == {"why": str(reason), "code": code}
    assert pickle.loads(pickle.dumps(code)) is code is Code(code)  # type: ignore[call-arg]
    longer = within(reason, f"node x: {reason}")
    assert longer == f"node x: {reason}" and longer.code is code


@given(st.text().filter(lambda text: text not in {str(code) for code in Code}))
def test_a_text_without_a_known_code_is_unknown(text: str) -> None:
    for reason in (recorded("why", text), recorded("why", None), recorded("why", ""), from_outside("why")):
        assert reason == "why" and reason.code is Code.UNKNOWN
    assert code_of(text) is Code.UNKNOWN
    assert code_in_json(text) == ("unknown" if text else None) and code_in_json(None) is None
    with pytest.raises(ValueError, match="is not a code"):
        Code(text)  # type: ignore[call-arg]


def test_a_reason_names_what_it_is_about_wherever_it_goes() -> None:
    reason = Code.DELETE_LIMIT_EXCEEDED(node="v1", allowed=1, copies=20, released=3)
    for one in (reason, pickle.loads(pickle.dumps(reason)), copy.deepcopy(reason), headed("on v1", reason)):
        assert (one.code, one.about) == (Code.DELETE_LIMIT_EXCEEDED, "v1")
    assert Code.SAME_PATH_AS_OTHER_FILE(acq="a", node="v2").about == "a, v2"
    assert (
        about(reason, "here") == "here, v1"
        and about("", "here") == about(Code.FILE_MISSING(), "here") == "here"
    )


def test_an_unknown_member_and_a_missing_value_are_errors() -> None:
    with pytest.raises(AttributeError, match="no member NONSENSE"):
        _ = Code.NONSENSE  # type: ignore[attr-defined]
    with pytest.raises(KeyError):
        Code.SOURCE_INACTIVE()


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (StorageError("it is gone"), Code.STORAGE_UNUSABLE),  # type: ignore[arg-type]
        (StorageError(Code.ROOT_UNREADABLE(root="/r", why="no")), Code.ROOT_UNREADABLE),
        (UnsafePath("../x"), Code.PATH_UNSAFE),  # type: ignore[arg-type]
        (LockTimeout("/r", "up", 3.0), Code.TREE_LOCK_TIMED_OUT),
        (CommandFailed("lfs", 1, "no"), Code.PROGRAM_FAILED),
        (CommandTimedOut("lfs", 3.0), Code.PROGRAM_TIMED_OUT),
        (TransferFailed(Blame.SOURCE, Code.SOURCE_CHANGED()), Code.SOURCE_CHANGED),
    ],
)
def test_an_error_gives_its_reason_on_either_side_of_a_pipe(error: StorageError, code: Code) -> None:
    for one in (error, pickle.loads(pickle.dumps(error))):
        assert one.reason == str(error) and one.reason.code is code


MUTANT = """
from alpenhorn.model.checks import CheckFile, CheckResult
from alpenhorn.model.tasks import AttemptFact, Verdict
from alpenhorn.plan.pulls import Choice, PullDecision
from alpenhorn.model.pulls import PullFact

def decide(fact: PullFact, file: CheckFile) -> tuple[PullDecision, CheckResult]:
    return PullDecision(fact, Choice.SKIP, {0}), CheckResult(file, Verdict.CORRUPT, error={1})
"""
MUTANT_ERRORS = """
from alpenhorn.coordinator.report import Report
from alpenhorn.errors import StorageError, UnsafePath
from alpenhorn.fs.removal import FileDiffers
from alpenhorn.reasons import Code

def report(why: str, report: Report) -> tuple[Exception, ...]:
    report.failures.add({0})
    report.warnings.lasting({0})
    return StorageError({0}), UnsafePath({0}), FileDiffers({0})
"""


def test_the_type_checker_finds_plain_prose(tmp_path: Path) -> None:
    """The type checker refuses a reason without a code."""
    lines = {}
    for name, values in {
        "right": ("''", "''"),
        "wrong": ('"some prose"', 'f"prose on {fact}"'),
    }.items():
        lines[name] = misfits(tmp_path / f"{name}.py", MUTANT.format(*values))
    assert lines == {"right": [], "wrong": ["3", '"error"']}


def misfits(path: Path, source: str) -> list[str]:
    """Return the arguments whose type mypy rejects."""
    path.write_text(source)
    argv = [sys.executable, "-m", "mypy", "--no-error-summary", str(path)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True)
    return re.findall(r"error: Argument (\S+) to", done.stdout)


def test_the_type_checker_finds_errors_and_notes_of_plain_prose(tmp_path: Path) -> None:
    assert misfits(tmp_path / "right.py", MUTANT_ERRORS.format('Code.OWN_OPEN(path="/r")')) == []
    assert misfits(tmp_path / "wrong.py", MUTANT_ERRORS.format("why")) == ["1"] * 5


def plain_findings(source: str) -> list[int]:
    """Return the lines that create findings of `doctor` with plain text, except passes."""
    return [
        call.lineno
        for call in ast.walk(ast.parse(source))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Name)
        and call.func.id == "Finding"
        and len(call.args) > 1
        and isinstance(call.args[1], ast.Constant | ast.JoinedStr | ast.BinOp)
        and ast.unparse(call.args[0]) != "Level.PASS"
    ]


def test_each_finding_of_doctor_that_is_not_a_pass_has_a_code() -> None:
    assert plain_findings("Finding(Level.WARN, f'{x} is wrong')\nFinding(Level.PASS, 'fine')") == [1]
    checks = [ROOT / "alpenhorn/index" / name for name in ("check.py", "durability.py")]
    files = [*(ROOT / "alpenhorn" / "doctor").glob("*.py"), *checks]
    assert len(files) > len(checks)
    found = {path.name: plain_findings(path.read_text(encoding="utf-8")) for path in files}
    assert {name: lines for name, lines in found.items() if lines} == {}


def test_the_program_gives_no_reason_without_a_code() -> None:
    """These codes are for text from extensions, and appear only where errors are defined."""
    general = re.compile(r"\bCode\.(STORAGE_UNUSABLE|PATH_UNSAFE)\b")
    users = {
        path.name for path in (ROOT / "alpenhorn").rglob("*.py") if general.search(path.read_text("utf-8"))
    }
    assert users == {"errors.py"}


def test_names_replace_the_placeholders_of_commands_only() -> None:
    why = Code.FILE_LENGTH_MISSING()
    named_ = named(why, "a/FILE b", "NODE")
    assert (
        named_.endswith("to compute it: alpenhorn file modify 'a/FILE b' --from-copy NODE")
        and named_.code is why.code
    )
    assert named(why) == why and named("no command for FILE", "a/b") == "no command for FILE"
    text = from_outside(
        "FILE on NODE; run: alpenhorn request show ID; or: alpenhorn file unpin FILE (of FILE)"
    )
    assert named(text, "a/b", "n", 7) == (
        "FILE on NODE; run: alpenhorn request show 7; or: alpenhorn file unpin a/b (of FILE)"
    )
    assert named(text, "a/b").count("ID") == 1
