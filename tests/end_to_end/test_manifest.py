"""Manifests of nodes: anyone who has a disk can check it, and a disk that comes back changed is noticed."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from alpenhorn.coordinator.manifests import FEW_TOUCHED
from alpenhorn.model.nodes import MANIFEST, MARKER
from tests.fixtures.archive import WRITTEN, wait_for

pytestmark = pytest.mark.one_engine

NAMES = [
    "plain",
    "with blank",
    "new\nline",
    "back\\slash",
    "car\rriage",
    "#hash",
    "-dash",
    "ü",
    "sub/dir/x",
    " lead",
]


def md5sum(root, *options):
    """Run the real md5sum on a copy of the files only."""
    return subprocess.run(
        ["md5sum", *options, "-c", MANIFEST], cwd=root, capture_output=True, text=True, errors="replace"
    )


def listed(root):
    """Return (path, length, sum) of each entry, as md5sum and a parser of the sizes read them."""
    found, size = [], None
    for line in (root / MANIFEST).read_bytes().splitlines(keepends=True)[1:]:
        if line.startswith(b"# size "):
            size = int(line[7:].split()[0])
        elif not line.startswith(b"#"):
            mark, digest, path = re.fullmatch(rb"(\\?)([0-9a-f]{32})  (.*)\n", line, re.DOTALL).groups()
            if mark:
                path = re.sub(rb"\\(.)", lambda m: {b"n": b"\n", b"r": b"\r", b"\\": b"\\"}[m[1]], path)
            found.append((os.fsdecode(path), size, digest.decode()))
    return sorted(found)


def known(archive, node):
    """Return the same data from the index."""
    rows = archive.all(
        "SELECT a.name, f.name, f.size_b, f.md5sum FROM archivefilecopy c JOIN archivefile f ON f.id = c.file_id"
        " JOIN archiveacq a ON a.id = f.acq_id JOIN storagenode n ON n.id = c.node_id"
        " WHERE n.name = ? AND c.has_file = 'Y'",
        node,
    )
    return sorted((f"{acq}/{name}", size_b, md5sum) for acq, name, size_b, md5sum in rows)


def token(archive, node):
    rows = archive.all(
        "SELECT s.manifest FROM sync_node s JOIN storagenode n ON n.id = s.node_id WHERE n.name = ?", node
    )
    return rows[0][0] if rows else None


def suspects(archive):
    return [file_id for file_id, _ in archive.events("suspect")]


def command(archive, *arguments, host="here"):
    result = archive.run(*arguments, host=host)
    assert result.status == 0, result
    return result.out


# --- the manifest that somebody asks for ---------------------------------------------------------------


@pytest.fixture
def asked(archive):
    """A node with files of many names, and its manifest."""
    archive.node("field")
    archive.node("safe", archive=1)
    for number, name in enumerate(NAMES):
        archive.file(f"acq/{name}", bytes(number), "field")
    out = command(archive, "node", "manifest", "field")
    assert f"{archive.root('field')}/{MANIFEST}: 10 files, 45 B" in out
    assert f"cd {archive.root('field')} && md5sum --quiet -c {MANIFEST}" in out
    return archive


def test_md5sum_checks_a_node_with_any_names_at_any_path(asked):
    root = asked.root("field")
    done = md5sum(root, "--strict")
    assert done.returncode == 0 and done.stdout.count(": OK\n") == len(NAMES), done
    assert listed(root) == known(asked, "field")
    elsewhere = asked.base / "copied"
    shutil.copytree(root, elsewhere)
    shutil.rmtree(root)
    done = md5sum(elsewhere, "--quiet", "--strict")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    (elsewhere / "acq/plain").write_bytes(b"!")
    (elsewhere / "acq/back\\slash").unlink()
    done = md5sum(elsewhere, "--quiet")
    assert done.returncode == 1 and "acq/plain: FAILED" in done.stdout and "back" in done.stdout


def test_each_run_keeps_it_current_and_an_idle_one_leaves_it(asked):
    before = (asked.root("field") / MANIFEST).read_bytes()
    asked.synced()
    assert (asked.root("field") / MANIFEST).read_bytes() == before

    pulled = asked.file("acq/pulled", b"from the archive", "safe")
    asked.request(pulled, "safe", "field")
    asked.synced()
    assert len(listed(asked.root("field"))) == len(NAMES) + 1

    asked.put("field", "other/found", b"found by a search")
    command(asked, "node", "scan", "field", "--register-new")
    asked.synced()
    assert ("other/found", 17) in [entry[:2] for entry in listed(asked.root("field"))]

    asked.node("vault", archive=1)
    asked.set_copy(pulled, "vault", "YY")
    asked.put("vault", "acq/pulled", b"from the archive")
    command(asked, "file", "clean", "acq/pulled", "--node", "field", "--now")
    asked.synced()
    assert asked.copy(pulled, "field") == "NN" and len(listed(asked.root("field"))) == len(NAMES) + 1

    corrupt = asked.file("acq/corrupt", b"as it was", "field")
    command(asked, "file", "verify", "acq/corrupt", "field")
    asked.put("field", "acq/corrupt", b"as it is.")
    assert asked.sync().status == 1
    assert asked.copy(corrupt, "field") == "XY"

    assert listed(asked.root("field")) == known(asked, "field")
    assert md5sum(asked.root("field"), "--quiet", "--strict").returncode == 0
    assert asked.stray("field") == [] and suspects(asked) == []


@pytest.mark.parametrize("files", [120, FEW_TOUCHED + 1])  # the existing one is changed, or written anew
def test_an_updated_manifest_equals_a_new_one(asked, files):
    asked.requests(asked.files(files, "safe", acq="later"), "safe", "field")
    asked.synced()
    added = listed(asked.root("field"))
    command(asked, "node", "manifest", "field")
    assert added == listed(asked.root("field")) == known(asked, "field") and len(added) == len(NAMES) + files


def test_state_set_by_hand_is_in_the_manifest_after_the_next_run(asked):
    command(asked, "file", "state", "acq/plain", "field", "--set", "Corrupt")
    asked.synced()
    assert listed(asked.root("field")) == known(asked, "field")
    assert "acq/plain" not in [path for path, *_ in listed(asked.root("field"))]


def test_a_file_without_length_or_sum_and_one_of_a_wrong_name_are_left_out_and_nothing_is_written_twice(
    asked,
):
    for name, columns in (("unknown", {"md5sum": None}), ("odd", {"md5sum": "x"}), ("no", {"size_b": None})):
        asked.file(f"acq/{name}", b"", "field", **columns)
    outside = asked.file("acq/../outside", b"")
    asked.set_copy(outside, "field", "YY")
    command(asked, "node", "manifest", "field")
    assert len(listed(asked.root("field"))) == len(NAMES)
    before = (asked.root("field") / MANIFEST).stat().st_ino
    asked.synced()
    assert (asked.root("field") / MANIFEST).stat().st_ino == before
    asked.request(asked.file("acq/new", b"new", "safe"), "safe", "field")
    asked.synced()
    assert len(listed(asked.root("field"))) == len(NAMES) + 1
    assert "anew" not in (asked.base / "here.log").read_text()


@pytest.mark.parametrize("spoil", ["cut", "line", "count", "other"])
def test_a_garbled_manifest_is_written_again(asked, spoil):
    at = asked.root("field") / MANIFEST
    lines = at.read_bytes().splitlines(keepends=True)
    match spoil:
        case "cut":
            lines = lines[:-1]
        case "line":
            lines[5] = b"garbage\n"
        case "count":
            del lines[4:6]
        case "other":
            lines = [b"d41d8cd98f00b204e9800998ecf8427e  somebody's own\n"]
    at.write_bytes(b"".join(lines))
    asked.request(asked.file("acq/new", b"new", "safe"), "safe", "field")
    asked.synced()
    assert (
        listed(asked.root("field")) == known(asked, "field") and len(known(asked, "field")) == len(NAMES) + 1
    )
    assert suspects(asked) == []


def test_a_removed_manifest_is_reported_once_and_written_again_after_a_comparison(asked):
    (asked.root("field") / MANIFEST).unlink()
    (asked.root("field") / "acq/plain").unlink()
    result = asked.sync()
    assert "the manifest of node field is missing" in result.err
    assert len(suspects(asked)) == 1
    asked.synced()
    assert listed(asked.root("field")) == known(asked, "field")


def test_the_command_reports_why_it_cannot_and_what_to_do(asked):
    asked.node("off", active=0)
    asked.node("away", made=False)
    asked.node("far", host="there")
    for node, parts in {
        "nonesuch": ("no node called 'nonesuch'", "alpenhorn node list"),
        "off": ("it is not active", "alpenhorn node activate off"),
        "away": ("mount it", "no manifest was written"),
        "far": ("it is on host there, and this is here", "no manifest was written"),
    }.items():
        # That a node is not there is noted for all hosts; what failed is in the history.
        noted = ("sync_run", "sync_medium", "sync_event")
        before = asked.dump(*noted)
        result = asked.run("node", "manifest", node)
        assert result.status == 1 and all(part in result.err for part in parts), result
        assert asked.dump(*noted) == before
    assert {what for (what,) in asked.all("SELECT what FROM sync_event")} == {"failed"}


def test_the_command_does_not_write_during_a_run(asked):
    from alpenhorn.fs.run_lock import RUN_LOCK, RunLock

    with RunLock(asked.root("field") / RUN_LOCK) as lock:
        result = asked.run("node", "manifest", "field")
        assert result.status == 75 and "another run is working on field" in result.err
        waiting = asked.start("node", "manifest", "field", "--wait")
        wait_for(waiting.workers, "its workers")
        lock.release()
        assert waiting.result().status == 0


def test_every_node_gets_a_manifest_without_a_comparison(archive):
    """A large archive without manifests must not be compared file by file."""
    archive.node("field")
    archive.node("safe", archive=1)
    archive.node("empty")
    archive.request(archive.file("acq/f", b"bytes", "field"), "field", "safe")
    unseen = archive.file("acq/unseen", b"bytes", "field")
    (archive.root("field") / "acq/unseen").unlink()
    archive.synced()
    for node in ("field", "safe"):
        assert listed(archive.root(node)) == known(archive, node) != []
    assert not (archive.root("empty") / MANIFEST).exists()
    assert archive.copy(unseen, "field") == "YY"
    before = (archive.root("field") / MANIFEST).stat().st_ino
    archive.synced()
    assert (archive.root("field") / MANIFEST).stat().st_ino == before


def test_a_run_flushes_the_file_once_and_an_idle_one_does_not_load_what_writes_it(sqlite_archive):
    archive = sqlite_archive
    archive.node("field")
    archive.node("safe")
    archive.file("acq/f", b"bytes", "field")
    archive.synced()
    archive.request(archive.file("acq/new", b"bytes", "field"), "field", "safe")
    out = archive.base / "trace"
    command = [sys.executable, "-m", "alpenhorn", "-c", str(archive.configure()), "sync"]
    calls = "trace=fsync,fdatasync,syncfs,sync_file_range"
    environ = {"HOME": str(archive.base), "LANG": "C.UTF-8", "PATH": os.environ["PATH"]}
    traced = ["strace", "-f", "-y", "-qq", "-e", calls, "-o", str(out), *command]
    assert subprocess.run(traced, env=environ, capture_output=True).returncode == 0
    flushed = re.findall(r"\w+\(\d+<([^>]*)>", out.read_text())
    for node in ("field", "safe"):
        private = str(archive.root(node) / ".alpenhorn")
        assert len([path for path in flushed if path.startswith(private) and "manifest.md5" in path]) == 1
        assert private not in flushed
    idle = subprocess.run(
        [command[0], "-X", "importtime", *command[1:]], env=environ, capture_output=True, text=True
    )
    assert idle.returncode == 0 and "alpenhorn.coordinator.manifest_due" in idle.stderr
    assert not {
        "alpenhorn.coordinator.manifests",
        "alpenhorn.model.manifests",
        "alpenhorn.record.manifest",
    } & set(re.findall(r"[a-z_.]+$", idle.stderr, re.MULTILINE))


def test_a_manifest_rolled_back_by_a_power_failure_is_not_trusted(archive):
    """On a disk that is not carried, the name of the manifest is not flushed."""
    archive.node("field")
    archive.node("safe")
    first, second = (archive.file(f"acq/{name}", b"bytes", "field") for name in ("first", "second"))
    archive.request(first, "field", "safe")
    archive.synced()
    old = (archive.root("safe") / MANIFEST).read_bytes()
    archive.request(second, "field", "safe")
    archive.synced()
    (archive.root("safe") / MANIFEST).write_bytes(old)
    (archive.root("safe") / "acq/second").unlink()
    assert "node safe has changed since it was last seen here" in archive.sync().err
    assert archive.copy(second, "safe") == "NY"
    archive.synced()
    assert listed(archive.root("safe")) == known(archive, "safe")


def test_a_link_in_place_of_the_manifest_is_not_followed(asked):
    at, victim = asked.root("field") / MANIFEST, asked.base / "victim"
    victim.write_text("precious")
    at.unlink()
    at.symlink_to(victim)
    asked.synced()
    assert victim.read_text() == "precious" and not at.is_symlink()
    assert listed(asked.root("field")) == known(asked, "field")


# --- disks that were out of sight ----------------------------------------------------------------------

FILES = ["kept", "removed", "cut", "overwritten", "link"]


@pytest.fixture
def truck(archive):
    """A disk filled on one host; each file has a second copy on telescope."""
    archive.node("telescope", host="field")
    archive.node("vault", host="site", archive=1)
    archive.group("truck", io_class="Transport")
    archive.node("disk", group="truck", host="field")
    for name in FILES:
        archive.request(
            archive.file(f"acq/{name}", b"content of " + name.encode(), "telescope"), "telescope", "truck"
        )
    archive.synced(host="field")
    assert md5sum(archive.root("disk"), "--quiet", "--strict").returncode == 0
    assert listed(archive.root("disk")) == known(archive, "disk") and len(known(archive, "disk")) == len(
        FILES
    )
    return archive


def carried(archive):
    """Deactivate the disk, and activate it on the other host."""
    command(archive, "node", "deactivate", "disk", host="field")
    at = archive.base / "mnt"
    archive.root("disk").rename(at)
    return at


def arrived(archive, at):
    command(archive, "node", "activate", "disk", "--host", "site", "--root", str(at), host="site")


def change(root):
    (root / "acq/removed").unlink()
    os.truncate(root / "acq/cut", 3)
    (root / "acq/overwritten").write_bytes(b"CONTENT OF OVERWRITTEN")
    (root / "acq/link").unlink()
    (root / "acq/link").symlink_to("kept")


def of(archive, node):
    rows = archive.all(
        "SELECT f.name, c.has_file FROM archivefilecopy c JOIN archivefile f ON f.id = c.file_id"
        " JOIN storagenode n ON n.id = c.node_id WHERE n.name = ?",
        node,
    )
    return dict(rows)


def test_changes_on_a_carried_disk_are_reported_and_no_longer_count_as_good(truck):
    at = carried(truck)
    change(at)
    untouched = (at / "acq/kept").stat()
    arrived(truck, at)
    command(truck, "node", "sync", "disk", "vault", "--force", host="site")
    result = truck.sync(host="site")
    assert "node disk has changed since it was last seen here" in result.err and "(4 times)" in result.err
    assert "the first: acq/" in result.err
    # What is told is what checks then found, and only what is whole went on.
    assert of(truck, "disk") == {"kept": "Y", "removed": "N", "cut": "X", "overwritten": "X", "link": "X"}
    assert {name for name, has in of(truck, "vault").items() if has == "Y"} == {"kept"}
    why = dict(
        truck.all(
            "SELECT f.name, e.why FROM sync_event e JOIN archivefile f ON f.id = e.file_id"
            " WHERE e.what = 'suspect' ORDER BY e.id DESC"
        )
    )
    assert why["removed"] == "node disk came back changed: it is missing"
    assert "its length is 3 bytes, the index says 14" in why["cut"]
    assert "it was modified after the manifest was written" in why["overwritten"]
    assert "it is not a regular file" in why["link"]
    assert "kept" not in why
    after = (at / "acq/kept").stat()
    assert (after.st_ino, after.st_mtime_ns) == (untouched.st_ino, untouched.st_mtime_ns)
    # From here on there is nothing more to tell of it, and the manifest is what is good.
    assert [path for path, *_ in listed(at)] == ["acq/kept"]
    assert md5sum(at, "--quiet").returncode == 0


@pytest.mark.both_engines
def test_a_changed_copy_never_allows_a_deletion(truck):
    """The deletion needs two other copies; the one on the changed disk would be the second."""
    truck.do("UPDATE storagenode SET archive = 1 WHERE name = 'disk'")
    ids = {name: truck.one("SELECT id FROM archivefile WHERE name = ?", name) for name in FILES}
    for name, file_id in ids.items():
        truck.put("vault", f"acq/{name}", b"content of " + name.encode())
        truck.set_copy(file_id, "vault", "YY")
    truck.node("near", host="site")
    for name, file_id in ids.items():
        os.utime(truck.put("near", f"acq/{name}", b"content of " + name.encode()), (WRITTEN, WRITTEN))
        truck.set_copy(file_id, "near", "YN")
    at = carried(truck)
    change(at)
    arrived(truck, at)
    truck.sync(host="site")
    assert of(truck, "near") == {"kept": "N", **dict.fromkeys(("removed", "cut", "overwritten", "link"), "Y")}


def test_an_unchanged_disk_comes_back_silently(truck):
    later = 4_000_000_000 * 10**9  # as from a source whose clock is far ahead
    os.utime(truck.root("disk") / "acq/kept", ns=(later, later))
    command(truck, "file", "verify", "acq/kept", "disk", host="field")
    truck.synced(host="field")
    at = carried(truck)
    arrived(truck, at)
    truck.synced(host="site")
    assert suspects(truck) == [] and set(of(truck, "disk").values()) == {"Y"}
    assert "node disk was compared: 0 of 5 copies have changed" in (truck.base / "site.log").read_text()
    truck.synced(host="site")
    assert (truck.base / "site.log").read_text().count("node disk was compared") == 1


def out_of_sight(archive, root):
    """Unmount the disk for one run, overwrite a file, and mount it again."""
    root.rename(archive.base / "in hand")
    assert archive.sync(host="field").status == 0
    (archive.base / "in hand/acq/overwritten").write_bytes(b"CONTENT OF OVERWRITTEN")
    (archive.base / "in hand").rename(root)


@pytest.mark.parametrize("trusted", [False, True])
def test_a_disk_that_a_run_found_absent_is_compared(truck, trusted):
    """`trusted`, the mutant: the absence was not recorded, so nothing is noticed."""
    before = token(truck, "disk")
    out_of_sight(truck, truck.root("disk"))
    assert token(truck, "disk") is None
    if trusted:
        truck.do("UPDATE sync_node SET manifest = ?", before)
    result = truck.sync(host="field")
    assert ("node disk has changed since it was last seen here" in result.err) is not trusted
    assert of(truck, "disk")["overwritten"] == ("Y" if trusted else "X")
    assert (token(truck, "disk") in (None, before)) is trusted


@pytest.mark.parametrize(
    "edits",
    [
        [["deactivate"], ["activate"]],
        [["modify", "--root", "/nonexistent"], ["modify", "--root", "ROOT"]],
        [["modify", "--host", "site"], ["modify", "--host", "field"]],
    ],
    ids=["activation", "root", "host"],
)
def test_a_disk_whose_row_says_that_it_may_have_been_elsewhere_is_compared(truck, edits):
    for verb, *options in edits:
        given = [str(truck.root("disk")) if option == "ROOT" else option for option in options]
        command(truck, "node", verb, "disk", *given, host="field")
    (truck.root("disk") / "acq/removed").unlink()
    assert "node disk has changed since it was last seen here" in truck.sync(host="field").err
    assert of(truck, "disk")["removed"] == "N"


def test_a_disk_deactivated_for_a_while_by_another_program_is_compared(truck):
    truck.do("UPDATE storagenode SET active = 0 WHERE name = 'disk'")
    truck.synced(host="field")
    (truck.root("disk") / "acq/removed").unlink()
    truck.do("UPDATE storagenode SET active = 1 WHERE name = 'disk'")
    assert "node disk has changed since it was last seen here" in truck.sync(host="field").err


def test_an_edit_that_moves_nothing_leaves_it_trusted(truck):
    before = token(truck, "disk")
    command(truck, "node", "modify", "disk", "--notes", "blue", host="field")
    command(truck, "node", "activate", "disk", host="field")
    truck.synced(host="field")
    assert token(truck, "disk") == before


def test_another_disk_in_its_place_is_compared_and_the_brake_stops_the_losses(truck):
    """Looking at a wrong disk must not record copies as missing."""
    truck.request(truck.file("acq/kept2", b"2", "telescope"), "telescope", "truck")
    ids = truck.files(120, "telescope", acq="many")
    truck.requests(ids, "telescope", "truck")
    truck.synced(host="field")
    truck.root("disk").rename(truck.base / "right")
    truck.root("disk").mkdir()
    (truck.root("disk") / MARKER).write_text("disk\n")
    result = truck.sync(host="field")
    assert result.status == 1 and "the manifest of node disk is missing" in result.err, result
    assert set(of(truck, "disk").values()) == {"M"}
    assert not (truck.root("disk") / MANIFEST).exists()
    shutil.rmtree(truck.root("disk"))
    (truck.base / "right").rename(truck.root("disk"))
    result = truck.sync(host="field")
    assert result.status == 0 and "not the one in the index" in result.err, result
    assert set(of(truck, "disk").values()) == {"Y"} and truck.violations() == []
    assert listed(truck.root("disk")) == known(truck, "disk")


def test_an_interrupted_comparison_is_repeated(truck):
    at = carried(truck)
    change(at)
    arrived(truck, at)
    result = truck.sync("--time-limit", "0s", host="site")
    assert result.status == 0 and token(truck, "disk") is None and suspects(truck) == []
    assert "(4 times)" in truck.sync(host="site").err


def test_a_disk_written_before_there_were_manifests_is_compared_first(archive):
    archive.group("truck", io_class="Transport")
    archive.node("disk", group="truck")
    lost = archive.file("acq/lost", b"lost", "disk")
    archive.file("acq/there", b"there", "disk")
    (archive.root("disk") / "acq/lost").unlink()
    result = archive.sync()
    assert (
        "node disk has changed since it was last seen here" in result.err
        and archive.copy(lost, "disk") == "NY"
    )
    assert [path for path, *_ in listed(archive.root("disk"))] == ["acq/there"]
    archive.synced()
