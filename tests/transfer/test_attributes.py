"""The attributes of new files, as `rsync -tpgo` sets them."""

from __future__ import annotations

import grp
import os
import pwd
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from alpenhorn.transfer.attributes import AttributeSetter
from alpenhorn.transfer.tar_reader import Member

NOBODY = pwd.getpwnam("nobody")


def member(mode: int = 0o644, uid: int = 0, gid: int = 0, user: str = "", group: str = "") -> Member:
    return Member(b"f", b"", mode, uid, gid, user.encode(), group.encode(), 10**18 + 7)


def created(where: Path, like: Member, owners: bool = True) -> os.stat_result:
    setter = AttributeSetter(owners)
    fd = os.open(where / "f", os.O_RDWR | os.O_CREAT | os.O_EXCL, setter.first_mode(like))
    try:
        setter.set(fd, like)
        return os.fstat(fd)
    finally:
        os.close(fd)


@pytest.mark.parametrize("mode", [0o644, 0o400, 0o000, 0o666, 0o6755, 0o1777])
def test_mode_and_time_are_the_source_files(tmp_path: Path, mode: int) -> None:
    status = created(tmp_path, member(mode, os.getuid(), os.getgid()))
    assert (stat.S_IMODE(status.st_mode), status.st_mtime_ns) == (mode, 10**18 + 7)


def test_where_modes_cannot_be_set_the_umask_applies_and_only_the_time_is_set(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        status = created(tmp_path, member(0o666, 12345, 12345), owners=False)
    finally:
        os.umask(before)
    assert (stat.S_IMODE(status.st_mode), status.st_mtime_ns) == (0o640, 10**18 + 7)
    assert (status.st_uid, status.st_gid) == (os.geteuid(), os.getegid())


def needs_root() -> None:
    if os.geteuid() != 0:
        pytest.fail("this test changes owners: run it as root, as CI does")


def test_root_keeps_names_before_numbers_and_0_is_the_same_everywhere(tmp_path: Path) -> None:
    needs_root()
    group = grp.getgrgid(NOBODY.pw_gid).gr_name
    for number, (like, owner) in enumerate(
        [
            (member(uid=4711, gid=4712, user="nobody", group=group), (NOBODY.pw_uid, NOBODY.pw_gid)),
            (member(uid=4711, gid=4712, user="no-such-user", group="no-such-group"), (4711, 4712)),
            (member(uid=4711, gid=4712), (4711, 4712)),
            (member(uid=0, gid=0, user="nobody", group=group), (0, 0)),
            (member(0o6750, 4711, 4712), (4711, 4712)),
        ]
    ):
        where = tmp_path / str(number)
        where.mkdir()
        status = created(where, like)
        assert (status.st_uid, status.st_gid) == owner and stat.S_IMODE(status.st_mode) == like.mode


def test_other_users_keep_the_groups_that_they_are_in(tmp_path: Path) -> None:
    needs_root()
    tmp_path.chmod(0o777)
    user, group, other = NOBODY.pw_uid, 4711, 4712

    def as_user() -> bool:
        os.setgroups([group])
        os.setgid(user)
        os.setuid(user)
        os.fchdir(base)  # the directories above are closed to others
        inside, outside = Path("in"), Path("out")
        inside.mkdir()
        outside.mkdir()
        first, second = created(inside, member(0o640, 1, group)), created(outside, member(0o640, 1, other))
        return (first.st_uid, first.st_gid, second.st_uid, second.st_gid) == (user, group, user, user)

    base = os.open(tmp_path, os.O_RDONLY)
    assert in_child(as_user)
    os.close(base)


def in_child(check: Callable[[], bool]) -> bool:
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if check() else 1)
        finally:
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_an_impossible_time_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OverflowError):
        created(tmp_path, member()._replace(mtime_ns=10**40))
