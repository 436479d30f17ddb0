"""The findings about notifications, which contain no secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from alpenhorn.config import Notify
from alpenhorn.doctor.notify import notify
from alpenhorn.index.check import Level
from tests.fixtures.archive import Archive, stand_in

SECRET = "token-4711"


def test_each_channel_is_checked_without_showing_secrets(tmp_path: Path) -> None:
    program = stand_in(tmp_path, "tell-us", "exit 0")
    settings = Notify(
        f"https://hc.example.org:8000/{SECRET}",
        (f"json://{SECRET}/a", f"nonsense://{SECRET}", f"tgram://{SECRET}"),
        (str(program), "-v"),
    )
    found = list(notify(settings))
    assert [finding.level for finding in found] == [
        Level.PASS,
        Level.PASS,
        Level.FAIL,
        Level.FAIL,
        Level.PASS,
    ]
    assert "notification by ping https://hc.example.org:8000/…" in found[0].text
    assert found[2].text == (
        "notification by apprise 2 (nonsense://…): the URL is not valid for this service"
    )
    assert not any(SECRET in finding.text + finding.remedy for finding in found)


@pytest.mark.parametrize("program", ["no-such-program", "/no/such/program"])
def test_a_missing_command_fails(program: str) -> None:
    (finding,) = notify(Notify(command=(program,)))
    assert finding.level is Level.FAIL and program in finding.text and finding.remedy


def test_urls_that_others_can_read_are_warned_of(sqlite_archive: Archive) -> None:
    conf = sqlite_archive.configure(notify={"ping": f"https://hc.example.org/{SECRET}"})
    warning = "holds URLs of notifications, which are secret, and can be read by others"
    for mode, warned in ((0o600, False), (0o604, True)):
        conf.chmod(mode)
        result = sqlite_archive.run("doctor")
        assert (warning in result.out) is warned, result
        assert SECRET not in result.out + result.err
        assert "pass  notification by ping https://hc.example.org/… (to try it: alpenhorn notify test)" in (
            result.out
        )


def test_without_the_package_apprise_cannot_be_used(sqlite_archive: Archive, tmp_path: Path) -> None:
    """A directory on the path with an `apprise` that cannot be imported stands for the missing package."""
    (tmp_path / "hides" / "apprise").mkdir(parents=True)
    (tmp_path / "hides" / "apprise" / "__init__.py").write_text("raise ImportError\n")
    sqlite_archive.configure(notify={"apprise": [f"json://{SECRET}"]})
    environ = {"PYTHONPATH": str(tmp_path / "hides")}
    result = sqlite_archive.run("doctor", environ=environ)
    assert "fail  notification by apprise 1 (json://…): the package apprise is not installed" in result.out
    assert "pip install 'alpenhorn[notify]'" in result.out
    result = sqlite_archive.run("notify", "test", environ=environ)
    assert result.status == 1
    assert result.out == (
        "failed  apprise 1 (json://…): the package apprise is not installed: pip install 'alpenhorn[notify]'\n"
    )
