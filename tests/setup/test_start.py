"""Names, and groups of roots on one disk.  Conflicts are tested with the command, in tests/cli/test_init.py."""

from __future__ import annotations

import pytest

from alpenhorn.coordinator.roots import SeenRoot
from alpenhorn.errors import Refused
from alpenhorn.setup.directories import SeenDirectory
from alpenhorn.setup.start import Chosen, Known, Wanted, WantedNode, on_one_disk, start


def seen(**disks: str) -> dict[str, SeenDirectory]:
    """Directories, with underscores for slashes, and the disks that hold them, separated by spaces."""
    paths = {name.replace("_", "/"): disk for name, disk in disks.items()}
    return {path: SeenDirectory(SeenRoot(path), "", frozenset(disk.split())) for path, disk in paths.items()}


def names(*roots: str) -> list[str]:
    wanted = Wanted("cedar", [WantedNode("", roots[0])], [WantedNode("", root) for root in roots[1:]])
    found = start(wanted, Known(), {root: SeenDirectory(SeenRoot(root), "", frozenset()) for root in roots})
    return [one.name for one in (*found.keep, *found.on)]


@pytest.mark.parametrize(
    ("roots", "expected"),
    [
        (("/home/ann/data", "/mnt/disk1"), ["data", "disk1"]),
        (("/home/ann/data", "/mnt/a/data", "/mnt/b/data"), ["data", "a-data", "b-data"]),
        (("/srv/-x", "/srv/.y"), ["x", "y"]),
        (("/srv/" + "x" * 100, "/mnt"), ["x" * 64, "mnt"]),
    ],
)
def test_names_are_the_last_elements_of_the_path(roots: tuple[str, ...], expected: list[str]) -> None:
    assert names(*roots) == expected


def test_a_directory_that_does_not_answer_is_refused() -> None:
    with pytest.raises(Refused, match="/mnt/x: does not answer; nothing was changed"):
        start(
            Wanted("cedar", [WantedNode("", "/data")], [WantedNode("", "/mnt/x")]), Known(), seen(_data="sda")
        )


def test_a_host_whose_name_is_like_an_option_is_refused() -> None:
    with pytest.raises(Refused, match="begins with a dash"):
        start(Wanted("-x", [WantedNode("", "/a")], [WantedNode("", "/b")]), Known(), seen(_a="sda", _b="sdb"))


def test_roots_are_grouped_by_the_disks_below_them() -> None:
    found = seen(_a="sda", _b="sdb sdc", _c="sdc sdd", _d="sda", _e="sda")
    chosen = [Chosen(root[1:], root, root[1:], new=True) for root in found]
    lines = on_one_disk(chosen, found)
    assert [line.split(":")[0] for line in lines] == [
        "/a, /d, /e are on one disk (sda)",
        "/b, /c are on one disk (sdc)",
    ]
    assert on_one_disk(chosen[:2], found) == []
