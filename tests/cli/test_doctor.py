"""`alpenhorn doctor`, as a user runs it."""

from __future__ import annotations

import datetime
import os
import pty
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from alpenhorn.doctor.config import user
from alpenhorn.fs.run_lock import RUN_LOCK, RunLock
from alpenhorn.index.versions import VERSIONS
from alpenhorn.model.nodes import MARKER
from tests.fixtures.archive import Archive, Result, stand_in
from tests.fixtures.rsync import KNOWN, old_rsync
from tests.index.daemon import make_daemon_index


class Line:
    def __init__(self, level: str, text: str, remedy: str) -> None:
        self.level, self.text, self.remedy = level, text, remedy

    def __repr__(self) -> str:
        return f"{self.level}  {self.text} -> {self.remedy}"


def lines(result: Result) -> list[Line]:
    found: list[Line] = []
    *said, summary = result.out.splitlines()
    for line in said:
        if line.startswith("      "):
            found[-1].remedy = line.strip()
        else:
            level, text = re.fullmatch(r"(pass|warn|fail)  (\S.*)", line).groups()  # type: ignore[union-attr]
            found.append(Line(level, text, ""))
    warnings, failures = (sum(line.level == level for line in found) for level in ("warn", "fail"))
    more = "; nodes and other hosts were not checked" if result.status == 3 else ""
    assert summary == (
        f"{warnings} warning{'' if warnings == 1 else 's'}, {failures} failure{'' if failures == 1 else 's'}{more}"
    )
    return found


def wrong(result: Result) -> list[Line]:
    return [line for line in lines(result) if line.level != "pass"]


def only(result: Result, level: str, status: int, text: str, remedy: str = "") -> None:
    """One thing is wrong, and it is this."""
    assert result.status == status, result
    (line,) = wrong(result)
    assert line.level == level and re.search(text, line.text) and re.search(remedy, line.remedy), line


def doctor(archive: Archive, *arguments: str, **options: Any) -> Result:
    result = archive.run("doctor", *arguments, **options)
    assert result.err == ""
    return result


@pytest.fixture
def both(tmp_path: Path, index_url: str) -> Iterator[Archive]:
    """An empty archive, on each of the two engines in turn."""
    made = Archive(tmp_path, index_url)
    yield made
    made.close()


@pytest.fixture
def sound(both: Archive) -> Archive:
    """A host with a node on which a run was just made."""
    both.node("field")
    both.synced()
    return both


@pytest.fixture
def one(sqlite_archive: Archive) -> Archive:
    """The same, for what has nothing to do with the engine of the index."""
    sqlite_archive.node("field")
    sqlite_archive.synced()
    return sqlite_archive


def test_doctor_on_a_sound_host_only_passes(sound: Archive) -> None:
    result = doctor(sound)
    assert result.status == 0
    assert wrong(result) == []
    text = result.out
    for word in (
        "here.toml",
        "/etc/alpenhorn/alpenhorn.toml",
        "[sync] host in",
        "here.log",
        "can be reached",
        f"alpenhorn 2, sync {VERSIONS['sync']}",
        "byte for byte",
        "clock",
        "the index is writable",
        "active nodes: field",
        "rsync ",
        "ssh ",
        "succeeded",
    ):
        assert word in text, word
    root = re.escape(str(sound.root("field")))
    free = rf"pass  node field: {root} is mounted, writable and lockable, and has \d+\.\d\d [kMGTPE]iB free"
    assert re.search(rf"^{free}$", text, re.MULTILINE)
    assert ("mysqlclient" in text) is not sound.index.dialect.in_a_file
    assert "\x1b" not in text


def test_doctor_changes_neither_the_index_nor_a_disk(sound: Archive) -> None:
    sound.node("fresh")  # without locks, and never run on
    sound.node("unmarked", made=False).mkdir()
    (sound.base / "fresh").chmod(0o755)
    before = (sound.dump(), {name: sound.everything(name) for name in ("field", "fresh", "unmarked")})
    sound.index.disconnect()
    files = sorted(path for path in sound.base.rglob("*") if "said" not in path.parts)
    log = (sound.base / "here.log").read_bytes()
    assert doctor(sound).status == 1
    assert sorted(path for path in sound.base.rglob("*") if "said" not in path.parts) == files
    assert (sound.base / "here.log").read_bytes() == log
    assert (sound.dump(), {name: sound.everything(name) for name in ("field", "fresh", "unmarked")}) == before


def test_json_is_one_document_of_the_same_findings(one: Archive) -> None:
    (one.root("field") / MARKER).write_text("other\n")
    result = doctor(one, "--json")
    assert result.status == 1
    assert {frozenset(finding) for finding in result.json} == {frozenset({"level", "text", "remedy", "code"})}
    assert [finding["level"] for finding in result.json].count("fail") == 1
    shown = lines(doctor(one))
    assert [(f["level"], f["remedy"]) for f in result.json] == [(line.level, line.remedy) for line in shown]


def test_quietly_it_tells_only_what_is_wrong(one: Archive) -> None:
    quiet = one.run("-q", "doctor")
    assert (quiet.status, quiet.out) == (0, "0 warnings, 0 failures\n")


def test_on_a_terminal_it_is_coloured_and_says_what_it_waits_for(one: Archive) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "alpenhorn", "-c", str(one.base / "here.toml"), "doctor"],
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
        env=os.environ | {"TERM": "xterm"},
    )
    os.close(theirs)
    said = b""
    while True:
        try:
            part = os.read(ours, 4096)
        except OSError:  # its end has closed the last descriptor
            break
        said += part
    os.close(ours)
    assert process.wait() == 0
    assert b"\x1b[32mpass\x1b[0m  " in said and "… the nodes of this host".encode() in said
    assert said.rstrip().endswith(b"0 warnings, 0 failures")


def test_each_line_is_there_as_soon_as_it_is_known(one: Archive) -> None:
    """The configuration is told while ssh, which never tells its version, is still being waited for."""
    hangs = stand_in(one.base / "tools", "ssh", "exec sleep 1000")
    conf = one.configure(transfer={"ssh": [str(hangs)]})
    running = one.start("doctor", conf=conf)
    end = time.monotonic() + 60
    while "this host is named" not in running.said()[0]:
        assert time.monotonic() < end and running.process.poll() is None
    assert not running.said()[0].rstrip().endswith("failures")
    result = running.result()
    running.wait_until_nothing_is_left()
    only(result, "warn", 0, "did not print its version within 10 s")


# --- configuration -------------------------------------------------------------------------------------


def test_all_faults_of_all_files_are_told_and_the_tools_still_looked_at(tmp_path: Path, one: Archive) -> None:
    first, second = tmp_path / "first.toml", tmp_path / "second.toml"
    first.write_text("[sync]\njob = 1\n")
    second.write_text("[log]\nlevel = 1\n[transfer]\nrsync = 2\n")
    result = doctor(one, conf=second, environ={"ALPENHORN_CONFIG_FILE": str(first)})
    assert result.status == 3
    assert [line.text.partition(": ")[0] for line in wrong(result)] == [str(first), str(second), str(second)]
    assert {line.level for line in wrong(result)} == {"fail"}
    assert re.search(r"^pass  rsync \d", result.out, re.MULTILINE)


def test_a_named_file_that_is_not_there_is_told_once(one: Archive) -> None:
    only(doctor(one, conf=one.base / "none.toml"), "fail", 3, "none.toml: no such file")


def test_without_any_configuration_it_says_so_and_makes_no_index(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "alpenhorn", "doctor"],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    result = Result(done.returncode, done.stdout, done.stderr)
    only(result, "warn", 0, "no index is configured", "alpenhorn db init")
    assert "the machine's name up to the first dot" in result.out
    assert list(tmp_path.iterdir()) == []


def test_a_log_file_that_cannot_be_written_fails(one: Archive) -> None:
    (one.base / "logs").mkdir()
    for name, text in (("no/log", "no such directory"), ("logs", "is a directory")):
        conf = one.configure(log={"file": str(one.base / name)})
        only(doctor(one, conf=conf), "fail", 1, text, "mkdir -p|set a file")
    locked = one.base / "logs" / "a.log"
    locked.touch(mode=0o400)
    conf = one.configure(log={"file": str(locked)})
    result = powerless(one, conf)
    assert any(line.level == "fail" and "a.log cannot be written" in line.text for line in wrong(result))
    conf = one.configure(log={"file": str(one.base / "logs" / "b.log")})
    (one.base / "logs").chmod(0o500)
    result = powerless(one, conf)
    assert any(line.level == "fail" and "b.log cannot be created" in line.text for line in wrong(result))
    assert not (one.base / "logs" / "b.log").exists()


def powerless(archive: Archive, conf: Path) -> Result:
    """The command run by a user whom permissions bind, root too."""
    kept = ("--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search")
    done = subprocess.run(
        [
            *(() if os.geteuid() else ("setpriv", *kept)),
            *(sys.executable, "-m", "alpenhorn", "-c", str(conf), "doctor"),
        ],
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "LANG": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""
    return Result(done.returncode, done.stdout, done.stderr)


def test_a_system_log_that_is_not_there_fails(one: Archive) -> None:
    if os.path.exists("/dev/log"):
        assert (
            "the system log /dev/log is writable" in doctor(one, conf=one.configure(log={"syslog": True})).out
        )
    else:
        only(doctor(one, conf=one.configure(log={"syslog": True})), "fail", 1, "/dev/log", "syslog = false")


def test_a_password_that_others_can_read_is_warned_of(mariadb_archive: Archive) -> None:
    archive = mariadb_archive
    archive.node("field")
    archive.synced()
    password = archive.base / "password"
    password.write_text("\n")
    conf = archive.configure(database={"password_file": str(password)})
    password.chmod(0o640)
    assert wrong(doctor(archive, conf=conf)) == []
    password.chmod(0o644)
    only(doctor(archive, conf=conf), "warn", 0, "password file .* read by others", f"chmod o-rwx {password}")


def test_a_password_in_a_url_in_a_file_that_others_can_read_is_warned_of(
    tmp_path: Path, one: Archive
) -> None:
    conf = tmp_path / "conf.toml"
    conf.write_text('[database]\nurl = "mysql://ann:s3cret@127.0.0.1:1/index"\n')
    conf.chmod(0o644)
    result = doctor(one, conf=conf)
    assert result.status == 3 and "s3cret" not in result.out
    assert [line.level for line in wrong(result)] == ["warn", "fail"]
    assert "password_file" in wrong(result)[0].remedy
    conf.chmod(0o640)
    assert [line.level for line in wrong(doctor(one, conf=conf))] == ["fail"]


# --- the index -----------------------------------------------------------------------------------------


def test_an_index_that_cannot_be_reached_ends_with_3_after_everything_else(one: Archive) -> None:
    for url in (f"sqlite:///{one.base}/none.db", "mysql://nobody@127.0.0.1:1/none"):
        result = doctor(one, conf=one.configure(database={"url": url}))
        only(
            result,
            "fail",
            3,
            "no such file; run `alpenhorn db init`|check the address and that the server is running",
        )
        assert re.search(r"^pass  rsync", result.out, re.MULTILINE)


def test_an_index_that_the_daemon_made_is_explained(one: Archive, index_url: str) -> None:
    from alpenhorn.index.connection import Index

    url = index_url.replace("index.db", "other.db")
    index = Index.open(url, create=True)
    make_daemon_index(index)
    index.close()
    result = doctor(one, conf=one.configure(database={"url": url}))
    only(result, "fail", 3, "component sync; run `alpenhorn db init`")


def test_doctor_includes_the_quick_checks_of_db_check(sound: Archive) -> None:
    sound.index.execute(
        "DROP INDEX archiveacq_name" + ("" if sound.index.dialect.in_a_file else " ON archiveacq")
    )
    only(doctor(sound), "fail", 1, "no unique index on name", "CREATE UNIQUE INDEX")


def test_a_table_of_ours_that_is_gone_is_told_without_a_stumble(sound: Archive) -> None:
    sound.index.execute("DROP TABLE sync_run")
    result = doctor(sound)
    assert result.status == 3
    assert any("missing tables: sync_run" in line.text for line in wrong(result)), wrong(result)


def test_an_sqlite_index_that_cannot_be_written_fails(one: Archive) -> None:
    one.index.execute("PRAGMA journal_mode = delete")
    one.index.close()
    (one.base / "index.db").chmod(0o444)
    result = powerless(one, one.base / "here.toml")
    assert result.status == 1
    (line,) = (line for line in wrong(result) if line.text.startswith("index "))
    assert line.level == "fail" and "make the file and its directory writable" in line.text


def test_a_mariadb_user_who_may_only_read_fails(mariadb_archive: Archive, mariadb: Any) -> None:
    archive = mariadb_archive
    archive.node("field")
    archive.synced()
    mariadb.run("CREATE USER reader", "GRANT SELECT ON *.* TO reader", "FLUSH PRIVILEGES")
    conf = archive.configure(database={"url": archive.url.replace("root@", "reader@")})
    only(doctor(archive, conf=conf), "fail", 1, "permission denied; grant this user the missing privilege")
    mariadb.run("GRANT SELECT, INSERT, UPDATE ON *.* TO reader", "FLUSH PRIVILEGES")
    only(
        doctor(archive, conf=conf),
        "fail",
        1,
        "permission denied; grant this user the missing privilege .*DELETE",
    )
    mariadb.run("GRANT SELECT, INSERT, UPDATE, DELETE ON *.* TO reader", "FLUSH PRIVILEGES")
    assert wrong(doctor(archive, conf=conf)) == []
    mariadb.run("DROP USER reader")


def test_a_host_that_is_not_in_the_index_is_told_with_near_names(sound: Archive) -> None:
    result = doctor(sound, conf=sound.configure(sync={"host": "hree"}))
    only(
        result,
        "fail",
        1,
        "no host called 'hree'; did you mean 'here'",
        "alpenhorn host create hree, .*\\[sync\\] host",
    )


def test_a_host_without_active_nodes_is_warned_of(sound: Archive) -> None:
    sound.do("UPDATE storagenode SET active = 0")
    only(doctor(sound), "warn", 0, "no active node", "alpenhorn node activate field")
    sound.do("DELETE FROM storagenode")
    only(doctor(sound), "warn", 0, "no active node", "alpenhorn node create NAME --host here")


# --- tools ---------------------------------------------------------------------------------------------


def without(archive: Archive, *names: str) -> dict[str, str]:
    """A PATH on which those programs are not."""
    directory = archive.base / "some"
    directory.mkdir()
    for name in {"rsync", "ssh", "setpriv"} - set(names):
        (directory / name).symlink_to(shutil.which(name) or "")
    return {"PATH": str(directory)}


@pytest.mark.parametrize("tool", ["rsync", "ssh"])
def test_a_missing_tool_is_a_warning_unless_pulls_from_other_hosts_need_it(sound: Archive, tool: str) -> None:
    environ = without(sound, tool)
    only(doctor(sound, environ=environ), "warn", 0, f"{tool} .* not on PATH", f"install {tool}")
    sound.host("there", address="192.0.2.1", username="ann")
    sound.node("far", host="there")
    sound.request(sound.file("acq/one", b"", "far"), "far", "field")
    result = doctor(sound, environ=environ)
    assert result.status == 1
    assert [(line.level, line.text.split()[0]) for line in wrong(result)] == [("fail", tool), ("warn", "not")]
    assert "there" in wrong(result)[1].text


def test_a_node_that_copies_with_rsync_needs_it_too(one: Archive) -> None:
    one.node("other", io_config='{"method": "rsync"}')
    only(doctor(one, environ=without(one, "rsync")), "fail", 1, "rsync .* not on PATH")


def test_situation_06_an_rsync_that_is_too_old_is_told_with_its_version(one: Archive) -> None:
    old = old_rsync(
        one.base / "tools", "3.0.9", KNOWN.replace("|--info=progress2", "").replace("|--outbuf=*", "")
    )
    conf = one.configure(transfer={"rsync": str(old)})
    only(doctor(one, conf=conf), "warn", 0, "rsync 3.0.9 .* is too old: .* 3.1.3 or later", "newer rsync")
    conf = one.configure(transfer={"rsync": str(old_rsync(one.base / "tools", "3.1.2"))})
    only(doctor(one, conf=conf), "warn", 0, "rsync 3.1.2 .* is too old: .* 3.1.3 or later", "newer rsync")
    conf = one.configure(transfer={"rsync": str(old_rsync(one.base / "tools"))})
    assert "pass  rsync 3.1.3" in doctor(one, conf=conf).out
    assert wrong(doctor(one, conf=conf)) == []


def test_an_rsync_without_an_option_that_pulls_use(one: Archive) -> None:
    odd = old_rsync(one.base / "tools", "3.2.3", KNOWN.replace("|--from0", ""))
    conf = one.configure(transfer={"rsync": str(odd)})
    only(doctor(one, conf=conf), "warn", 0, "rsync 3.2.3 .*--from0: unknown option", "newer rsync")


def test_bbcp_is_looked_for_only_where_it_is_configured(one: Archive) -> None:
    assert not re.search("^.{4}  bbcp", doctor(one).out, re.MULTILINE)
    conf = one.configure(transfer={"bbcp": "no-bbcp"})
    only(doctor(one, conf=conf), "warn", 0, "bbcp .*no-bbcp.* not on PATH: rsync is used instead")
    bbcp = stand_in(one.base / "tools", "bbcp", "echo 17.12.00.00.0")
    assert "pass  bbcp 17.12" in doctor(one, conf=one.configure(transfer={"bbcp": str(bbcp)})).out


def test_a_tool_that_cannot_be_started_is_told(one: Archive) -> None:
    broken = stand_in(one.base / "tools", "rsync", "")
    broken.write_bytes(b"\x7fELF nonsense")
    conf = one.configure(transfer={"rsync": str(broken)})
    only(doctor(one, conf=conf), "warn", 0, "cannot be started", "reinstall rsync")


# --- nodes ---------------------------------------------------------------------------------------------


def test_a_root_that_is_not_there_fails(sound: Archive) -> None:
    sound.node("gone", made=False)
    only(doctor(sound), "fail", 1, "the root .*/gone of node gone does not exist")


def test_another_nodes_marker_fails_and_names_it(sound: Archive) -> None:
    (sound.root("field") / MARKER).write_text("other\n")
    only(doctor(sound), "fail", 1, "belongs to node 'other', not to field")


def test_no_marker_fails_until_the_next_run_is_to_make_it(sound: Archive) -> None:
    (sound.root("field") / MARKER).unlink()
    only(doctor(sound), "fail", 1, "no file ALPENHORN_NODE", "alpenhorn node init field")
    sound.run("node", "init", "field")
    only(doctor(sound), "warn", 0, "no marker yet", "alpenhorn sync")
    sound.synced()
    assert wrong(doctor(sound)) == []


def test_a_renamed_node_passes_for_itself(sound: Archive) -> None:
    sound.run("node", "rename", "field", "meadow")
    only(doctor(sound), "warn", 0, "the marker in .* has the node's former name 'field'", "alpenhorn sync")
    (sound.root("field") / MARKER).write_text("else\n")
    only(doctor(sound), "fail", 1, "belongs to node 'else', not to meadow")
    (sound.root("field") / MARKER).write_text("field\n")
    sound.synced()
    assert wrong(doctor(sound)) == []


def test_a_new_node_without_a_directory_says_how_to_make_it(one: Archive) -> None:
    root = one.node("fresh", made=False)
    one.run("node", "init", "fresh")
    only(doctor(one), "fail", 1, "does not exist", f"mkdir -p {root}")


def test_wrong_settings_of_a_node_fail(one: Archive) -> None:
    one.do("UPDATE storagenode SET io_config = '{\"jobs\": 0}'")
    only(doctor(one), "fail", 1, "io_config of node field: jobs is 0")
    one.do("UPDATE storagenode SET io_config = NULL, io_class = 'Tape'")
    only(doctor(one), "fail", 1, "no storage class 'Tape'")


def test_two_active_nodes_of_one_group_fail(one: Archive) -> None:
    one.node("second", group="field")
    only(doctor(one), "fail", 1, "group field has more than one active node", "")


def test_active_nodes_without_host_or_root_are_told(sound: Archive) -> None:
    sound.node("lost", host=None)
    only(doctor(sound), "warn", 0, "lost is active but has no host", "alpenhorn node modify lost --host")
    sound.do("UPDATE storagenode SET active = 0 WHERE name = 'lost'")
    sound.do("UPDATE storagenode SET root = NULL WHERE name = 'field'")
    only(doctor(sound), "fail", 1, "node field has no root; set it with: alpenhorn node modify field --root")


def test_doctor_names_each_file_that_a_run_could_not_write(one: Archive) -> None:
    """The classic: a run by root, and then cron as another user."""
    root = one.root("field")
    tree_lock = root / ".alpenhorn.lock"
    tree_lock.touch(0o600)
    for path in (root, root / ".alpenhorn", root / RUN_LOCK, tree_lock):
        mode = path.stat().st_mode
        path.chmod(mode & ~0o222)
        result = powerless(one, one.base / "here.toml")
        told = f"node field: {re.escape(str(path))} is not writable"
        only(result, "fail", 1, told, f"writable for {user()}")
        path.chmod(mode)
    assert wrong(powerless(one, one.base / "here.toml")) == []


def test_too_little_free_space_is_warned_of(sound: Archive) -> None:
    sound.do("UPDATE storagenode SET min_avail_gb = 1e9")
    only(doctor(sound), "warn", 0, "takes no more files", "alpenhorn node clean field")


def test_who_holds_the_run_lock_is_told_and_since_when(one: Archive) -> None:
    path = one.root("field") / RUN_LOCK
    with RunLock(path):
        result = doctor(one)
        assert wrong(result) == []
        assert re.search(
            rf"^pass  node field: a run is working on it \(pid {os.getpid()} on ", result.out, re.MULTILINE
        )
        hour_ago = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(time.time() - 3600))
        path.write_text(re.sub(r"since [-0-9]+ [:0-9]+", f"since {hour_ago}", path.read_text()))
        assert wrong(doctor(one)) == []
        # As a run decides it, which finds the node locked.
        one.configure(sync={"stuck_after": "59m"})
        told = f"another run has held node field for 1 h.*process {os.getpid()} on host"
        only(doctor(one), "warn", 0, told, f"ps .* -p {os.getpid()}")
        assert f"process {os.getpid()} on host" in one.sync().err
        path.write_bytes(b"\n".rjust(len(path.read_bytes())))
        os.utime(path, (time.time() - 7200,) * 2)
        only(doctor(one), "warn", 0, "another run has held node field for 2 h .unknown process", "")
    assert "a run is working" not in doctor(one).out


def test_doctor_never_takes_the_run_lock(one: Archive) -> None:
    """A run that starts while doctor looks must not find its node taken."""
    trace = one.base / "trace"
    argv = ["strace", "-f", "-qq", "-e", "trace=fcntl", "-y", "-o", str(trace)]
    argv += [sys.executable, "-m", "alpenhorn", "-c", str(one.base / "here.toml"), "doctor"]
    assert subprocess.run(argv, capture_output=True).returncode == 0
    calls = [line for line in trace.read_text().splitlines() if "run.lock" in line and "LK" in line]
    assert calls and all("F_OFD_GETLK" in line for line in calls), calls


# --- the last run --------------------------------------------------------------------------------------


def test_a_host_on_which_nothing_runs_is_warned_of(both: Archive) -> None:
    both.node("field")
    only(doctor(both), "warn", 0, "no run on here is recorded yet", "alpenhorn crontab")
    both.synced()
    long_ago = datetime.datetime.now(datetime.UTC).replace(tzinfo=None, microsecond=0) - datetime.timedelta(
        days=3
    )
    both.do("UPDATE sync_run SET started = ?, ended = ?", long_ago, long_ago)
    only(doctor(both), "warn", 0, "3 days ago", "alpenhorn crontab")
    both.insert(
        "sync_run",
        host="there",
        nodes="x",
        done=0,
        failed=0,
        bytes=0,
        started=datetime.datetime.now(datetime.UTC).replace(tzinfo=None),
    )
    only(doctor(both), "warn", 0, "3 days ago", "alpenhorn crontab")


def test_a_last_run_that_failed_or_was_killed_is_warned_of(one: Archive) -> None:
    one.do("UPDATE sync_run SET exit_status = 1")
    only(doctor(one), "warn", 0, "ended with status 1", "request list --state failing.*here.log")
    one.do("UPDATE sync_run SET exit_status = NULL, ended = NULL")
    only(doctor(one), "warn", 0, "did not end: it was killed, or the host went down", "alpenhorn sync")
    with RunLock(one.root("field") / RUN_LOCK):
        result = doctor(one)
    assert wrong(result) == [] and "is still running" in result.out


# --- backups -------------------------------------------------------------------------------------------


def test_an_index_without_a_recent_backup_is_warned_of(sound: Archive) -> None:
    sound.configure()
    now = sound.index.now().replace(microsecond=0)
    sound.do("UPDATE sync_run SET started = ? WHERE id = 1", now - datetime.timedelta(days=8))
    sound.synced()
    only(doctor(sound), "warn", 0, "the index has no backup", "alpenhorn db backup")
    sound.insert("sync_index", name="backup", value="/kept/index.db", at=now - datetime.timedelta(days=2))
    result = doctor(sound)
    assert wrong(result) == []
    assert "pass  the newest backup of the index is 2 days old: /kept/index.db" in result.out
    conf = sound.configure(database={"backup_within": "1d"})
    only(doctor(sound, conf=conf), "warn", 0, "backup of the index is 2 days old", "alpenhorn db backup")
