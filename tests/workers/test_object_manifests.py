"""Manifests of nodes with objects: each is whole or not there, whatever fails."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from alpenhorn.errors import StorageError
from alpenhorn.fs import manifest
from alpenhorn.model.manifests import CompareFile, CompareJob, ManifestFile, ManifestJob, ManifestOutcome
from alpenhorn.model.nodes import MANIFEST, MARKER
from alpenhorn.reasons import Code, code_of
from alpenhorn.workers.objects.look import compare
from alpenhorn.workers.objects.manifest import write
from tests.fixtures.archive import stand_in, wait_for
from tests.io.nodes import Report
from tests.workers.object_store import CONTENT, Store

MD5 = "d41d8cd98f00b204e9800998ecf8427e"
TOKENS = ["a" * 32, "b" * 32]
MANY = 4000  # entries, so that an upload that is slowed down is interrupted

pytestmark = pytest.mark.ci


def job(
    store: Store, *paths: str, token: str = TOKENS[0], anew: bool = True, **changes: object
) -> ManifestJob:
    files = tuple(ManifestFile(path, 1, MD5, 1) for path in paths)
    plain = ManifestJob(store.fact, token, ("heading",), frozenset(), files, anew, first=True, last=True)
    return plain._replace(**changes)  # type: ignore[arg-type]


def written(store: Store, wanted: ManifestJob) -> ManifestOutcome:
    return write(wanted, store.node, "stage", Report(), None)


def paths(store: Store) -> list[str]:
    with store.at(MANIFEST).open("rb") as file:
        return [os.fsdecode(one.key) for one in manifest.entries(file)]


def token(store: Store) -> str:
    found = store.probed()
    assert not found.error
    return found.manifest


def left(store: Store) -> list[str]:
    """Return what is in the private directory of the root, and in that of the service for uploads."""
    there = store.root / ".alpenhorn"
    incoming = store.at(".alpenhorn/incoming")
    return [
        *(os.listdir(there) if there.exists() else ()),
        *(os.listdir(incoming) if incoming.exists() else ()),
    ]


def through(store: Store, script: str) -> None:
    """Call rclone by a script, in which `$*` is its command line."""
    bin = store.base / "bin"
    bin.mkdir(exist_ok=True)
    store.set(rclone=str(stand_in(bin, "through", f'{script}\nexec rclone "$@"\n')))


def test_a_manifest_is_stored_in_parts_and_continued(any_store: Store) -> None:
    assert token(any_store) == ""
    first = written(any_store, job(any_store, "a/1", "a/é ", last=False))
    assert first == ManifestOutcome(2, 2) and not any_store.at(MANIFEST).exists()
    last = job(any_store, "a/3", first=False, before=(2, 2), heading=())
    assert written(any_store, last) == ManifestOutcome(3, 3)
    assert (
        paths(any_store) == ["a/1", "a/é ", "a/3"] and token(any_store) == TOKENS[0] and not left(any_store)
    )
    forget = frozenset({"a/3", "a/never"})
    outcome = written(any_store, job(any_store, "a/4", token=TOKENS[1], anew=False, forget=forget))
    assert outcome == ManifestOutcome(3, 3, forgotten=1)
    assert (
        paths(any_store) == ["a/1", "a/é ", "a/4"] and token(any_store) == TOKENS[1] and not left(any_store)
    )


@pytest.mark.parametrize("content", [None, b"", manifest.heading(TOKENS[0], ())[:-1]])
def test_an_unusable_manifest_is_recognised(store: Store, content: bytes | None) -> None:
    """Also one whose first line has no end."""
    if content is not None:
        store.at(MANIFEST).parent.mkdir(parents=True, exist_ok=True)
        store.at(MANIFEST).write_bytes(content)
        store.service.restart()
    outcome = written(store, job(store, "a/1", anew=False))
    assert outcome.unusable and outcome.error and not left(store)
    if content is None:
        assert not store.at(MANIFEST).exists()
    else:
        assert store.at(MANIFEST).read_bytes() == content
        assert token(store) == "?"


def slow_upload(store: Store) -> tuple[ManifestJob, bytes]:
    """Store a manifest; return the job of one that is longer, and uploaded slowly, and what is there."""
    written(store, job(store, "a/1"))
    through(store, f'case "$*" in "copy {store.root}"*) set -- "$@" --bwlimit 100k --buffer-size 0;; esac')
    before = store.at(MANIFEST).read_bytes()
    return job(store, *(f"a/{number}" for number in range(MANY)), token=TOKENS[1]), before


def interrupted(
    wanted: ManifestJob, store: Store, interrupt: Callable[[], None]
) -> ManifestOutcome | StorageError:
    """Write while `interrupt` is called during the upload."""

    def act() -> None:
        wait_for(lambda: uploads(store.root), "the upload")
        interrupt()

    thread = threading.Thread(target=act)
    thread.start()
    try:
        return written(store, wanted)
    except StorageError as error:
        return error
    finally:
        thread.join()


def uploads(root: Path) -> list[psutil.Process]:
    """Return the programs that read the manifest to upload it."""
    found = []
    for child in psutil.Process().children():
        try:
            if any(one.path.startswith(str(root)) for one in child.open_files()):
                found.append(child)
        except psutil.Error:
            continue
    return found


def test_a_service_that_is_killed_during_the_upload_keeps_the_old_one(any_store: Store) -> None:
    wanted, before = slow_upload(any_store)
    outcome = interrupted(wanted, any_store, any_store.service.stop)
    any_store.service.start()
    assert isinstance(outcome, StorageError) and code_of(outcome.reason) is Code.REMOTE_UNUSABLE
    assert (
        any_store.at(MANIFEST).read_bytes() == before
        and token(any_store) == TOKENS[0]
        and not left(any_store)
    )
    any_store.set()
    assert written(any_store, wanted).error == "" and len(paths(any_store)) == MANY


def test_rclone_that_is_killed_during_the_upload_keeps_the_old_one(any_store: Store) -> None:
    wanted, before = slow_upload(any_store)

    def kill() -> None:
        for child in uploads(any_store.root):
            child.send_signal(signal.SIGKILL)

    outcome = interrupted(wanted, any_store, kill)
    assert isinstance(outcome, ManifestOutcome) and outcome.error and not outcome.unusable
    assert (
        any_store.at(MANIFEST).read_bytes() == before
        and token(any_store) == TOKENS[0]
        and not left(any_store)
    )


def test_a_run_that_is_asked_to_stop_during_the_upload_keeps_the_old_one(store: Store) -> None:
    wanted, before = slow_upload(store)
    report = Report()
    report.stopping = lambda: bool(uploads(store.root))  # type: ignore[method-assign]
    outcome = write(wanted, store.node, "stage", report, None)
    assert code_of(outcome.error) is Code.RUN_STOPPED
    assert store.at(MANIFEST).read_bytes() == before and not left(store)


def test_an_old_manifest_that_the_service_does_not_return_is_not_replaced(store: Store) -> None:
    written(store, job(store, "a/1"))
    line = f'{{"level": "error", "msg": "Failed to copy: 500", "object": "{MANIFEST}"}}'
    through(store, f"case \"$*\" in copy*/stage/old*) echo '{line}' >&2; exit 1;; esac")
    outcome = written(store, job(store, "a/2", anew=False, token=TOKENS[1]))
    assert code_of(outcome.error) is Code.NOT_FETCHED and not outcome.unusable
    assert paths(store) == ["a/1"] and token(store) == TOKENS[0] and not left(store)


def test_a_manifest_that_arrived_with_other_bytes_is_removed(store: Store) -> None:
    written(store, job(store, "a/1"))
    name = "manifest.md5"
    altered = (
        f'f=$(find {store.root}/.alpenhorn/stage -name {name}); tr 1 2 <"$f" >"$f.new"; mv "$f.new" "$f"'
    )
    through(store, f'case "$*" in "copy {store.root}"*) {altered};; esac')
    outcome = written(store, job(store, "a/1", token=TOKENS[1]))
    assert code_of(outcome.error) is Code.ARRIVED_MD5_WRONG
    assert token(store) == "" and not store.at(MANIFEST).exists() and not left(store)


def test_nothing_is_written_onto_the_storage_of_another_node(store: Store) -> None:
    store.at(MARKER).write_text("other\n")
    store.service.restart()
    with pytest.raises(StorageError):
        written(store, job(store, "a/1"))
    assert not store.at(MANIFEST).exists() and not left(store)


def test_objects_that_differ_from_their_state_at_the_manifest_are_found(store: Store) -> None:
    names = ("same", "rewritten", "later", "longer", "gone")
    store.stored(*(f"acq/{name}" for name in names))
    written(store, job(store))
    made = store.at(MANIFEST).stat().st_mtime_ns
    for name in ("rewritten", "later"):
        store.at(f"acq/{name}").write_bytes(CONTENT.swapcase())
        os.utime(store.at(f"acq/{name}"), ns=(made + 2 * 10**9,) * 2)
    store.at("acq/longer").write_bytes(CONTENT * 2)
    store.at("acq/gone").unlink()
    store.service.restart()
    files = tuple(
        CompareFile(number, number, f"acq/{name}", len(CONTENT), name == "later")
        for number, name in enumerate(names)
    )
    found = compare(CompareJob(store.fact, files), store.node, Report(), None)
    assert {one.file.path.removeprefix("acq/"): code_of(one.why) for one in found} == {
        "rewritten": Code.COPY_NEWER_THAN_MANIFEST,
        "longer": Code.COPY_LENGTH_WRONG,
        "gone": Code.FILE_MISSING,
    }
