from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from alpenhorn.errors import StorageError
from alpenhorn.extensions.registry import group_io, node_io
from alpenhorn.io.lfs import Quota, parse_quota, quota_argv
from alpenhorn.io.lustre_quota import LustreQuotaNode
from alpenhorn.model.nodes import GroupFact
from tests.fixtures.archive import stand_in
from tests.io.nodes import fact

ROOT = "/lustre/data"
SETTINGS = '{"quota_id": "science", "quota_type": "group"}'


def node(io_config: str = SETTINGS, root: str = ROOT) -> LustreQuotaNode:
    found = node_io(fact(Path(root), io_class="LustreQuota", io_config=io_config))
    assert isinstance(found, LustreQuotaNode)
    return found


# --- what lfs is asked and answers ---------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "flag"), [("user", "-u"), ("group", "-g"), ("project", "-p")])
def test_lfs_is_asked_for_the_quota_of_a_user_group_or_project(kind: str, flag: str) -> None:
    assert quota_argv("lfs", kind, "77", ROOT) == ["lfs", "quota", "-q", flag, "77", ROOT]


ANSWERS = {
    "on one line": "   /lustre/data 1000 0 5000 - 12 0 0 -\n",
    "wrapped": "/lustre/data\n   1000       0    5000       -      12       0       0       -\n",
    "used up": "/lustre/data 1000* 0 5000 - 12 0 0 -\n",
    "with a grace": "/lustre/data 1000* 500 5000 6d23h59m55s 12 0 0 -\n",
    "with more lines": "/lustre/data 1000 0 5000 - 12 0 0 -\nuid 7 is using default file quota setting\n",
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_an_answer_is_understood(answer: str) -> None:
    assert parse_quota(answer, ROOT) == Quota(1000, 5000)


def test_a_path_with_blanks_is_understood() -> None:
    path = "/lustre/some 1 2 data"
    assert parse_quota(f"{path}\n 1000 0 5000 - 12 0 0 -\n", path) == Quota(1000, 5000)


def test_without_a_hard_limit_the_soft_one_counts_and_without_both_there_is_none() -> None:
    assert parse_quota(f"{ROOT} 1000 300 0 - 12 0 0 -", ROOT) == Quota(1000, 300)
    assert parse_quota(f"{ROOT} 1000 0 0 - 12 0 0 -", ROOT) == Quota(1000, 0)


def test_a_default_quota_is_not_the_limit_that_is_shown() -> None:
    answer = f"{ROOT} 1000 0 0 - 12 0 0 -\ngid 7 is using default block quota setting\n"
    assert parse_quota(answer, ROOT) == Quota(1000, None)


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "\n",
        ROOT,
        f"{ROOT} 1000 0 5000 - 12 0 0",
        f"{ROOT} many 0 5000 - 12 0 0 -",
        f"{ROOT} -5 0 5000 - 12 0 0 -",
        f"{ROOT} [1000] 0 5000 - 12 0 0 -",
        f"{ROOT} 1000 0 [5000] - 12 0 0 -",
        "/other 1000 0 5000 - 12 0 0 -",
        f"Disk quotas for grp 7:\n{ROOT} 1000 0 5000 - 12 0 0 -",
        "Unexpected quotactl error: Operation not supported",
    ],
)
def test_other_output_is_not_an_answer(answer: str) -> None:
    with pytest.raises(StorageError, match="unexpected output"):
        parse_quota(answer, ROOT)


# --- free space ----------------------------------------------------------------------------------------


def free(tmp_path: Path, script: str, **settings: Any) -> int | None:
    """Return the free space on a node whose lfs runs this script."""
    lfs = stand_in(tmp_path / "bin", "lfs", script)
    values = {"quota_id": 7, "quota_type": "project", "lfs": str(lfs), **settings}
    io_config = str(values).replace("'", '"')
    return node(io_config, str(tmp_path)).free_bytes()


def answer(tmp_path: Path, columns: str) -> str:
    return f'[ "$*" = "quota -q -p 7 {tmp_path}" ] && echo "{tmp_path}" && echo "  {columns}"'


def test_free_space_is_what_the_quota_leaves(tmp_path: Path) -> None:
    assert free(tmp_path, answer(tmp_path, "1000 0 5000 - 12 0 0 -")) == 4000 * 1024


def test_no_more_is_free_than_the_file_system_has(tmp_path: Path) -> None:
    there = os.statvfs(tmp_path)
    found = free(tmp_path, answer(tmp_path, f"0 0 {2**60} - 12 0 0 -"))
    assert found is not None and found <= there.f_blocks * there.f_frsize


def test_over_the_quota_nothing_is_free(tmp_path: Path) -> None:
    assert free(tmp_path, answer(tmp_path, "6000* 0 5000 - 12 0 0 -")) == 0


def test_a_fixed_quota_is_taken_for_the_limit(tmp_path: Path) -> None:
    assert free(tmp_path, answer(tmp_path, "1000 0 5000 - 12 0 0 -"), fixed_quota=1500) == 500 * 1024
    default = (
        answer(tmp_path, "1000 0 0 - 12 0 0 -") + ' && echo "gid 7 is using default block quota setting"'
    )
    assert free(tmp_path, default, fixed_quota=1500) == 500 * 1024
    assert free(tmp_path, default, fixed_quota="1.536 MB") == 500 * 1024


def test_a_default_quota_without_a_fixed_one_is_not_known_and_the_remedy_named(tmp_path: Path) -> None:
    default = (
        answer(tmp_path, "1000 0 0 - 12 0 0 -") + ' && echo "gid 7 is using default block quota setting"'
    )
    with pytest.raises(StorageError, match="--io-var fixed_quota=KIB"):
        free(tmp_path, default)


def test_without_any_quota_the_file_systems_space_is_free(tmp_path: Path) -> None:
    found = free(tmp_path, answer(tmp_path, "1000 0 0 - 12 0 0 -"))
    assert found is not None and found > 0


@pytest.mark.parametrize(
    ("script", "settings", "said"),
    [
        ("echo rubbish", {}, "unexpected output"),
        ("echo no such group >&2; exit 3", {}, "no such group"),
        ("exec sleep 60", {"lfs_timeout": 0.2}, "did not end within 0.2 s"),
        ("kill -9 $$", {}, "signal 9"),
    ],
    ids=["garbage", "error", "time-out", "killed"],
)
def test_an_lfs_that_fails_leaves_the_space_unknown_and_says_why(
    tmp_path: Path, script: str, settings: dict[str, Any], said: str
) -> None:
    with pytest.raises(StorageError, match=f"quota of node disk cannot be read: .*{said}"):
        free(tmp_path, script, **settings)


def test_a_missing_lfs_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no-such-lfs is not on PATH"):
        free(tmp_path, "", lfs="no-such-lfs")


# --- settings ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("{}", "quota_id is missing"),
        ('{"quota_id": 7}', "quota_type is missing"),
        ('{"quota_id": "-x", "quota_type": "group"}', "quota_id is '-x'"),
        ('{"quota_id": 7, "quota_type": "grp"}', "user, group or project"),
        ('{"quota_id": 7, "quota_type": "group", "fixed_quota": 0}', "fixed_quota is 0"),
        ('{"quota_id": 7, "quota_type": "group", "fixed_quota": 1.5}', "KiB"),
        ('{"quota_id": 7, "quota_type": "group", "lfs": "-c"}', "lfs is '-c'"),
        ('{"quota_id": 7, "quota_type": "group", "lfs_timeout": 0}', "lfs_timeout is 0"),
        ('{"quota_id": 7, "quota_type": "group", "reserve_factor": 0}', "reserve_factor"),
    ],
)
def test_wrong_settings_are_named(settings: str, said: str) -> None:
    with pytest.raises(StorageError, match=said):
        node(io_config=settings)


def test_the_older_quota_group_is_understood_with_a_warning() -> None:
    found = node(io_config='{"quota_group": "science"}')
    assert (found.quota_id, found.quota_type) == ("science", "group")
    (warning,) = found.warnings
    assert "--io-var quota_id=science --io-var quota_type=group" in warning
    assert node().warnings == ()


def test_the_time_limit_of_a_look_includes_that_of_lfs() -> None:
    assert node().probe_seconds == 90


def test_it_is_a_class_for_nodes_only() -> None:
    with pytest.raises(StorageError, match="is for nodes only"):
        group_io(GroupFact(1, "g", "LustreQuota", None), [])
