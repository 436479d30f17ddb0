"""Ordinary users of different groups, and with different umasks, who run alpenhorn on one root.

They access the Python and the checkout of these tests through private mounts, because only root may have access to the
originals.
"""

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import pytest

from tests.fixtures.archive import Archive

ANN, BOB, GROUP = 15001, 15002, 15100  # in no list of accounts
CHECKOUT = Path(__file__).parents[2]


class Users:
    """An archive whose commands are run by either user."""

    def __init__(self, base: Path) -> None:
        base.chmod(0o755)
        self.base = base
        for name in ("python", "checkout", "packages", "index"):
            (base / name).mkdir()
        # What SQLite makes beside the index has the mode of the index.
        (base / "index").chmod(0o777)
        (base / "index/index.db").touch()
        (base / "index/index.db").chmod(0o666)
        self.archive = Archive(base, f"sqlite:///{base}/index/index.db")

    def run(self, user: int, umask: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        conf = self.archive.configure(log={"level": "info", "file": f"{self.base}/index/log-{user}"})
        prefix = Path(sys.base_prefix)
        python = self.base / "python" / Path(sys.executable).resolve().relative_to(prefix)
        mounts = {prefix: "python", CHECKOUT: "checkout", Path(sysconfig.get_path("purelib")): "packages"}
        script = "".join(
            f"mount --bind {shlex.quote(str(what))} {self.base}/{at} && " for what, at in mounts.items()
        )
        command = ["setpriv", f"--reuid={user}", f"--regid={user}", f"--groups={user},{GROUP}"]
        command += [str(python), "-B", "-m", "alpenhorn", "-c", str(conf), *arguments]
        return subprocess.run(
            [
                "unshare",
                "--mount",
                "sh",
                "-c",
                f"{script} umask {umask} && cd / && exec {shlex.join(command)}",
            ],
            capture_output=True,
            text=True,
            timeout=120,
            env={
                "PATH": os.environ["PATH"],
                "HOME": "/",
                "LANG": "C.UTF-8",
                "PYTHONPATH": f"{self.base}/checkout:{self.base}/packages",
            },
        )


@pytest.fixture
def users():
    if os.geteuid():
        pytest.fail("this test works as two other users: run it as root")
    base = Path(tempfile.mkdtemp(prefix="alpenhorn-users-"))
    made = Users(base)
    yield made
    made.archive.close()
    shutil.rmtree(base)


def shared(archive, node):
    os.chown(archive.root(node), ANN, GROUP)
    archive.root(node).chmod(0o2775)


def open_to_all(archive, node):
    for path in (archive.root(node) / "acq").rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)


@pytest.mark.parametrize("umask", ["002", "022", "077"])
def test_users_of_a_common_group_take_turns_on_a_shared_root(users, umask):
    archive = users.archive
    archive.node("source")
    archive.node("disk", made=False)
    archive.root("disk").mkdir()
    for node in ("source", "disk"):
        shared(archive, node)
    assert users.run(ANN, umask, "node", "init", "disk").returncode == 0
    for number, user in enumerate((ANN, BOB, ANN)):
        file_id = archive.file(f"acq/deep/{number}", b"content", "source")
        open_to_all(archive, "source")
        archive.request(file_id, "source", "disk")
        done = users.run(user, umask, "sync")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), (user, done)
        assert archive.copy(file_id, "disk") == "YY"
    owners = {path.stat().st_uid for path in (archive.root("disk") / "acq/deep").iterdir()}
    assert owners == {ANN, BOB}
    assert (archive.root("disk") / ".alpenhorn/identity").stat().st_gid == GROUP


def test_a_user_who_may_not_write_gets_the_remedy(users):
    archive = users.archive
    archive.node("source")
    archive.node("disk")
    for node in ("source", "disk"):
        for path in [archive.root(node), *archive.root(node).rglob("*")]:
            os.chown(path, ANN, ANN)
    archive.request(archive.file("acq/f", b"content", "source"), "source", "disk")
    assert users.run(ANN, "022", "sync").returncode == 0
    archive.request(archive.file("acq/g", b"content", "source"), "source", "disk")
    done = users.run(BOB, "022", "sync")
    assert f"chgrp -R GROUP {archive.root('disk')}" in done.stderr and "Traceback" not in done.stderr, done
