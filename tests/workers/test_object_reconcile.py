"""Objects compared with the index in both directions."""

from __future__ import annotations

import os
import time
from typing import Any

import pytest

from alpenhorn.errors import StorageError
from alpenhorn.model.nodes import MARKER
from alpenhorn.model.reconcile import (
    BACK,
    DARK,
    DIFFERING,
    KINDS,
    MISSING,
    OTHER,
    UNREAD,
    KnownCopy,
    ReconcileJob,
    ReconcileOutcome,
    TreePart,
)
from alpenhorn.workers.objects.reconcile import MOST_LISTS, reconcile
from alpenhorn.workers.tree_part import MOST_ENTRIES
from tests.fixtures.archive import stand_in
from tests.io.nodes import Report
from tests.workers.object_store import Store
from tests.workers.test_objects import storage_of_another_node

SIZE = 7

pytestmark = pytest.mark.ci


def put(store: Store, *paths: str, size_b: int = SIZE) -> None:
    for path in paths:
        store.at(path).parent.mkdir(parents=True, exist_ok=True)
        store.at(path).write_bytes(bytes(size_b))
    store.service.restart()


def copies(*names: str, has: str = "Y") -> tuple[KnownCopy, ...]:
    return tuple((1, name, SIZE, number, has, None) for number, name in enumerate(names))


def compared(store: Store, *parts: TreePart, min_age: float = 0.0) -> ReconcileOutcome:
    return reconcile(ReconcileJob(store.fact, parts, min_age), store.node, Report(), None)


def found(outcome: ReconcileOutcome) -> dict[str, list[str]]:
    """Return the paths by kind, without empty ones."""
    paths = {kind: sorted(one.path for one in outcome.found if one.kind == kind) for kind in KINDS}
    return {kind: some for kind, some in paths.items() if some}


def through(store: Store, script: str, **settings: Any) -> None:
    """Call rclone by a script, in which `$*` is its command line."""
    program = stand_in(store.base / "bin", "through", f'{script}\nexec rclone "$@"\n')
    store.set(rclone=str(program), **settings)


def test_objects_are_compared_in_both_directions(any_store: Store) -> None:
    store = any_store
    put(store, "acq/good", "acq/sub/gone-and-back", "acq/é %[x]*", "acq/-d/dark", "top", "new/acq/file")
    put(store, "acq/short", "acq/gone-and-other", size_b=2)
    put(store, f"other/{MARKER}", "other/theirs", "other/.alpenhorn/x", "new/at/ALPENHORN_NODES")
    known = (
        *copies("good", "short", "absent"),
        *copies("sub/gone-and-back", "gone-and-other", "never", has="N"),
        *copies("é %[x]*", has="X"),
    )
    outcome = compared(store, TreePart("acq", known), TreePart("", excluded=frozenset({"acq"})))
    assert found(outcome) == {
        MISSING: ["acq/absent"],
        DIFFERING: ["acq/short"],
        BACK: ["acq/sub/gone-and-back"],
        DARK: ["acq/-d/dark", "acq/gone-and-other", "new/acq/file", "new/at/ALPENHORN_NODES", "top"],
        OTHER: ["other"],
    }
    assert (outcome.looked, outcome.remaining, outcome.stopped) == (3, (), False)
    dark = next(one for one in outcome.found if one.path == "top")
    assert (dark.what, dark.size_b, dark.why) == ("object", SIZE, "") and dark.mtime_ns


def test_young_unknown_objects_are_only_counted(any_store: Store) -> None:
    put(any_store, "acq/new", "acq/known")
    part = TreePart("acq", copies("known"))
    outcome = compared(any_store, part, min_age=3600)
    assert (found(outcome), outcome.young, outcome.looked) == ({}, 1, 1)
    outcome = compared(any_store, part)
    assert (found(outcome), outcome.young) == ({DARK: ["acq/new"]}, 0)


def test_a_time_in_the_future_hides_nothing(store: Store) -> None:
    put(store, "acq/new")
    later = time.time() + 10**6
    os.utime(store.at("acq/new"), (later, later))
    store.service.restart()
    assert found(compared(store, TreePart("acq"), min_age=3600)) == {DARK: ["acq/new"]}


def test_an_object_between_two_parts_is_found_once(store: Store) -> None:
    """The parts are pages of an acquisition, with another one in it."""
    put(store, "acq/a", "acq/d/1", "acq/d/5", "acq/d/9", "acq/d/x/3", "acq/in/other", "acq/z", "acq/d-")
    apart = frozenset({"acq/in"})
    parts = (
        TreePart("acq", copies("d/1"), apart, None, "acq/d/5"),
        TreePart("acq", copies("d/9"), apart, "acq/d/5", None),
        TreePart("acq/in", copies("other")),
        TreePart("", excluded=frozenset({"acq"})),
    )
    outcome = compared(store, *parts)
    assert found(outcome) == {DARK: ["acq/a", "acq/d-", "acq/d/5", "acq/d/x/3", "acq/z"]}
    assert outcome.looked == 3


def test_an_acquisition_that_does_not_exist_is_missing(any_store: Store) -> None:
    outcome = compared(any_store, TreePart("none", copies("a", "b")), TreePart("empty"))
    assert found(outcome) == {MISSING: ["none/a", "none/b"]} and outcome.looked == 2


def test_names_that_no_object_can_have_are_reported_and_do_not_stop_the_comparison(store: Store) -> None:
    put(store, "acq/good", "acq/new\nline", "acq/tab\tdir/x", "acq/tab\tdir/y/z")
    part = TreePart("acq", copies("good", "bad\nname"))
    outcome = compared(
        store, part, TreePart("bad\nacq", copies("x")), TreePart("bad\nempty", copies("x", has="N"))
    )
    assert outcome.looked == 3
    paths = found(outcome)
    assert paths[UNREAD] == ["acq/bad\nname", "bad\nacq/x"]
    assert len(paths[DARK]) == 3  # as the service names them


def test_a_long_list_is_left_to_several_jobs(store: Store) -> None:
    """A stand-in names more objects than a job takes at once."""
    put(store, "acq/top", "acq/known/file", "acq/known/dark", "acq/a/1", "acq/b/2")
    line = '{"Path":"x","Size":1,"ModTime":"2020-01-01T00:00:00Z","IsDir":false},'
    endless = f"echo [; yes '{line}' | head -n {MOST_ENTRIES + 1}; echo ]; exit 0"
    through(store, f'case "$*" in lsjson*/acq/\\ *--recursive*--files-only*) {endless};; esac')
    outcome = compared(store, TreePart("acq", copies("known/file")))
    assert found(outcome) == {DARK: ["acq/a/1", "acq/b/2", "acq/known/dark", "acq/top"]}
    assert outcome.looked == 1


def test_a_job_takes_only_so_many_lists(store: Store) -> None:
    """A stand-in returns empty lists without asking the service."""
    through(store, '[ $1 = lsjson ] && [ "${2%acq*}" != "$2" ] && { echo [; echo ]; exit 0; }')
    parts = tuple(TreePart(f"acq{number}") for number in range(MOST_LISTS + 5))
    outcome = compared(store, *parts)
    assert outcome.remaining == parts[MOST_LISTS:] and not outcome.found
    assert compared(store, *outcome.remaining) == ReconcileOutcome()


def test_a_directory_that_cannot_be_listed_is_reported_and_its_copies_are_looked_at(store: Store) -> None:
    put(store, "acq/good", "acq/closed/copy", "acq/closed/dark", "acq/dark")
    failure = '{"level": "error", "msg": "error listing: permission denied"}'
    closed = f"echo '{failure}' >&2; exit 1"
    through(store, f'case "$*" in lsjson*/acq/closed/\\ *|lsjson*/acq/\\ *--files-only*) {closed};; esac')
    outcome = compared(store, TreePart("acq", copies("good", "closed/copy", "closed/none")))
    assert found(outcome) == {UNREAD: ["acq/closed"], DARK: ["acq/dark"], MISSING: ["acq/closed/none"]}
    assert outcome.looked == 3
    unread = next(one for one in outcome.found if one.kind == UNREAD)
    assert "permission denied" in unread.why and unread.copies == 0


def test_nothing_is_concluded_about_another_storage(store: Store) -> None:
    put(store, "acq/good")
    storage_of_another_node(store)
    store.service.restart()
    with pytest.raises(StorageError):
        compared(store, TreePart("acq", copies("good", "absent")))


def test_a_storage_that_is_exchanged_during_the_comparison_is_noticed(store: Store) -> None:
    """Its objects have the same names, so that its lists look right."""
    put(store, "acq/good")
    marker = store.at(MARKER)
    through(store, f"[ $1 = lsjson ] && echo other >{marker}")
    with pytest.raises(StorageError):
        compared(store, TreePart("acq", copies("good")))


def test_a_service_that_stops_makes_nothing_missing(store: Store) -> None:
    put(store, "acq/good")
    through(store, f"[ $1 = lsjson ] && {{ kill -9 {store.service.process.pid}; sleep 0.2; }}")  # type: ignore[union-attr]
    with pytest.raises(StorageError):
        compared(store, TreePart("acq", copies("good", "absent")))
    store.service.restart()


def test_a_run_that_is_asked_to_stop_says_so(store: Store) -> None:
    report = Report()
    report.stopping = lambda: True  # type: ignore[method-assign]
    job = ReconcileJob(store.fact, (TreePart("acq", copies("absent")),), 0.0)
    outcome = reconcile(job, store.node, report, None)
    assert outcome.stopped and not outcome.found and not outcome.looked
