from __future__ import annotations

import os
from pathlib import Path

from alpenhorn.extensions.registry import node_io
from alpenhorn.model.nodes import MARKER, InitJob, InitOutcome, NodeFact, ProbeJob, ProbeOutcome
from alpenhorn.workers.nodes import initialise, probe
from tests.io.nodes import fact, make, put


def probed(fact: NodeFact, tidy: bool = False) -> ProbeOutcome:
    return probe(ProbeJob(fact, tidy), node_io(fact))


def test_a_present_node_returns_its_free_space(tmp_path: Path) -> None:
    node = make(tmp_path / "root").node
    outcome = probed(node)
    assert (outcome.node_id, outcome.uninitialised, outcome.error) == (2, False, "")
    assert outcome.free_b


def test_a_root_without_a_marker_is_distinguished_from_another_nodes(tmp_path: Path) -> None:
    outcome = probed(fact(tmp_path))
    assert outcome.uninitialised
    assert "alpenhorn node init disk" in outcome.error
    (tmp_path / MARKER).write_text("other\n")
    outcome = probed(fact(tmp_path))
    assert not outcome.uninitialised
    assert "'other'" in outcome.error


def test_an_absent_root_is_neither_there_nor_to_be_initialised(tmp_path: Path) -> None:
    for node in (fact(tmp_path / "none"), fact(tmp_path)._replace(root=None)):
        outcome = probed(node)
        assert outcome.error
        assert not outcome.uninitialised
        assert outcome.free_b is None


def test_tidying_happens_on_request_only(tmp_path: Path) -> None:
    node = make(tmp_path / "root").node
    put(tmp_path / "root", ".alpenhorn/run-1-0/half")
    probed(node)
    assert (tmp_path / "root/.alpenhorn/run-1-0/half").exists()
    assert probed(node, tidy=True).error == ""
    assert os.listdir(tmp_path / "root/.alpenhorn") == []


def test_a_failure_to_tidy_is_reported_and_not_raised(tmp_path: Path) -> None:
    node = make(tmp_path / "root").node
    (tmp_path / "root/.alpenhorn").symlink_to(tmp_path)
    assert "is a symbolic link" in probed(node, tidy=True).error


def test_nothing_is_tidied_on_another_nodes_disk(tmp_path: Path) -> None:
    make(tmp_path / "root", "other")
    put(tmp_path / "root", ".alpenhorn/run-1-0/half")
    assert probed(fact(tmp_path / "root"), tidy=True).error
    assert (tmp_path / "root/.alpenhorn/run-1-0/half").exists()


def test_the_outcome_of_initialising_names_its_request(tmp_path: Path) -> None:
    node = fact(tmp_path)
    assert initialise(InitJob(node, 9), node_io(node)) == InitOutcome(9)
    assert probed(node).error == ""
    other = fact(tmp_path, "other")
    outcome = initialise(InitJob(other, 10), node_io(other))
    assert outcome.request_id == 10
    assert "already belongs to node 'disk'" in outcome.error
    gone = fact(tmp_path / "none")
    assert "does not exist" in initialise(InitJob(gone, 11), node_io(gone)).error
