"""SHA-256 sums beside MD5 sums: computed by imports, checks and pulls, and compared with what is known.

Two files with the same MD5 sum are made on purpose, not by chance.  These are the ones of X. Wang and H. Yu ("How to
break MD5 and other hash functions", EUROCRYPT 2005).
"""

from __future__ import annotations

import hashlib

import pytest

from tests.fixtures.archive import Archive, Result

FIRST = bytes.fromhex(
    "d131dd02c5e6eec4693d9a0698aff95c2fcab58712467eab4004583eb8fb7f8955ad340609f4b30283e488832571415a"
    "085125e8f7cdc99fd91dbdf280373c5bd8823e3156348f5bae6dacd436c919c6dd53e2b487da03fd02396306d248cda0"
    "e99f33420f577ee8ce54b67080a80d1ec69821bcb6a8839396f9652b6ff72a70"
)
SECOND = bytes.fromhex(
    "d131dd02c5e6eec4693d9a0698aff95c2fcab50712467eab4004583eb8fb7f8955ad340609f4b30283e4888325f1415a"
    "085125e8f7cdc99fd91dbd7280373c5bd8823e3156348f5bae6dacd436c919c6dd53e23487da03fd02396306d248cda0"
    "e99f33420f577ee8ce54b67080280d1ec69821bcb6a8839396f965ab6ff72a70"
)
WITH = {"sync": {"sha256": True}}
WITHOUT = {"sync": {"sha256": False}}
METHODS = {"copy": {"archive": 1}, "link": {}}


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def sums(archive: Archive) -> dict[int, str]:
    return dict(archive.all("SELECT file_id, sha256 FROM sync_digest"))


def checked(archive: Archive, node: str) -> Result:
    assert archive.run("file", "verify", "acq/f", node).status == 0
    return archive.sync("--only", "check")


def content(archive: Archive, node: str) -> bytes:
    return (archive.root(node) / "acq/f").read_bytes()


@pytest.fixture
def two(archive: Archive) -> Archive:
    """Nodes one and two of this host, which computes SHA-256 sums."""
    archive.node("one", archive=1)
    archive.node("two", archive=1)
    archive.configure(**WITH)
    assert FIRST != SECOND and hashlib.md5(FIRST).digest() == hashlib.md5(SECOND).digest()
    return archive


def test_an_import_records_both_sums_and_every_later_reading_compares_them(two: Archive) -> None:
    two.put("one", "acq/f", FIRST)
    assert two.run("file", "import", "acq/f", "one", "--register-new").status == 0
    two.synced()
    file_id = two.one("SELECT id FROM archivefile")
    assert sums(two) == {file_id: sha256(FIRST)}
    assert sha256(FIRST) in two.run("file", "show", "acq/f").out
    assert two.run("file", "show", "acq/f", "--json").json["sha256"] == sha256(FIRST)

    # A pull of the same, and a check.
    request = two.request(file_id, "one", "two")
    two.synced()
    assert two.state(request) == "done" and content(two, "two") == FIRST
    assert checked(two, "two").silent

    # A file that MD5 cannot tell from it.
    two.put("two", "acq/f", SECOND)
    found = checked(two, "two")
    assert found.status == 1 and "MD5 sum agrees" in found.err and sha256(SECOND) in found.err, found
    assert two.copy(file_id, "two") == "XY" and sums(two) == {file_id: sha256(FIRST)}


def test_an_import_of_a_known_file_compares(two: Archive) -> None:
    file_id = two.file("acq/f", FIRST, "one")
    assert checked(two, "one").silent and sums(two) == {file_id: sha256(FIRST)}
    two.put("two", "acq/f", SECOND)
    assert two.run("file", "import", "acq/f", "two").status == 0
    found = two.sync()
    assert found.status == 1 and sha256(SECOND) in found.err
    assert two.copy(file_id, "two") == "XY"
    assert two.all("SELECT code FROM sync_event WHERE what = 'corrupt'") == [("copy-sha256-wrong",)]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("known", [True, False])
def test_a_pull_compares_what_is_known_and_records_what_is_not(
    two: Archive, method: str, known: bool
) -> None:
    two.node("three", **METHODS[method])
    two.do("UPDATE storagenode SET archive = 0 WHERE name = 'one'")
    file_id = two.file("acq/f", FIRST, "one", "two")
    if known:
        assert checked(two, "two").silent
        two.put("one", "acq/f", SECOND)
    request = two.request(file_id, "one", "three")
    found = two.sync("--only", "pull")
    if not known:
        assert found.silent and content(two, "three") == FIRST and sums(two) == {file_id: sha256(FIRST)}
        return
    assert found.status == 1 and sha256(SECOND) in found.err, found
    assert two.copy(file_id, "one") == "MY"  # its check finds out
    # The request was served from the other copy, and nothing else came.
    assert two.state(request) == "done" and two.tree("three") == {"acq/f": FIRST}
    two.sync()
    assert two.copy(file_id, "one") == "XY" and sums(two) == {file_id: sha256(FIRST)}


def test_a_corrupt_source_alone_is_not_pulled(two: Archive) -> None:
    file_id = two.file("acq/f", FIRST, "one")
    assert checked(two, "one").silent
    two.put("one", "acq/f", SECOND)
    request = two.request(file_id, "one", "two")
    assert two.sync("--only", "pull").status == 1
    assert two.state(request) == "pending" and two.tree("two") == {}


def test_a_host_without_the_option_records_nothing_and_finds_out_about_suspect_copies(two: Archive) -> None:
    """Otherwise a copy that pulls elsewhere refuse would be good here, and suspect again, for ever."""
    two.configure(**WITHOUT)
    file_id = two.file("acq/f", FIRST, "one")
    request = two.request(file_id, "one", "two")
    two.synced()
    assert two.state(request) == "done" and checked(two, "one").silent and sums(two) == {}
    two.insert("sync_digest", file_id=file_id, size_b=128, md5sum=md5(FIRST), sha256=sha256(SECOND))
    found = checked(two, "one")
    assert found.status == 1 and sha256(SECOND) in found.err and two.copy(file_id, "one") == "XY"


def test_contents_that_change_drop_the_sum(two: Archive) -> None:
    file_id = two.file("acq/f", FIRST, "one")
    assert checked(two, "one").silent
    # The daemon changes the file's row only.
    new = b"new contents"
    two.do("UPDATE archivefile SET size_b = ?, md5sum = ?", len(new), md5(new))
    assert "SHA-256" not in two.run("file", "show", "acq/f").out
    assert two.run("file", "show", "acq/f", "--json").json["sha256"] is None
    two.put("one", "acq/f", new)
    assert checked(two, "one").silent and sums(two) == {file_id: sha256(new)}
    # So does a user, with a copy that nobody has read.
    assert two.run("file", "modify", "acq/f", "--md5", "0" * 32).status == 0
    assert sums(two) == {}


def collided(two: Archive) -> int:
    """The first sum on record is that of a forged copy, on one; the copy on two is the right one."""
    file_id = two.file("acq/f", FIRST, "one", "two")
    two.put("one", "acq/f", SECOND)
    assert checked(two, "one").silent
    found = checked(two, "two")
    assert found.status == 1 and "--from-copy two" in found.err and two.copy(file_id, "two") == "XY", found
    return file_id


def test_nothing_replaces_either_of_two_files_with_one_md5_sum_without_a_decision(two: Archive) -> None:
    file_id = collided(two)
    request = two.request(file_id, "one", "two")
    refused = two.run("repair", "--force")
    text = " ".join(refused.out.split())
    assert refused.status == 1 and "another SHA-256 sum" in text, refused
    assert "--replace --file acq/f;" in text and "modify acq/f --from-copy two" in text
    for _ in range(2):
        assert "another SHA-256 sum" in two.sync().err
    assert two.state(request) == "pending"
    assert content(two, "one") == SECOND and content(two, "two") == FIRST

    # The decision for the contents on record keeps the others.
    assert two.run("repair", "--replace", "--node", "two", "--file", "acq/f", "--force").status == 0
    two.sync()
    two.sync()
    assert two.copy(file_id, "two") == "YY" and content(two, "two") == SECOND
    kept = [path for path in (two.root("two") / "acq").iterdir() if path.name != "f"]
    assert [path.read_bytes() for path in kept] == [FIRST]


def test_the_decision_for_the_other_contents_replaces_the_sum(two: Archive) -> None:
    file_id = collided(two)
    shown = two.run("file", "modify", "acq/f", "--from-copy", "two", "--check")
    assert shown.status == 0 and sha256(FIRST) in shown.out and sums(two) == {file_id: sha256(SECOND)}
    done = two.run("file", "modify", "acq/f", "--from-copy", "two", "--force")
    assert done.status == 0 and sha256(FIRST) in done.out, done
    assert sums(two) == {file_id: sha256(FIRST)}
    assert two.sync().status == 1
    assert two.copy(file_id, "two") == "YY" and two.copy(file_id, "one") == "XY"
    assert content(two, "one") == SECOND and content(two, "two") == FIRST


def test_a_file_that_is_created_from_its_contents_has_both_sums(two: Archive) -> None:
    two.put("one", "acq/f", FIRST)
    assert two.run("acq", "create", "acq").status == 0
    arguments = ("file", "create", "f", "acq", "--from-file", "--prefix", str(two.root("one")))
    assert two.run(*arguments).status == 0
    assert list(sums(two).values()) == [sha256(FIRST)]
    two.do("DELETE FROM archivefilecopy")
    assert two.run("file", "delete", "acq/f", "--force").status == 0
    assert sums(two) == {}
