"""The codes of reasons: one enumeration, documented, used, and kept wherever reasons go."""

from __future__ import annotations

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
from alpenhorn.model.tasks import Blame
from alpenhorn.reasons import Code, Reason, code_in_json, code_of, from_outside, recorded, within
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
    assert f"({LIST.relative_to(ROOT)})" in (ROOT / "README.md").read_text(encoding="utf-8")


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


def test_codes_are_written_alike_and_fit_into_the_index() -> None:
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
def test_what_has_no_code_that_is_known_is_unknown(text: str) -> None:
    for reason in (recorded("why", text), recorded("why", None), recorded("why", ""), from_outside("why")):
        assert reason == "why" and reason.code is Code.UNKNOWN
    assert code_of(text) is Code.UNKNOWN
    assert code_in_json(text) == ("unknown" if text else None) and code_in_json(None) is None
    with pytest.raises(ValueError, match="is not a code"):
        Code(text)  # type: ignore[call-arg]


def test_a_member_that_is_not_there_and_a_value_that_is_missing_are_errors() -> None:
    with pytest.raises(AttributeError, match="no member NONSENSE"):
        _ = Code.NONSENSE  # type: ignore[attr-defined]
    with pytest.raises(KeyError):
        Code.SOURCE_INACTIVE()


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (StorageError("it is gone"), Code.STORAGE_UNUSABLE),
        (StorageError(Code.ROOT_UNREADABLE(root="/r", why="no")), Code.ROOT_UNREADABLE),
        (UnsafePath("../x"), Code.PATH_UNSAFE),
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


def test_the_type_checker_finds_plain_prose(tmp_path: Path) -> None:
    """A reason without a code cannot be given where reasons are expected."""
    lines = {}
    for name, values in {
        "right": ("''", "''"),
        "wrong": ('"some prose"', 'f"prose on {fact}"'),
    }.items():
        (tmp_path / f"{name}.py").write_text(MUTANT.format(*values))
        argv = [sys.executable, "-m", "mypy", "--no-error-summary", str(tmp_path / f"{name}.py")]
        done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True)
        lines[name] = re.findall(r"error: Argument (\S+) to", done.stdout)
    assert lines == {"right": [], "wrong": ["3", '"error"']}
