"""Workers on a host that reads the objects of another host's node with the rclone that it has."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from alpenhorn.config import Transfer
from alpenhorn.errors import AlpenhornError
from alpenhorn.io.base import DirectoryNode
from alpenhorn.io.objects import SLOTS, witness_of
from alpenhorn.model.deletions import DeleteFile, DeleteJob, DeleteOutcome
from alpenhorn.model.nodes import MARKER, Identity
from alpenhorn.model.pulls import Method, PullFile, PullJob, PullResult
from alpenhorn.model.tasks import Blame, Verdict
from alpenhorn.reasons import Code, code_of
from alpenhorn.workers.delete import delete
from alpenhorn.workers.pull import pull_from
from tests.fixtures.archive import stand_in
from tests.fixtures.rclone import Service
from tests.io.nodes import Report, make, put
from tests.workers.object_store import CONTENT, MD5, Store

pytestmark = pytest.mark.ci

MEDIUM = Identity("a" * 32, "b" * 32, 1, "c" * 16)


class Elsewhere(Store):
    """The node `store` is on another host, with a root that does not exist here; the node `safe` is on this one."""

    def __init__(self, base: Path, service: Service) -> None:
        super().__init__(base, service)
        self.node.identify(MEDIUM, anew=True)
        self.stored("acq/file", "acq/other")
        shutil.rmtree(self.root)
        self.safe: DirectoryNode = make(base / "safe", "safe")

    def set(self, **settings: Any) -> None:
        super().set(**settings)
        self.elsewhere = self.fact._replace(host="there", root="/nonexistent", medium=MEDIUM.medium)

    def fetched(self, *paths: str) -> tuple[PullResult, ...]:
        """Pull to `safe`."""
        files = tuple(PullFile(number, number, path, len(CONTENT), MD5) for number, path in enumerate(paths))
        job = PullJob(self.elsewhere, self.safe.node, Method.OBJECTS, files)
        return pull_from(job, self.safe, "stage", Transfer(), Report(), None, set())

    def relied_on(self, *paths: str, silent: dict[str, AlpenhornError] | None = None) -> DeleteOutcome:
        """Delete from `safe`, where `store` is the only keeper."""
        for path in paths:
            put(Path(self.safe.root), path, CONTENT)
        files = tuple(
            DeleteFile(number, number, path, len(CONTENT), "Y", keepers=(self.fact.id,), md5sum=MD5)
            for number, path in enumerate(paths)
        )
        job = DeleteJob(self.safe.node, files, remote=(self.elsewhere,))
        return delete(job, self.safe, Report(), Transfer(("no-ssh",)), silent)

    def here(self, path: str) -> bool:
        return (Path(self.safe.root) / path).exists()


@pytest.fixture
def store(tmp_path: Path, webdav: Service) -> Elsewhere:
    return Elsewhere(tmp_path, webdav)


def test_objects_are_fetched_and_count_as_keepers(store: Elsewhere) -> None:
    assert [one.verdict for one in store.fetched("acq/file", "acq/other")] == [Verdict.PULLED] * 2
    outcome = store.relied_on("acq/file", "acq/other")
    assert [one.verdict for one in outcome.results] == [Verdict.DELETED] * 2


def no_such_remote(store: Elsewhere) -> str:
    empty = store.base / "empty.conf"
    empty.write_text("")
    store.set(config=str(empty))
    return "section in config file"


def no_program(store: Elsewhere) -> str:
    store.set(rclone="no-such-rclone")
    return "no-such-rclone"


def another_place(store: Elsewhere) -> str:
    store.set(remote=f"store:{store.place}/nowhere")
    return "has no object ALPENHORN_NODE"


def storage_of_another_node(store: Elsewhere) -> str:
    store.at(MARKER).write_text("other\n")
    store.at(witness_of("store")).rename(store.at(witness_of("other")))
    store.service.restart()
    return "is marked as the storage of node 'other'"


def another_medium(store: Elsewhere) -> str:
    """A storage of another index, with a node of the same name."""
    store.elsewhere = store.elsewhere._replace(medium="d" * 32)
    return "is not the medium of node store"


def no_identity(store: Elsewhere) -> str:
    for name in SLOTS:
        store.at(name).unlink()
    store.service.restart()
    return "is not the medium of node store"


FAULTS = [no_such_remote, no_program, another_place, another_medium, no_identity, storage_of_another_node]


def test_nothing_is_concluded_from_what_this_host_finds_in_place_of_the_node(store: Elsewhere) -> None:
    for change in FAULTS:
        said = change(store)
        for result in store.fetched("acq/file", "acq/absent"):
            assert (result.verdict, result.blame, result.unmounted) == (Verdict.FAILED, Blame.NETWORK, True)
            assert code_of(result.error) is Code.OBJECTS_NOT_READ_HERE and said in result.error
        silent: dict[str, AlpenhornError] = {}
        outcome = store.relied_on("acq/file", "acq/other", silent=silent)
        for kept in outcome.results:
            assert (kept.verdict, kept.wrong) == (Verdict.KEPT, ())
            assert "the objects of node store cannot be read on this host" in kept.error
        assert store.here("acq/file") and store.here("acq/other") and len(silent) == 1
        shutil.rmtree(Path(store.safe.root) / "acq")
        store.set()


def test_an_altered_or_missing_object_is_blamed_and_allows_no_deletion(store: Elsewhere) -> None:
    store.at("acq/file").write_bytes(b"altered")
    store.at("acq/other").write_bytes(CONTENT * 2)
    store.service.restart()
    results = store.fetched("acq/file", "acq/other", "acq/absent")
    assert [(one.blame, one.unmounted) for one in results] == [(Blame.SOURCE, False)] * 3
    outcome = store.relied_on("acq/other", "acq/absent")
    assert [one.verdict for one in outcome.results] == [Verdict.KEPT] * 2
    assert [[node_id for node_id, _ in one.wrong] for one in outcome.results] == [[store.fact.id]] * 2


def test_a_service_that_dies_during_the_job_is_not_asked_for_each_file(
    store: Elsewhere, tmp_path: Path
) -> None:
    """What was fetched before is kept, and the rest waits."""
    calls = tmp_path / "calls"
    bin = tmp_path / "bin"
    bin.mkdir()
    script = f"echo $1 >> {calls}\n[ $1 != lsjson ] || [ $(grep -c lsjson {calls}) -lt 2 ] || exit 1\n"
    script += 'exec rclone "$@"\n'
    store.set(rclone=str(stand_in(bin, "dying", script)))
    many = [f"acq/{number}" for number in range(store.node.batch_files - 1)]
    results = store.fetched("acq/file", *many, "acq/other", "acq/absent")
    by_path = {one.file.path: one for one in results}
    assert by_path["acq/file"].verdict is Verdict.PULLED
    assert all(by_path[path].blame is Blame.SOURCE for path in many)
    assert by_path["acq/other"].unmounted and by_path["acq/absent"].unmounted
    calls.write_text("lsjson\n")
    outcome = store.relied_on("acq/other", "acq/file")
    assert [one.verdict for one in outcome.results] == [Verdict.KEPT] * 2
    assert calls.read_text().count("lsjson") == 2
