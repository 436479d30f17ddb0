"""Facts that packages read from the index for their detectors, with packages on the path of this process."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest

from alpenhorn.coordinator.detector_facts import detector_facts
from alpenhorn.extensions import points
from alpenhorn.index.connection import Index
from alpenhorn.scan.imports import existing_acqs
from tests.fixtures.packages import Package, install

SOURCE = """
def raises(index): raise RuntimeError("no table of kinds")
def exits(index): raise SystemExit(3)
def unpicklable(index): return lambda: 5
def wrong(index): index.execute("SELECT nonsense FROM nowhere")
def right(index): return index.values("SELECT name FROM storagehost")
def writes(index): index.execute("INSERT INTO storagehost (name) VALUES ('new')"); return right(index)
def begins(index): index.db.atomic().__enter__(); return writes(index)
def loses(index): index.execute("SELECT nonsense" if index.dialect.in_a_file else "KILL CONNECTION_ID()")
TEXT = "a text"
"""
ERRORS = {
    "raises": "its facts could not be read from the index: RuntimeError('no table of kinds')",
    "exits": "SystemExit(3)",
    "unpicklable": "pickle",
    "wrong": "nowhere",
    "loses": "its facts could not be read",
    "missing": "it cannot be loaded",
    "TEXT": "it is str, and cannot be called",
}


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    names = (*ERRORS, "right", "writes", "begins")
    package = Package("reads_facts", SOURCE, {points.IMPORT_FACTS: {name: name for name in names}})
    monkeypatch.syspath_prepend(str(install(tmp_path, package)))
    points.offered.cache_clear()
    yield
    points.offered.cache_clear()


def test_each_package_reads_facts_and_keeps_nothing_that_it_writes(index: Index, installed: None) -> None:
    index.execute("INSERT INTO storagehost (name) VALUES ('here')")
    found = {one.detector: one for one in detector_facts(index)}
    for name, why in ERRORS.items():
        assert why in found.pop(name).error, name
    assert not any(one.error for one in found.values())
    assert {name: pickle.loads(one.value) for name, one in found.items()} == {
        "right": ["here"],
        "writes": ["here", "new"],
        "begins": ["here", "new"],
    }
    assert index.values("SELECT name FROM storagehost") == ["here"] and not index.db.in_transaction()


def test_acquisitions_exist_by_their_exact_names(index: Index) -> None:
    for name in ("acq", "b/c", "\u00fc"):
        index.execute("INSERT INTO archiveacq (name) VALUES (?)", (name,))
    asked = [
        "acq",
        "ACQ",
        "acq ",
        "b",
        "b/c",
        "\u00fc",
        "u",
        "\udce9",
        *(f"none{number}" for number in range(2000)),
    ]
    assert existing_acqs(index, asked) == {"acq", "b/c", "\u00fc"}
    assert existing_acqs(index, []) == frozenset()
