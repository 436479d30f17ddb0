"""How workers treat objects when services fail: nothing is concluded that was not seen, and the next job continues."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import threading
from pathlib import Path
from typing import Any

import psutil
import pytest

from alpenhorn.config import Transfer
from alpenhorn.errors import StorageError
from alpenhorn.extensions.registry import node_io
from alpenhorn.io.objects import SLOTS, ObjectNode, witness_of
from alpenhorn.model.deletions import DeleteFile, DeleteJob
from alpenhorn.model.nodes import MARKER, Identity, InitJob
from alpenhorn.model.pulls import Method, PullFile, PullJob
from alpenhorn.model.tasks import Blame, Verdict
from alpenhorn.reasons import Code, code_of
from alpenhorn.workers.nodes import initialise
from alpenhorn.workers.objects.batches import GRACE_SECONDS
from alpenhorn.workers.objects.delete import delete
from alpenhorn.workers.objects.pull import pull_from
from alpenhorn.workers.pull import pull
from alpenhorn.workers.pull import pull_from as pull_from_any
from tests.fixtures.archive import stand_in, wait_for
from tests.fixtures.rclone import PASSWORD, serving
from tests.io.nodes import Report, make, put
from tests.workers.object_store import CONTENT, MD5, Store

pytestmark = pytest.mark.ci


def test_a_file_is_stored_whole_and_nothing_is_left_beside_it(store: Store) -> None:
    store.stored("acq/file", "acq/-x", "acq/sub/é ; $(x)", "acq/ # x ", "#acq/*")
    assert store.at("acq/sub/é ; $(x)").read_bytes() == CONTENT
    assert store.checked("acq/file", "acq/-x", "acq/other") == [Verdict.GOOD, Verdict.GOOD, Verdict.MISSING]
    assert not [*store.at(".alpenhorn/incoming").glob("*")]


@pytest.mark.parametrize("kind", ["s3", "sftp"])
def test_other_services_do_the_same(tmp_path: Path, kind: str) -> None:
    with serving(tmp_path / "service", kind) as service:
        store = Store(tmp_path, service)
        store.stored("acq/file", "acq/-x é")
        store.at("acq/file").write_bytes(b"altered")
        identity = Identity("a" * 32, "b" * 32, 1, "c" * 16)
        store.node.identify(identity, anew=True)
        store.node.identify(identity._replace(generation=2), anew=False)
        service.restart()
        assert store.probed().identity == identity._replace(generation=2)
        assert store.checked("acq/file", "acq/-x é", "no") == [Verdict.CORRUPT, Verdict.GOOD, Verdict.MISSING]
        assert [one.verdict for one in store.pulled("acq/file", "acq/-x é")] == [Verdict.OCCUPIED] * 2
        assert [one.verdict for one in store.pulled("acq/file", replace=True)] == [Verdict.PULLED]
        store.set(verify="read")
        assert store.checked("acq/file") == [Verdict.GOOD]
        assert [one.verdict for one in store.deleted("acq/file", "no").results] == [
            Verdict.MISSING,
            Verdict.DELETED,
        ]


def test_names_that_cannot_be_passed_unchanged_are_refused(store: Store) -> None:
    paths = ("acq/new\nline", "acq/tab\t", "acq/\udcff", "../x", ".alpenhorn/x", MARKER)
    results = store.pulled(*paths)
    assert [(one.verdict, one.blame) for one in results] == [(Verdict.FAILED, Blame.UNKNOWN)] * len(paths)
    assert store.checked(*paths) == [Verdict.UNREADABLE] * len(paths)
    assert [one.verdict for one in store.deleted(*paths).results] == [Verdict.FAILED] * len(paths)


def test_a_corrupt_source_is_never_stored(store: Store) -> None:
    put(Path(store.disk.root), "acq/file", b"CONTENT")
    results = store.pulled("acq/file", "acq/absent")
    assert [one.blame for one in results] == [Blame.SOURCE, Blame.SOURCE]
    assert not store.at("acq/file").exists()


def test_a_source_that_is_not_mounted_is_not_to_blame(store: Store) -> None:
    os.unlink(Path(store.disk.root) / MARKER)
    (result,) = store.pulled("acq/file")
    assert result.blame is Blame.UNKNOWN


def test_what_was_found_is_not_replaced(store: Store) -> None:
    content = b"altered"
    store.stored("acq/first")
    put(Path(store.disk.root), "acq/file", CONTENT)
    store.at("acq/file").write_bytes(content)
    store.service.restart()
    assert [one.verdict for one in store.pulled("acq/file")] == [Verdict.OCCUPIED]
    assert store.at("acq/file").read_bytes() == content
    assert store.checked("acq/file") == [Verdict.CORRUPT]
    # It was a good copy once, and is older than the last look at it.
    assert [one.verdict for one in store.pulled("acq/file", replace=True)] == [Verdict.PULLED]
    assert store.at("acq/file").read_bytes() == CONTENT


def test_what_its_owner_wrote_is_not_replaced(store: Store) -> None:
    store.stored("acq/file")
    (occupied,) = store.pulled("acq/file", replace=True, since=0.0)
    (failed,) = store.pulled("acq/file", replace=True, since=0.0, aside=True)
    assert (occupied.verdict, failed.verdict) == (Verdict.OCCUPIED, Verdict.FAILED)


def storage_of_another_node(store: Store) -> None:
    """The name of the other node is as long as that of this one, so that the markers look alike."""
    store.at(MARKER).write_text("other\n")
    store.at(witness_of("store")).rename(store.at(witness_of("other")))


def no_marker(store: Store) -> None:
    store.at(MARKER).unlink()
    store.at(witness_of("store")).unlink()


def another_place(store: Store) -> None:
    store.set(remote="store:bucket/nowhere")


def other_root(store: Store) -> None:
    (store.root / MARKER).write_text("other\n")


WRONG = [storage_of_another_node, no_marker, another_place]


@pytest.mark.parametrize("change", WRONG)
def test_nothing_is_concluded_about_another_storage(store: Store, change: Any) -> None:
    store.stored("acq/file")
    change(store)
    store.service.restart()
    assert code_of(store.probed().error) in (Code.REMOTE_NOT_MARKED, Code.REMOTE_OF_OTHER_NODE)
    with pytest.raises(StorageError):
        store.checked("acq/file", "acq/absent")
    outcome = store.deleted("acq/file", "acq/absent")
    assert outcome.error and not outcome.results
    assert store.at("acq/file").exists() or change is another_place
    assert [one.blame for one in store.pulled("acq/file")] == [Blame.DESTINATION]
    into = make(store.base / "back", "back")
    job = PullJob(store.fact, into.node, Method.OBJECTS, (PullFile(1, 1, "acq/file", len(CONTENT), MD5),))
    with into.stage("s"):
        pass
    (result,) = pull(job, into, "s", Transfer(), Report(), store.node)
    assert result.blame is Blame.UNKNOWN


def test_a_root_of_another_node_is_noticed(store: Store) -> None:
    other_root(store)
    assert store.probed().owner == "other"


def test_an_identity_that_was_cut_off_leaves_the_one_before(store: Store) -> None:
    first = Identity("a" * 32, "b" * 32, 1, "c" * 16)
    store.node.identify(first, anew=True)
    store.node.identify(first._replace(generation=2), anew=False)
    assert store.probed().identity == first._replace(generation=2)
    at = store.at(SLOTS[1])
    at.write_bytes(at.read_bytes()[:100])
    store.service.restart()
    assert store.probed().identity == first
    store.node.identify(first._replace(generation=3), anew=False)
    assert store.probed().identity == first._replace(generation=3)
    with pytest.raises(StorageError):
        store.node.identify(first._replace(medium="d" * 32), anew=False)


def test_a_service_that_is_killed_during_a_delivery_leaves_no_part(store: Store) -> None:
    content = os.urandom(2**20)
    at = Path(store.disk.root) / "acq/file"
    at.parent.mkdir()
    at.write_bytes(content)
    file = PullFile(1, 1, "acq/file", len(content), hashlib.md5(content).hexdigest())
    job = PullJob(store.disk.node, store.fact, Method.OBJECTS, (file,), rate=200_000)

    def interrupt() -> None:
        wait_for(lambda: store.service.arriving("file", store.place), "a part on the service")
        store.service.stop()

    breaking = threading.Thread(target=interrupt)
    breaking.start()
    (result,) = pull_from(job, store.node, "s", Transfer(), Report(), None, set())
    breaking.join()
    assert result.verdict is Verdict.FAILED and not store.at("acq/file").exists()
    store.service.start()
    assert not store.probed().error and not store.at(".alpenhorn/incoming").exists()
    (result,) = pull_from(job._replace(rate=0), store.node, "s", Transfer(), Report(), None, set())
    assert result.verdict is Verdict.PULLED and store.at("acq/file").read_bytes() == content


def test_rclone_that_is_killed_leaves_no_part(store: Store) -> None:
    content = os.urandom(2**20)
    at = Path(store.disk.root) / "acq/file"
    at.parent.mkdir()
    at.write_bytes(content)
    file = PullFile(1, 1, "acq/file", len(content), hashlib.md5(content).hexdigest())
    job = PullJob(store.disk.node, store.fact, Method.OBJECTS, (file,), rate=200_000)

    def interrupt() -> None:
        wait_for(lambda: store.service.arriving("file", store.place), "a part on the service")
        for child in psutil.Process().children():
            if child.name() == "rclone" and "copy" in child.cmdline():
                child.send_signal(signal.SIGKILL)

    killing = threading.Thread(target=interrupt)
    killing.start()
    (result,) = pull_from(job, store.node, "s", Transfer(), Report(), None, set())
    killing.join()
    assert result.verdict is Verdict.FAILED and not store.at("acq/file").exists()


def test_a_run_that_stops_records_nothing_of_what_it_leaves(store: Store) -> None:
    put(Path(store.disk.root), "acq/file", CONTENT)
    report = Report()
    report.stopping = lambda: True  # type: ignore[method-assign]
    assert store.pulled("acq/file", report=report) == ()
    assert not store.at("acq/file").exists()


def test_a_wrong_password_is_reported_and_shown_nowhere(store: Store) -> None:
    store.stored("acq/file")
    store.service.configure("another-password")
    try:
        found = store.probed()
        outcome = store.deleted("acq/file")
    finally:
        store.service.configure()
    assert code_of(found.error) is Code.REMOTE_UNUSABLE and not found.uninitialised
    assert outcome.error and store.at("acq/file").exists()
    for text in (found.error, outcome.error):
        assert PASSWORD not in text and "another-password" not in text


def test_a_missing_program_is_reported(store: Store) -> None:
    store.set(rclone="no-such-rclone")
    found = store.probed()
    assert code_of(found.error) is Code.PROGRAM_MISSING and not found.uninitialised


def test_a_full_service_takes_no_more(store: Store, tmp_path: Path) -> None:
    """A stand-in fails as rclone does when the disk of a service is full."""
    put(Path(store.disk.root), "acq/file", CONTENT)
    line = json.dumps(
        {"level": "error", "msg": "Failed to copy: no space left on device", "object": "acq/file"}
    )
    bin = tmp_path / "bin"
    bin.mkdir()
    script = f"[ $2 = {store.disk.root} ] || exec rclone \"$@\"\necho '{line}' >&2\nexit 1\n"
    full = stand_in(bin, "full", script)
    store.set(rclone=str(full))
    (result,) = store.pulled("acq/file")
    assert (result.blame, code_of(result.error)) == (Blame.DESTINATION, Code.REMOTE_FULL)


def test_objects_are_removed_only_as_they_were_known(store: Store) -> None:
    store.stored("acq/file", "acq/longer", "acq/changed")
    store.at("acq/longer").write_bytes(CONTENT * 2)
    store.service.restart()
    verdicts = [one.verdict for one in store.deleted("acq/file", "acq/longer", "acq/absent").results]
    assert sorted(verdicts) == [Verdict.CORRUPT, Verdict.DELETED, Verdict.MISSING]
    (kept,) = store.deleted("acq/changed", since=0.0).results
    assert kept.verdict is Verdict.FAILED and kept.file.has_file == "M"
    assert store.at("acq/longer").exists() and store.at("acq/changed").exists()


def test_objects_stay_unless_enough_keepers_look_right(store: Store) -> None:
    store.stored("acq/file", "acq/other")
    (Path(store.disk.root) / "acq/other").unlink()
    job = DeleteJob(
        store.fact,
        tuple(
            DeleteFile(number, number, path, len(CONTENT), "Y", keepers=(store.disk.node.id,))
            for number, path in enumerate(("acq/file", "acq/other"))
        ),
        keepers=(store.disk.node,),
    )
    outcome = delete(job, store.node, Report(), Transfer(), {}, None)
    assert {one.file.path: one.verdict for one in outcome.results} == {
        "acq/file": Verdict.DELETED,
        "acq/other": Verdict.KEPT,
    }
    assert not store.at("acq/file").exists() and store.at("acq/other").exists()


def test_claims_that_are_too_old_remove_nothing(store: Store) -> None:
    store.stored("acq/file")
    job = DeleteJob(store.fact, (DeleteFile(1, 1, "acq/file", len(CONTENT), "Y"),), expires=0.0)
    outcome = delete(job, store.node, Report(), Transfer(), {}, None)
    assert outcome.expired and not outcome.results and store.at("acq/file").exists()


def test_a_renamed_node_gets_its_new_name(store: Store) -> None:
    store.stored("acq/file")
    old = store.node.witness
    store.fact = store.fact._replace(name="renamed")
    made = node_io(store.fact)
    assert isinstance(made, ObjectNode)
    store.node = made
    assert store.probed().owner == "store"
    assert initialise(InitJob(store.fact, 1), store.node).error
    assert not initialise(InitJob(store.fact, 1, "store"), store.node).error
    assert store.checked("acq/file") == [Verdict.GOOD] and not store.at(old).exists()


def test_a_root_that_was_lost_is_replaced_by_an_empty_one(store: Store) -> None:
    store.stored("acq/file")
    identity = Identity("a" * 32, "b" * 32, 1, "c" * 16)
    store.node.identify(identity, anew=True)
    (store.root / MARKER).unlink()
    found = store.probed()
    assert found.uninitialised and code_of(found.error) is Code.ROOT_NOT_MARKED
    assert not initialise(InitJob(store.fact, 1), store.node).error
    assert store.probed().identity == identity and store.checked("acq/file") == [Verdict.GOOD]


def test_a_service_that_hangs_is_not_blamed_on_the_destination(store: Store, tmp_path: Path) -> None:
    store.stored("acq/file")
    bin = tmp_path / "bin"
    bin.mkdir()
    store.set(rclone=str(stand_in(bin, "hangs", '[ $1 = copy ] && exec sleep 60\nexec rclone "$@"\n')))
    into = make(store.base / "back", "back")
    job = PullJob(store.fact, into.node, Method.OBJECTS, (PullFile(1, 1, "acq/file", len(CONTENT), MD5),))
    (result,) = pull_from_any(job, into, "s", Transfer(), Report(), GRACE_SECONDS, set())
    assert (result.verdict, result.blame) == (Verdict.FAILED, Blame.UNKNOWN)
