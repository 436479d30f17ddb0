"""What import detectors and their callbacks know of the index and the node, of packages old and new."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.test_extensions import DETECT, put, registered
from tests.fixtures.archive import Archive
from tests.fixtures.packages import Package, install

pytestmark = pytest.mark.one_engine

FACTS = "alpenhorn.import_facts"

KNOWS = """
import json, os
from functools import partial

def facts(index):
    with open({log!r}, "a") as log:
        log.write(json.dumps(["facts", os.getpid()]) + "\\n")
    index.execute("UPDATE storagenode SET notes = 'written by facts'")
    return {{"kinds": index.values("SELECT name FROM storagegroup ORDER BY name")}}

def detect(path, node, index):
    acq = path.partition("/")[0]
    for wrong in ("other", "", path, acq + "x", acq[:1]):
        try:
            index.is_new_acq(wrong)
        except ValueError:
            continue
        return None
    return acq, partial(called, [index.facts, index.is_new_acq(acq), os.getpid()])

def called(known, imported, index, node):
    with open({log!r}, "a") as log:
        log.write(json.dumps([imported.path, *known, imported.new_acq, node.name, node.root, os.getpid()]) + "\\n")
"""


def environ_of(tmp_path: Path, source: str, facts: str = "facts", name: str = "it") -> dict[str, str]:
    package = Package("stranger", source, {DETECT: {"it": "detect"}, FACTS: {name: facts}})
    return {"PYTHONPATH": str(install(tmp_path, package))}


def lines(log: Path) -> list[Any]:
    return [json.loads(line) for line in log.read_text().splitlines()]


@pytest.mark.both_engines
def test_a_detector_knows_what_its_package_has_read_and_which_acquisitions_are_new(
    archive: Archive, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    environ = environ_of(tmp_path, KNOWS.format(log=str(log)))
    archive.node("field", auto_import=1)
    for number in range(3):
        put(archive, f"first/{number}")
    archive.synced(environ=environ)
    put(archive, "first/later")
    put(archive, "second/file")
    archive.synced(environ=environ)
    found = lines(log)
    # Once for each search, in the process of the callbacks, whatever it writes is undone.
    assert [one[0] for one in found].count("facts") == 2
    assert archive.one("SELECT notes FROM storagenode") is None
    by_path = {one[0]: one for one in found if one[0] != "facts"}
    assert len(by_path) == 5
    for path, (_, facts, is_new, worker, new_acq, node, root, pid) in by_path.items():
        assert facts == {"kinds": ["field"]} and isinstance(new_acq, bool)
        assert is_new is (path != "first/later")
        assert (node, root) == ("field", str(archive.root("field")))
        assert pid in {one[1] for one in found if one[0] == "facts"} and pid != worker
        assert new_acq <= is_new
    assert sum(one[4] for one in by_path.values()) == 4  # those whose import added the acquisition


OLD = """
from functools import partial

def detect{parameters}:
    {body}
    assert not more, more
    if path.startswith({name!r}):
        return {name!r}, partial(called, "a")

def called(letter, imported, index{callback}):
    index.execute("UPDATE archiveacq SET comment = ? WHERE name = ?", (letter + {value}, imported.acq))
"""
# By name of the acquisition: the parameters of the detector, its first line, and what is special of its callback.
OLD_FORMS = {
    "plain": ("(path, node)", "more = ()", "", "''"),
    "default": ("(path, node, more=())", "pass", ", node=''", "node"),
    "rest": ("(path, node, *more)", "pass", ", *more", "''.join(more)"),
    "both": ("(*both)", "path, node, *more = both", ", *, node=''", "node"),
    "named": ("(path, node, **more)", "pass", ", **more", "''.join(more)"),
}


def test_detectors_and_callbacks_of_two_arguments_go_on_working(
    sqlite_archive: Archive, tmp_path: Path
) -> None:
    archive = sqlite_archive
    packages = []
    for name, (parameters, body, callback, value) in OLD_FORMS.items():
        source = OLD.format(parameters=parameters, body=body, callback=callback, value=value, name=name)
        packages.append(Package(name, source, {DETECT: {name: "detect"}}))
    archive.node("field", auto_import=1)
    for name in OLD_FORMS:
        put(archive, f"{name}/file")
    archive.synced(environ={"PYTHONPATH": str(install(tmp_path, *packages))})
    assert registered(archive) == {(name, "file") for name in OLD_FORMS}
    assert archive.all("SELECT DISTINCT comment FROM archiveacq") == [("a",)]


WRONG = """
def detect(path, node, index):
    return path.partition("/")[0] if path.startswith(NAME) and index.facts == 5 else None

def raises(index): raise RuntimeError("no table of kinds")
def right(index): return 5
"""


def test_facts_that_cannot_be_read_leave_only_the_files_of_their_detector_out(
    sqlite_archive: Archive, tmp_path: Path
) -> None:
    archive = sqlite_archive
    archive.node("field", auto_import=1)
    archive.node("other")
    request = archive.request(archive.file("known/file", None, "field"), "field", "other")
    packages = [
        Package(f"of-{name}", f"NAME = {name!r}\n{WRONG}", {DETECT: {name: "detect"}, FACTS: {name: name}})
        for name in ("raises", "right")
    ]
    for name in ("raises", "right"):
        put(archive, f"{name}/file")
    environ = {"PYTHONPATH": str(install(tmp_path, *packages))}
    result = archive.sync(environ=environ)
    assert result.status == 1 and archive.state(request) == "done"
    assert registered(archive) == {("known", "file"), ("right", "file")}
    said = "the import detector raises of of-raises 0.1 (of_raises:detect): its facts could not be read from the index"
    assert said in result.err and "raises/file" in result.err


def test_plugins_lists_facts_and_detectors_that_cannot_be_called(
    sqlite_archive: Archive, tmp_path: Path
) -> None:
    source = f"{WRONG}\ndef four(a, b, c, d): pass\n"
    package = Package(
        "stranger",
        source,
        {DETECT: {"it": "detect", "four": "four"}, FACTS: {"it": "right", "lone": "right"}},
    )
    environ = {"PYTHONPATH": str(install(tmp_path, package))}
    found = sqlite_archive.run("plugins", "--json", environ=environ)
    said = {(one["point"], one["name"]): one["error"] for one in found.json if one["package"] == "stranger"}
    assert found.status == 1 and said == {
        (DETECT, "it"): None,
        (DETECT, "four"): "it requires 4 arguments; expected (path, node) or (path, node, index)",
        (FACTS, "it"): None,
        (FACTS, "lone"): "no import detector has this name, so it is not called",
    }
