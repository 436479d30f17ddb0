from __future__ import annotations

from tests.cli.conftest import Archive

ACQS = "SELECT name FROM archiveacq ORDER BY name"


def test_an_acquisition_without_files_is_deleted(archive: Archive) -> None:
    archive.ok("acq", "create", "empty")
    archive.file("kept", field1="YY")
    assert (
        archive.ok("acq", "delete", "empty", "--check") == "Would delete acquisition empty from the index.\n"
    )
    assert "use --force" in archive.fails(1, "acq", "delete", "empty")
    assert archive.ok("acq", "delete", "empty", "--files", "--force") == "Deleted acquisition empty.\n"
    assert archive.all(ACQS) == [("pilot",)]
    assert "no acquisition called 'empty'" in archive.fails(1, "acq", "delete", "empty", "--force")


def test_an_acquisition_with_files_needs_an_option(archive: Archive) -> None:
    archive.file("a")
    for options in ((), ("--force",), ("--check",)):
        message = archive.fails(1, "acq", "delete", "pilot", *options)
        assert "acquisition pilot: still has 1 file;" in message
        assert "too: alpenhorn acq delete pilot --files" in message
    archive.fails(2, "acq", "delete", "pilot", "--check", "--force")


def test_an_acquisition_goes_with_its_files_and_no_others(archive: Archive) -> None:
    for name in ("a", "b"):
        archive.file(name, off1="NN")
    archive.file("a", acq="other", field1="YY")
    before = archive.rows()
    what = "2 files of pilot (1.95 KiB), and acquisition pilot, from the index"
    assert archive.ok("acq", "delete", "pilot", "--files", "--check") == f"Would delete {what}.\n"
    assert archive.rows() == before
    assert "use --force" in archive.fails(1, "acq", "delete", "pilot", "--files")
    assert archive.ok("acq", "delete", "pilot", "--files", "--force") == (
        f"To delete: {what}.\nDeleted 2 files of pilot from the index.\nDeleted acquisition pilot.\n"
    )
    assert archive.all(ACQS) == [("other",)]
    assert archive.all("SELECT name FROM archivefile") == [("a",)]
    assert archive.all("SELECT has_file FROM archivefilecopy") == [("Y",)]
    assert "no rows point to missing rows" in archive.ok("db", "check")


def test_a_file_with_a_copy_keeps_its_acquisition_and_the_others(archive: Archive) -> None:
    archive.file("a", off1="NN")
    archive.file("b", off2="YN")
    for options in ((), ("--force",), ("--check",)):
        message = archive.fails(1, "acq", "delete", "pilot", "--files", *options)
        assert "file pilot/b: not deleted: it has a copy on node off2;" in message
