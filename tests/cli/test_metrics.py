"""`alpenhorn metrics`, as a user runs it, and what `doctor` says of metrics."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from alpenhorn.config import load
from alpenhorn.monitoring import families, metrics
from tests.cli.test_doctor import doctor, only, powerless
from tests.fixtures.archive import Archive
from tests.monitoring.conftest import ENDED_S, HERE, end


@pytest.fixture
def both(tmp_path: Path, index_url: str) -> Iterator[Archive]:
    """An empty archive, on each of the two engines in turn."""
    made = Archive(tmp_path, index_url)
    yield made
    made.close()


def textfile(archive: Archive) -> Path:
    path = archive.base / "textfiles" / "alpenhorn.prom"
    path.parent.mkdir(exist_ok=True)
    archive.configure(metrics={"textfile": str(path)})
    return path


def without_package(archive: Archive) -> dict[str, str]:
    """Return an environment in which prometheus_client cannot be imported."""
    directory = archive.base / "modules"
    directory.mkdir(exist_ok=True)
    (directory / "prometheus_client.py").write_text(
        "raise ImportError(\"No module named 'prometheus_client'\")\n"
    )
    return {"PYTHONPATH": str(directory)}


def test_the_command_prints_what_a_run_has_written_and_the_present_state(both: Archive) -> None:
    path = textfile(both)
    both.node("vault")
    both.file("acq/one", b"1", "vault")
    metrics.write(load(both.base / "here.toml", {"HOME": "/"}), both.index, end(pull=(1, 2, 3)))
    written = path.read_text()
    both.file("acq/two", b"2", "vault")
    result = both.run("metrics")
    assert result.status == 0 and result.err == "", result
    assert path.read_text() == written
    done = subprocess.run(["promtool", "check", "metrics"], input=result.out, capture_output=True, text=True)
    assert done.returncode == 0 and not done.stdout + done.stderr, done
    values = families.parse(result.out)
    assert values[families.SUCCESS] == {HERE: ENDED_S}
    assert values[families.FILES] == {("here", "pull", "done"): 1, ("here", "pull", "failed"): 2}
    assert values[families.COPIES]["vault", "healthy"] == 2
    assert values[families.READ][HERE] != ENDED_S


def test_without_a_textfile_the_command_prints_what_the_index_knows(both: Archive) -> None:
    both.node("vault")
    values = families.parse(both.run("metrics").out)
    assert values[families.ACTIVE] == {("vault",): 1}
    assert families.ATTEMPT not in values


def test_files_that_are_not_on_tape_yet_are_counted(both: Archive) -> None:
    both.node("tape")
    for name, state, since in (
        ("a", "collecting", "2026-07-22 10:00:00"),
        ("b", "asked", "2026-07-21 10:00:00"),
        ("c", "on tape", "2026-07-20 10:00:00"),
    ):
        both.to_tape(both.file(f"acq/{name}", b"1", "tape"), "tape", state, since)
    values = families.parse(both.run("metrics").out)
    assert values[families.TO_TAPE] == {("tape",): 2}
    assert values[families.TO_TAPE_SINCE] == {("tape",): datetime(2026, 7, 21, 10, tzinfo=UTC).timestamp()}


def test_without_an_index_the_command_fails(sqlite_archive: Archive) -> None:
    sqlite_archive.configure(database={"url": f"sqlite:///{sqlite_archive.base / 'none.db'}"})
    result = sqlite_archive.run("metrics")
    assert result.status == 3 and result.out == "" and "none.db" in result.err


def test_the_command_prints_the_alert_rules_and_the_dashboard(sqlite_archive: Archive) -> None:
    result = sqlite_archive.run("metrics", "--alert-rules", environ=without_package(sqlite_archive))
    assert result.status == 0 and yaml.safe_load(result.out)["groups"]
    result = sqlite_archive.run("metrics", "--dashboard", environ=without_package(sqlite_archive))
    assert result.status == 0 and json.loads(result.out)["panels"]


def test_without_the_package_the_command_says_what_to_install(sqlite_archive: Archive) -> None:
    result = sqlite_archive.run("metrics", environ=without_package(sqlite_archive))
    assert result.status == 1 and result.out == ""
    (line,) = result.err.splitlines()
    assert "prometheus_client" in line and "pip install 'alpenhorn[metrics]'" in line


def sound(archive: Archive) -> None:
    archive.node("field")
    archive.synced()


def test_doctor_says_where_metrics_are_written(sqlite_archive: Archive) -> None:
    path = textfile(sqlite_archive)
    sound(sqlite_archive)
    result = doctor(sqlite_archive)
    assert result.status == 0 and f"pass  metrics are written to {path}\n" in result.out, result
    sqlite_archive.configure()
    assert "metrics are" not in doctor(sqlite_archive).out


def test_doctor_warns_once_without_the_package(sqlite_archive: Archive) -> None:
    textfile(sqlite_archive)
    sound(sqlite_archive)
    result = doctor(sqlite_archive, environ=without_package(sqlite_archive))
    only(result, "warn", 0, r"prometheus_client .*pip install 'alpenhorn\[metrics\]'")


def test_doctor_warns_of_a_file_that_cannot_be_written(sqlite_archive: Archive) -> None:
    path = textfile(sqlite_archive)
    sound(sqlite_archive)
    shutil.rmtree(path.parent)
    path.mkdir(parents=True)
    only(doctor(sqlite_archive), "warn", 0, f"{path}: it is a directory", "set a file")
    path.rmdir()
    path.parent.chmod(0o500)
    result = powerless(sqlite_archive, sqlite_archive.base / "here.toml")
    assert f"warn  metrics cannot be written: {path}: {path.parent} is not writable\n" in result.out, result
    path.parent.chmod(0o700)
    path.touch(mode=0)
    result = powerless(sqlite_archive, sqlite_archive.base / "here.toml")
    assert f"warn  metrics cannot be written: {path}: it is not readable\n" in result.out, result
    path.unlink()
    path.parent.rmdir()
    only(doctor(sqlite_archive), "warn", 0, f"there is no directory {path.parent}", "mkdir -p")
