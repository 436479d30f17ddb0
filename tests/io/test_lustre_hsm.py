from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from alpenhorn.errors import StorageError
from alpenhorn.extensions.registry import check_group, group_io, node_io, remote_io
from alpenhorn.io.base import Refusal
from alpenhorn.io.lustre_hsm import LustreHSMNode
from alpenhorn.model.nodes import MARKER, GroupFact, NodeFact
from alpenhorn.model.tape import Location, TapeState
from tests.fixtures.archive import stand_in
from tests.fixtures.lfs import Asked, Lfs
from tests.fixtures.lfs_program import ARCHIVED, DIRTY, EXISTS, LOST, NORELEASE, ON_TAPE, RELEASED
from tests.io.nodes import fact, put
from tests.io.room import Room
from tests.plan import facts

REQUIRED = {"quota_id": "science", "quota_type": "group", "headroom": 1000}


def node(root: Path, settings: dict[str, Any]) -> LustreHSMNode:
    found = node_io(fact(root, io_class="LustreHSM", io_config=json.dumps(settings)))
    assert isinstance(found, LustreHSMNode)
    return found


class Tape:
    """A node `disk` with tape behind it."""

    def __init__(self, base: Path) -> None:
        self.lfs = Lfs(base / "lfs")
        self.root = base / "root"
        self.root.mkdir()
        self.lfs.mount(self.root)
        self.set()

    def set(self, **settings: Any) -> None:
        self.node = node(self.root, self.lfs.settings(**settings))

    def at(self, path: str) -> str:
        return os.path.join(self.root, path)

    def put(self, path: str, flags: int = 0) -> str:
        put(self.root, path)
        self.lfs.mark(flags, self.at(path))
        return path

    def many(self, number: int, flags: int = 0) -> list[str]:
        return [self.put(f"acq/{name:03}", flags) for name in range(number)]

    def calls(self, verb: str) -> list[int]:
        """Return the number of paths in each call of the verb."""
        return [len(call.paths) for call in self.lfs.asked(verb)]

    def where(self, *paths: str) -> list[Location | None]:
        told = self.node.where(paths)
        return [told[path].where for path in paths]


@pytest.fixture
def tape(tmp_path: Path) -> Tape:
    return Tape(tmp_path)


# --- where files are -----------------------------------------------------------------------------------


def test_the_location_of_files_is_returned(tape: Tape) -> None:
    new, both, released, coming = (
        tape.put("acq/new"),
        tape.put("acq/both", ON_TAPE),
        tape.put("acq/released", ON_TAPE | RELEASED),
        tape.put("acq/coming", ON_TAPE | RELEASED),
    )
    assert tape.node.restore([coming]) == {}
    assert tape.where(new, released, "acq/none", both, coming) == [
        Location.DISK,
        Location.TAPE,
        Location.GONE,
        Location.BOTH,
        Location.COMING,
    ]


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (EXISTS, TapeState(Location.DISK)),  # begun to be archived
        (EXISTS | DIRTY, TapeState(Location.DISK, held=True)),
        (ON_TAPE | DIRTY, TapeState(Location.BOTH, held=True)),
        (ON_TAPE | NORELEASE, TapeState(Location.BOTH, held=True)),
        (ON_TAPE | LOST, TapeState(Location.DISK, held=True)),
    ],
)
def test_files_that_must_stay_on_disk_are_reported(tape: Tape, flags: int, told: TapeState) -> None:
    path = tape.put("acq/a", flags)
    assert tape.node.where([path]) == {path: told}


def test_the_location_of_a_file_lost_from_tape_is_unknown(tape: Tape) -> None:
    path = tape.put("acq/a", ON_TAPE | RELEASED | LOST)
    assert tape.node.where([path]) == {path: TapeState(None, "it is lost on tape and not on disk")}


def test_files_are_queried_in_batches_and_only_released_ones_twice(tape: Tape) -> None:
    paths = tape.many(230)
    tape.lfs.released(tape.at(paths[3]), tape.at(paths[222]))
    told = tape.node.where(paths)
    assert len(told) == 230
    assert tape.calls("hsm_state") == [100, 100, 30] and tape.calls("hsm_action") == [2]
    assert [path for path in paths if told[path].where is Location.TAPE] == [paths[3], paths[222]]


def test_a_missing_file_does_not_delay_others(tape: Tape) -> None:
    paths = tape.many(10)
    for gone in (paths[0], paths[4], paths[9]):
        os.unlink(tape.at(gone))
    expected = [Location.GONE if n in (0, 4, 9) else Location.DISK for n in range(10)]
    assert tape.where(*paths) == expected
    assert tape.calls("hsm_state") == [10, 9, 5]


def test_a_file_that_cannot_be_looked_at_does_not_delay_others(tape: Tape) -> None:
    paths = tape.many(3, ON_TAPE | RELEASED)
    tape.lfs.refuse(tape.at(paths[0]), "Permission denied", "hsm_state")
    tape.lfs.refuse(tape.at(paths[1]), "Input/output error", "hsm_action")
    assert tape.node.where(paths) == {
        paths[0]: TapeState(None, "Permission denied"),
        paths[1]: TapeState(None, "Input/output error"),
        paths[2]: TapeState(Location.TAPE),
    }


def test_a_file_removed_between_the_two_queries_is_gone(tape: Tape) -> None:
    path = tape.put("acq/a", ON_TAPE | RELEASED)
    tape.lfs.refuse(tape.at(path), "No such file or directory", "hsm_action")
    assert tape.where(path) == [Location.GONE]


def test_an_lfs_that_answers_for_the_first_path_only_is_asked_again(tape: Tape) -> None:
    tape.lfs.answer_first_only()
    paths = tape.many(4, ON_TAPE | RELEASED)
    assert tape.where(*paths) == [Location.TAPE] * 4
    assert tape.calls("hsm_state") == [4, 3, 2, 1]


NAMES = [
    "acq/a: (0x0000000d) released",
    "acq/a: (0x00000000)\n",
    "acq/a\nb",
    "acq/-a",
    "acq/ a ",
    "acq/a:b",
    "acq/[a]*?(",
    "acq/No such file or directory",
    "acq/é",
    "acq/\udcff",
]


def test_names_of_any_kind_are_distinguished(tape: Tape) -> None:
    for number, path in enumerate(NAMES):
        tape.put(path, (0, ON_TAPE, ON_TAPE | RELEASED)[number % 3])
    expected = [(Location.DISK, Location.BOTH, Location.TAPE)[number % 3] for number in range(len(NAMES))]
    assert tape.where(*NAMES) == expected
    # The order in which they are asked for makes no difference, nor one among them that is not there.
    assert tape.where(*reversed(NAMES)) == expected[::-1]
    assert tape.where("acq/a", *NAMES) == [Location.GONE, *expected]
    for path in NAMES:
        os.unlink(tape.at(path))
    assert tape.where(*NAMES) == [Location.GONE] * len(NAMES)


def test_lfs_never_gets_a_path_outside_the_root(tape: Tape, tmp_path: Path) -> None:
    put(tmp_path, "outside/a")
    outside = tmp_path / "outside"
    tape.lfs.released(outside / "a")
    (tape.root / "away").symlink_to(outside)
    (tape.root / "acq").mkdir()
    (tape.root / "acq/link").symlink_to(outside / "a")
    paths = ["../outside/a", str(outside / "a"), "away/a", "acq/link", "acq/a\0b", MARKER]
    told = tape.node.where(paths)
    assert all(told[path].where is None and told[path].error for path in paths)
    assert set(tape.node.restore(paths)) == set(tape.node.leave_to_tape(paths)) == set(paths)
    assert tape.lfs.asked() == []


@pytest.mark.parametrize(
    ("script", "settings", "said"),
    [
        ("echo rubbish", {}, "unexpected output of lfs: 'rubbish'"),
        ("true", {}, "unexpected output"),
        ('echo "$2: (0x0"', {}, "unexpected output"),
        ('echo "$2: (0x00000000)"; echo more', {}, "unexpected output of lfs: 'more'"),
        ("echo Invalid command hsm_state >&2; exit 3", {}, "Invalid command"),
        ("echo 'liblustreapi.so: No such file or directory' >&2; exit 127", {}, "liblustreapi"),
        ("kill -9 $$", {}, "signal 9"),
        ("exec sleep 60", {"lfs_timeout": 0.2}, "did not end within 0.2 s"),
        ("head -c 3000 /dev/urandom", {}, "unexpected output"),
    ],
)
def test_a_failing_lfs_is_reported_and_no_file_counts_as_gone(
    tmp_path: Path, script: str, settings: dict[str, Any], said: str
) -> None:
    put(tmp_path, "acq/a")
    lfs = stand_in(
        tmp_path / "bin", "lfs", f'echo call >> {tmp_path}/calls; [ "$1" = quota ] || {{ {script}; }}'
    )
    broken = node(tmp_path, {**REQUIRED, "lfs": str(lfs), **settings})
    with pytest.raises(StorageError, match=f"hsm_state on node disk: .*{said}"):
        broken.where(["acq/a"])
    assert len((tmp_path / "calls").read_text().split()) == 1


def test_a_missing_lfs_is_named(tmp_path: Path) -> None:
    broken = node(tmp_path, {**REQUIRED, "lfs": "no-such-lfs"})
    for verb in (broken.where, broken.restore, broken.leave_to_tape):
        with pytest.raises(StorageError, match="no-such-lfs is not on PATH"):
            verb(["acq/a"])


# --- asking for them, and leaving them -----------------------------------------------------------------


def test_files_are_restored_in_batches_in_order(tape: Tape) -> None:
    paths = tape.many(130, ON_TAPE | RELEASED)[::-1]
    assert tape.node.restore(paths) == {}
    at = [tape.at(path) for path in paths]
    assert tape.lfs.asked("hsm_restore") == [
        Asked("hsm_restore", tuple(at[:100])),
        Asked("hsm_restore", tuple(at[100:])),
    ]
    assert tape.where(*paths) == [Location.COMING] * 130
    tape.lfs.finish()
    assert tape.where(*paths) == [Location.BOTH] * 130
    assert (tape.root / paths[0]).read_bytes() == b"content"


def test_a_file_that_cannot_be_restored_does_not_delay_others(tape: Tape) -> None:
    paths = tape.many(3, ON_TAPE | RELEASED)
    tape.lfs.refuse(tape.at(paths[1]), "Permission denied", "hsm_restore")
    failed = tape.node.restore([*paths, "acq/none"])
    assert set(failed) == {paths[1], "acq/none"}
    assert "Permission denied" in failed[paths[1]] and "No such file" in failed["acq/none"]
    assert tape.where(*paths) == [Location.COMING, Location.TAPE, Location.COMING]
    assert tape.calls("hsm_restore") == [4, 1, 1, 1, 1]


def test_a_single_file_that_fails_is_requested_once(tape: Tape) -> None:
    assert "No such file" in tape.node.restore(["acq/none"])["acq/none"]
    assert tape.calls("hsm_restore") == [1]


def test_files_are_released_to_tape_in_batches(tape: Tape) -> None:
    paths = tape.many(130, ON_TAPE)
    assert tape.node.leave_to_tape(paths) == {}
    assert tape.calls("hsm_release") == [100, 30]
    assert tape.where(*paths) == [Location.TAPE] * 130
    assert (tape.root / paths[0]).read_bytes() == bytes(len(b"content"))


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (0, "not on tape yet"),
        (EXISTS | DIRTY, "not on tape yet"),
        (ON_TAPE | DIRTY, "changed after it was written to tape"),
        (ON_TAPE | NORELEASE, "must stay on disk"),
        (ON_TAPE | LOST, "not on tape yet"),
        (ARCHIVED | RELEASED | LOST, "it is lost on tape"),
    ],
)
def test_a_file_that_must_stay_on_disk_is_not_released_and_lfs_is_not_called(
    tape: Tape, flags: int, said: str
) -> None:
    held, free = tape.put("acq/held", flags), tape.put("acq/free", ON_TAPE)
    failed = tape.node.leave_to_tape([held, free])
    assert set(failed) == {held} and said in failed[held]
    assert tape.lfs.asked("hsm_release") == [Asked("hsm_release", (tape.at(free),))]
    assert tape.lfs.flags(tape.at(held)) == flags


def test_a_file_that_is_already_released_is_not_a_failure(tape: Tape) -> None:
    path = tape.put("acq/a", ON_TAPE | RELEASED)
    assert tape.node.leave_to_tape([path]) == {}
    assert tape.lfs.asked("hsm_release") == []
    assert "not there" in tape.node.leave_to_tape(["acq/none"])["acq/none"]


def test_a_file_that_cannot_be_released_does_not_delay_others(tape: Tape) -> None:
    paths = tape.many(3, ON_TAPE)
    tape.lfs.refuse(tape.at(paths[0]), "Device or resource busy", "hsm_release")
    failed = tape.node.leave_to_tape(paths)
    assert set(failed) == {paths[0]} and "Device or resource busy" in failed[paths[0]]
    assert tape.where(*paths) == [Location.BOTH, Location.TAPE, Location.TAPE]


@pytest.mark.parametrize("verb", ["hsm_restore", "hsm_release"])
def test_an_lfs_that_hangs_is_not_run_for_the_next_file(tape: Tape, verb: str) -> None:
    tape.set(lfs_timeout=1)
    paths = tape.many(5, ON_TAPE | (RELEASED if verb == "hsm_restore" else 0))
    tape.lfs.hang(verb)
    act = tape.node.restore if verb == "hsm_restore" else tape.node.leave_to_tape
    with pytest.raises(StorageError, match=f"{verb} on node disk: .*did not end within 1 s"):
        act(paths)
    assert tape.calls(verb) == [5]


# --- which storage it is -------------------------------------------------------------------------------


def test_no_marker_is_needed_or_made(tape: Tape) -> None:
    tape.node.check()
    assert tape.node.owner() == "disk"
    tape.node.initialise()
    assert os.listdir(tape.root) == []


def test_another_nodes_marker_is_refused_and_its_own_is_not(tape: Tape) -> None:
    (tape.root / MARKER).write_text("disk\n")
    tape.node.check()
    tape.node.initialise()
    (tape.root / MARKER).write_text("other\n")
    assert tape.node.owner() == "other"
    for verb in (tape.node.check, tape.node.initialise, tape.node.removal):
        with pytest.raises(StorageError, match="belongs to node 'other'"):
            verb()
    tape.node.initialise(formerly="other")
    assert (tape.root / MARKER).read_text() == "disk\n"


def test_a_missing_root_is_reported_with_the_remedy(tape: Tape) -> None:
    tape.root.rmdir()
    for verb in (tape.node.check, tape.node.owner, tape.node.initialise):
        with pytest.raises(StorageError, match="alpenhorn node deactivate disk"):
            verb()


def unmount(tape: Tape) -> None:
    tape.root.rename(tape.root.with_name("elsewhere"))
    tape.root.mkdir()


def test_an_empty_directory_where_lustre_is_not_mounted_is_not_the_node(tape: Tape) -> None:
    unmount(tape)
    for verb in (tape.node.check, tape.node.initialise, tape.node.removal, tape.node.free_bytes):
        with pytest.raises(StorageError, match="quota of node disk cannot be read"):
            verb()
    with pytest.raises(StorageError, match="is Lustre mounted at"):
        tape.node.check()


def test_files_are_removed_on_tape_or_not(tape: Tape) -> None:
    paths = [tape.put("acq/a", ON_TAPE | RELEASED), tape.put("acq/b")]
    with tape.node.removal() as removal:
        for path in paths:
            removal.remove(path, len(b"content"))
        removal.check()
    assert tape.where(*paths) == [Location.GONE] * 2


def test_nothing_is_removed_where_something_else_is_mounted_meanwhile(tape: Tape) -> None:
    tape.put("acq/a")
    with tape.node.removal() as removal:
        unmount(tape)
        with pytest.raises(StorageError, match="is Lustre mounted"):
            removal.check()
        tape.lfs.mount(tape.root)
        with pytest.raises(StorageError, match="something else was mounted"):
            removal.check()


def test_free_space_is_what_the_quota_leaves_and_nothing_is_reserved(tape: Tape) -> None:
    tape.lfs.quota(1000, 5000)
    assert tape.node.free_bytes() == 4000 * 1024
    tape.lfs.quota("6000*", 5000)
    assert tape.node.free_bytes() == 0
    tape.node.check()
    assert tape.node.reserved_bytes(10**12) == 0


# --- settings ------------------------------------------------------------------------------------------


def test_settings_have_their_units_and_defaults(tmp_path: Path) -> None:
    plain = node(tmp_path, REQUIRED)
    assert plain.headroom_b == 1000 * 1024
    assert (plain.restore_wait, plain.restore_limit, plain.release_check_count) == (600.0, 100, 100)
    more = {**REQUIRED, "restore_wait": 0.5, "restore_limit": 1, "release_check_count": 0, "headroom": 0}
    other = node(tmp_path, more)
    assert (other.restore_wait, other.restore_limit, other.release_check_count) == (0.5, 1, 0)
    assert other.headroom_b == 0
    assert node(tmp_path, {**REQUIRED, "headroom": "1.5 GiB"}).headroom_b == 3 * 2**29


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"headroom": -1}, "headroom is -1, not a size such as .*, or a whole number of KiB"),
        ({"headroom": 1.5}, "headroom is 1.5"),
        ({"headroom": True}, "headroom is True"),
        ({"restore_wait": -1}, "restore_wait is -1, not a number of seconds"),
        ({"restore_wait": float("nan")}, "restore_wait is nan"),
        ({"restore_wait": float("inf")}, "restore_wait is inf"),
        ({"restore_limit": 0}, "restore_limit is 0, not a whole number of at least 1"),
        ({"release_check_count": -1}, "release_check_count is -1, not a whole number"),
        ({"quota_type": "grp"}, "quota_type"),
        ({"reserve_factor": 0}, "reserve_factor"),
    ],
)
def test_wrong_settings_are_named(tmp_path: Path, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(StorageError, match=said):
        node(tmp_path, {**REQUIRED, **settings})


def test_headroom_is_required(tmp_path: Path) -> None:
    with pytest.raises(
        StorageError, match=r"headroom is missing; must be a size such as .*, or a whole number of KiB"
    ):
        node(tmp_path, {"quota_id": 7, "quota_type": "group"})


def test_the_time_limit_of_a_job_includes_that_of_lfs(tmp_path: Path) -> None:
    plain = node(tmp_path, REQUIRED)
    assert plain.probe_seconds == 30 + 2 * 60
    assert plain.job_seconds(1) > plain.probe_seconds
    assert plain.job_seconds(1000) > 30 * 60 > plain.job_seconds(100)


# --- the remote and the group --------------------------------------------------------------------------


def test_a_source_is_ready_when_the_index_says_so() -> None:
    source = remote_io(facts.remote(io_class="LustreHSM", io_config=json.dumps(REQUIRED)))
    assert source.ready(facts.fact(source_ready=True))
    assert not source.ready(facts.fact(source_ready=False))
    assert source.unreachable() == ""
    assert "no address" in remote_io(facts.remote(io_class="LustreHSM", address=None)).unreachable()


LARGE, SMALL = facts.node(2, io_class="LustreHSM"), facts.node(3)
QUOTA = facts.node(4, io_class="LustreQuota")
ENOUGH = 10**15


def group(config: str | None = None) -> GroupFact:
    return GroupFact(20, "hsm", "LustreHSM", config)


def chosen(size_b: int | None, config: str | None = None, **left: int) -> int | Refusal:
    room = Room(**{"node2": ENOUGH, "node3": ENOUGH, **left})
    return group_io(group(config), [SMALL, LARGE]).choose(facts.fact(size_b=size_b), room)


def test_large_files_go_to_tape_and_small_ones_to_the_other_node() -> None:
    assert chosen(0) == chosen(1_000_000_000) == 3
    assert chosen(1_000_000_001) == 2
    assert (chosen(10, '{"threshold": 10}'), chosen(11, '{"threshold": 10}')) == (3, 2)
    assert (chosen(0, '{"threshold": 0}'), chosen(1, '{"threshold": 0}')) == (3, 2)


def test_a_file_that_its_node_refuses_goes_to_no_node() -> None:
    assert chosen(100, node3=99) == Refusal("no room on node3")
    assert chosen(2 * 10**9, node2=0) == Refusal("no room on node2")


def test_the_other_node_may_be_of_any_class() -> None:
    found = group_io(group(), [LARGE, QUOTA])
    assert found.choose(facts.fact(), Room(node2=0, node4=ENOUGH)) == 4
    assert not found.travels and not found.warnings


@pytest.mark.parametrize(
    ("nodes", "said"),
    [
        ([LARGE], r"has node2 \(LustreHSM\)"),
        ([SMALL], r"has node3 \(Default\)"),
        ([SMALL, QUOTA], r"has node3 \(Default\), node4 \(LustreQuota\)"),
        ([LARGE, SMALL, QUOTA], r"has node2 \(LustreHSM\), node3 \(Default\), node4 \(LustreQuota\)"),
        ([LARGE, LARGE._replace(id=5, name="node5"), SMALL], r"node5 \(LustreHSM\)"),
        ([], "has none"),
    ],
)
def test_other_nodes_are_named_with_the_remedy(nodes: list[NodeFact], said: str) -> None:
    with pytest.raises(StorageError, match=f"group hsm needs exactly one .*{said}.*alpenhorn node activate"):
        group_io(group(), nodes)


def test_a_threshold_may_have_a_unit() -> None:
    found = group_io(group('{"threshold": "2 kB"}'), [LARGE, QUOTA])
    room = Room(node2=ENOUGH, node4=ENOUGH)
    assert [found.choose(facts.fact(size_b=size), room) for size in (2000, 2001)] == [4, 2]


@pytest.mark.parametrize("value", ["-1", "1.5", "true", '"1 GX"', "null", "NaN"])
def test_a_wrong_threshold_is_named(value: str) -> None:
    with pytest.raises(
        StorageError, match=r"threshold is .*, not a size such as .*, or a whole number of bytes"
    ):
        check_group(group(f'{{"threshold": {value}}}'))
