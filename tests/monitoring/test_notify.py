"""Notifications of real runs, received by a real server, Apprise's own JSON target, and a program."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from alpenhorn.fs.run_lock import RUN_LOCK
from tests.fixtures.archive import Archive, Result, clock, stand_in
from tests.fixtures.http import HttpRequest, HttpServer

SECRET = "0f9a4c1e-secret"
TOKEN = "token-of-the-channel"


def configure(archive: Archive, sync: dict[str, Any] | None = None, **notify: Any) -> None:
    archive.configure(sync={"remind_after": "1d"} | (sync or {}), notify=notify)


def pinged(requests: list[HttpRequest]) -> list[str]:
    """Return what the dead man's switch was told."""
    assert all(one.method == "POST" for one in requests)
    return [one.path.removeprefix(f"/{SECRET}") for one in requests if one.path.startswith(f"/{SECRET}")]


def messages(requests: list[HttpRequest]) -> list[tuple[str, str]]:
    """Return type and text of the messages to Apprise's JSON target."""
    return [
        (one.json["type"], f"{one.json['title']}\n{one.json['message']}")
        for one in requests
        if one.path == f"/{TOKEN}"
    ]


@contextmanager
def held(archive: Archive, *nodes: str) -> Iterator[None]:
    """Let another process hold the run locks of nodes."""
    code = (
        "import sys; from alpenhorn.fs.run_lock import RunLock\n"
        "locks = [RunLock(path) for path in sys.argv[1:]]\n"
        "print(all([lock.acquire() for lock in locks]), flush=True)\n"
        "sys.stdin.read()"
    )
    paths = [str(archive.root(node) / RUN_LOCK) for node in nodes]
    command = [sys.executable, "-c", code, *paths]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdin is not None
        assert other.stdout.readline() == "True\n"
        yield
        other.stdin.close()
        assert other.wait() == 0


@pytest.fixture
def notified(sqlite_archive: Archive, http_server: HttpServer) -> Archive:
    """An archive with nodes a and b, whose runs ping the server and send it messages."""
    sqlite_archive.node("a")
    sqlite_archive.node("b")
    place = http_server.place
    configure(sqlite_archive, ping=f"http://{place}/{SECRET}", apprise=[f"json://{place}/{TOKEN}"])
    return sqlite_archive


def test_a_run_that_works_pings_its_start_and_its_success_and_sends_no_message(
    notified: Archive, http_server: HttpServer
) -> None:
    notified.put("a", "acq/f", b"bytes")
    notified.synced()
    requests = http_server.take()
    assert pinged(requests) == ["/start", ""] and messages(requests) == []
    assert "sync run 1 on here ended with status 0 after" in requests[1].body
    assert "nodes: a, b" in requests[1].body
    notified.synced()
    assert pinged(http_server.take()) == ["/start", ""]


def test_an_index_that_cannot_be_opened_is_reported_once_and_its_end_too(
    notified: Archive, http_server: HttpServer
) -> None:
    index = Path(notified.url.removeprefix("sqlite:///"))
    notified.index.disconnect()
    aside = index.rename(index.with_suffix(".aside"))
    assert notified.sync().status == 3
    requests = http_server.take()
    assert pinged(requests) == ["/start", "/fail"]
    assert "ended with status 3" in requests[1].body and "index" in requests[1].body
    ((kind, text),) = messages(requests)
    assert kind == "failure"
    assert text.startswith("alpenhorn on here: run failed with status 3\nfailed: the sync run failed: index ")
    again = notified.sync()
    assert again.status == 3 and "note" not in again.err
    requests = http_server.take()
    assert pinged(requests) == ["/start", "/fail"] and messages(requests) == []
    tomorrow = notified.sync(environ=clock("+25h"))
    assert tomorrow.status == 3
    ((kind, text),) = messages(http_server.take())
    assert kind == "failure" and "(since 20" in text, "a reminder"
    aside.rename(index)
    notified.synced()
    requests = http_server.take()
    assert pinged(requests) == ["/start", ""]
    ((kind, text),) = messages(requests)
    assert kind == "success"
    assert text.startswith("alpenhorn on here: problems resolved\nresolved after ") and "index" in text


def test_a_node_that_is_left_out_is_no_success(notified: Archive, http_server: HttpServer) -> None:
    root = notified.root("b")
    notified.synced()
    http_server.take()
    root.rename(root.with_name("away"))
    assert notified.sync().status == 0
    requests = http_server.take()
    assert pinged(requests) == ["/start", "/log"] and "left out: b" in requests[-1].body + requests[1].body
    ((kind, text),) = messages(requests)
    assert kind == "warning" and text.startswith("alpenhorn on here: needs attention\nnote: node b")
    notified.synced()
    requests = http_server.take()
    assert pinged(requests) == ["/start", "/log"] and messages(requests) == []
    root.with_name("away").rename(root)
    assert notified.sync().status == 0
    requests = http_server.take()
    assert pinged(requests) == ["/start", ""]
    ((kind, text),) = messages(requests)
    assert kind == "success" and "resolved after" in text and "node b" in text


@pytest.mark.parametrize(("nodes", "status"), [(("a", "b"), 75), (("a",), 0)])
def test_nodes_that_another_run_holds_are_no_success(
    notified: Archive, http_server: HttpServer, nodes: tuple[str, ...], status: int
) -> None:
    notified.synced()
    http_server.take()
    with held(notified, *nodes):
        result = notified.sync()
    assert result.status == status and result.silent
    requests = http_server.take()
    assert pinged(requests) == ["/start", "/log"] and messages(requests) == []
    notified.synced()
    assert pinged(http_server.take()) == ["/start", ""]


def test_a_part_of_the_work_is_neither_success_nor_failure(
    notified: Archive, http_server: HttpServer
) -> None:
    notified.synced()
    http_server.take()
    for command in (("sync", "--node", "a"), ("sync", "--only", "check"), ("reconcile",)):
        assert notified.run(*command).status == 0
        assert pinged(http_server.take()) == ["/log"]
    assert notified.run("node", "manifest", "a").status == 0
    assert pinged(http_server.take()) == ["/log"]
    notified.run("reconcile", "--dry-run")
    notified.run("sync", "--dry-run")
    assert http_server.take() == []
    assert notified.sync("--node", "no-such-node").status == 1
    requests = http_server.take()
    assert pinged(requests) == ["/log"] and "no-such-node" in messages(requests)[0][1]


def test_on_a_terminal_only_the_switch_is_told(notified: Archive, http_server: HttpServer) -> None:
    notified.root("b").rename(notified.base / "away")
    conf = notified.base / "here.toml"
    command = f"{sys.executable} -m alpenhorn -c {conf} sync"
    environ = {"HOME": str(notified.base), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
    shown = subprocess.run(
        ["script", "-qec", command, "/dev/null"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        env=environ,
    )
    assert shown.returncode == 0 and "Traceback" not in shown.stdout, shown
    requests = http_server.take()
    assert pinged(requests) == ["/start", "/log"] and messages(requests) == []
    assert notified.sync().status == 0
    assert len(messages(http_server.take())) == 1, "a run without a terminal reports it"


def test_a_command_gets_the_message_and_the_event(sqlite_archive: Archive, tmp_path: Path) -> None:
    archive = sqlite_archive
    archive.node("a")
    archive.node("b", made=False)
    said = tmp_path / "said.txt"
    script = f'{{ echo "$ALPENHORN_EVENT $ALPENHORN_HOST $ALPENHORN_EXIT_STATUS $1"; cat; }} >> {said}'
    directory = stand_in(tmp_path / "bin", "tell-us", script).parent
    configure(archive, command=["tell-us", "loudly"])
    assert archive.sync(path=str(directory)).status == 0
    lines = said.read_text().splitlines()
    assert lines[:3] == ["warning here 0 loudly", "alpenhorn on here: needs attention", ""]
    assert len(lines) == 4 and lines[3].startswith("note: node b")
    assert archive.sync(path=str(directory)).status == 0
    assert len(said.read_text().splitlines()) == 4
    assert archive.sync("--node", "nowhere", path=str(directory)).status == 1
    assert "failure here 1 loudly\nalpenhorn on here: run failed with status 1\n" in said.read_text()


def checked(archive: Archive, result: Result) -> str:
    """Return what a run printed, which must not contain a secret, nor must its log."""
    log = (archive.base / "here.log").read_text()
    for secret in (SECRET, TOKEN):
        assert secret not in result.out + result.err + log
    return result.err


def test_a_server_that_never_answers_only_delays_the_end(
    sqlite_archive: Archive, silent_place: str, http_server: HttpServer
) -> None:
    sqlite_archive.node("a")
    sqlite_archive.node("b", made=False)
    apprise = [f"json://{silent_place}/{TOKEN}", f"json://{http_server.place}/{TOKEN}"]
    configure(sqlite_archive, ping=f"http://{silent_place}/{SECRET}", apprise=apprise)
    began = time.monotonic()
    result = sqlite_archive.sync()
    assert time.monotonic() - began < 30
    assert result.status == 0
    told = checked(sqlite_archive, result)
    assert f"note: notification by ping http://{silent_place}/… failed: no answer within 10 s" in told
    assert "note: notification by apprise 1 (json://…) failed: " in told and "apprise 2" not in told
    assert len(messages(http_server.take())) == 1


def test_a_failing_delivery_is_printed_when_it_begins_and_ends_and_repeated(
    sqlite_archive: Archive, refusing_place: str, http_server: HttpServer, tmp_path: Path
) -> None:
    """The command stands for a channel that fails first, and the server for one that works."""
    archive = sqlite_archive
    archive.node("a")
    archive.node("b", made=False)
    broken = tmp_path / "broken"
    broken.touch()
    script = f"cat >> {tmp_path}/said.txt; test ! -e {broken}"
    program = stand_in(tmp_path / "bin", "tell-us", script)
    notify = {"apprise": [f"json://{http_server.place}/{TOKEN}"], "command": [str(program)]}
    configure(archive, ping=f"http://{refusing_place}/{SECRET}", **notify)
    told = checked(archive, archive.sync())
    assert f"note: notification by ping http://{refusing_place}/… failed: Connection refused" in told
    assert f"note: notification by command {program} failed: " in told and "status 1" in told
    assert len(messages(http_server.take())) == 1
    again = archive.sync()
    assert again.status == 0 and again.silent, "cron does not mail it again"
    assert (tmp_path / "said.txt").read_text().count("note: node b") == 2, "but it is tried again"
    assert messages(http_server.take()) == [], "where it worked it is not"
    broken.unlink()
    configure(archive, ping=f"http://{http_server.place}/{SECRET}", **notify)
    told = checked(archive, archive.sync())
    assert told.count("note: resolved after ") == 2 and "Connection refused" in told
    assert (tmp_path / "said.txt").read_text().count("note: node b") == 3
    archive.synced()
    assert (tmp_path / "said.txt").read_text().count("note: node b") == 3


def test_a_problem_that_ended_before_it_could_be_delivered_is_reported_later(
    sqlite_archive: Archive, tmp_path: Path
) -> None:
    archive = sqlite_archive
    archive.node("a")
    broken = tmp_path / "broken"
    broken.touch()
    program = stand_in(tmp_path / "bin", "tell-us", f"test ! -e {broken} && cat >> {tmp_path}/said.txt")
    configure(archive, command=[str(program)])
    assert archive.sync("--node", "nowhere").status == 1
    broken.unlink()
    assert archive.sync().status == 0
    said = (tmp_path / "said.txt").read_text()
    assert "earlier, not notified then: failed: the sync run failed" in said and "nowhere" in said


def test_messages_are_sent_at_most_as_often_as_wanted(notified: Archive, http_server: HttpServer) -> None:
    place = http_server.place
    configure(notified, apprise=[f"json://{place}/{TOKEN}"], at_most_every="2h")
    notified.synced()
    notified.root("b").rename(notified.base / "away")
    assert notified.sync().status == 0
    assert len(messages(http_server.take())) == 1
    assert notified.sync("--node", "nowhere").status == 1
    (notified.base / "away").rename(notified.root("b"))
    assert notified.sync(environ=clock("+1h")).status == 0
    assert messages(http_server.take()) == [], "an hour later there is none"
    assert notified.sync(environ=clock("+3h")).status == 0
    ((_, text),) = messages(http_server.take())
    assert "resolved after" in text and "node b" in text
    assert "earlier, not notified then: failed: the sync run failed" in text and "nowhere" in text
    assert notified.sync(environ=clock("+6h")).status == 0
    assert messages(http_server.take()) == []


def test_only_wanted_levels_and_events_are_sent(notified: Archive, http_server: HttpServer) -> None:
    apprise = [f"json://{http_server.place}/{TOKEN}"]
    configure(notified, apprise=apprise, level="failure", events=["begin"])
    notified.synced()
    notified.root("b").rename(notified.base / "away")
    assert notified.sync().status == 0
    assert http_server.take() == [], "a warning"
    assert notified.sync("--node", "nowhere").status == 1
    assert [kind for kind, _ in messages(http_server.take())] == ["failure"]
    (notified.base / "away").rename(notified.root("b"))
    assert notified.sync().status == 0
    assert http_server.take() == [], "the end"


def test_a_state_file_that_is_missing_or_garbage_only_repeats_messages(
    notified: Archive, http_server: HttpServer
) -> None:
    notified.root("b").rename(notified.base / "away")
    assert notified.sync().status == 0
    (state,) = (notified.base / ".local" / "state" / "alpenhorn").glob("*.json")
    assert SECRET not in state.read_text() and TOKEN not in state.read_text()
    assert state.stat().st_mode & 0o077 == 0 and state.parent.stat().st_mode & 0o077 == 0
    good = state.read_text()
    for bad in ("", "[]", "{", '{"ping": 3}', good.replace("17", "1e300"), good[: len(good) // 2], "\0"):
        state.write_text(bad)
        http_server.take()
        assert notified.sync().status == 0
        assert len(messages(http_server.take())) == 1, bad
    assert notified.sync().status == 0
    assert messages(http_server.take()) == []


def test_without_a_place_for_the_state_messages_are_sent_with_a_warning(
    notified: Archive, http_server: HttpServer, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    notified.root("b").rename(notified.base / "away")
    for _ in range(2):
        result = notified.sync(environ={"XDG_STATE_HOME": str(tmp_path / "file")})
        assert result.status == 0 and "what was notified cannot be kept here: Not a directory" in result.err
        assert len(messages(http_server.take())) == 1


def test_two_hosts_in_one_home_have_states_of_their_own(notified: Archive, http_server: HttpServer) -> None:
    notified.node("c", host="there", made=False)
    notified.configure("there", notify={"apprise": [f"json://{http_server.place}/{TOKEN}"]})
    notified.root("b").rename(notified.base / "away")
    assert notified.sync().status == 0 and notified.sync(host="there").status == 1
    titles = [text.partition("\n")[0] for _, text in messages(http_server.take())]
    assert titles == [
        "alpenhorn on here: needs attention",
        "alpenhorn on there: run failed with status 1",
    ]


def test_notify_test_tries_each_channel(
    sqlite_archive: Archive, http_server: HttpServer, refusing_place: str, tmp_path: Path
) -> None:
    archive = sqlite_archive
    place = http_server.place
    program = stand_in(tmp_path / "bin", "tell-us", f"cat > {tmp_path}/said.txt")
    urls = [f"json://{place}/{TOKEN}"]
    configure(archive, ping=f"http://{place}/{SECRET}", apprise=urls, command=[str(program)])
    result = archive.run("notify", "test")
    assert result.status == 0 and result.err == ""
    assert result.out.splitlines() == [
        f"ok      ping http://{place}/…",
        "ok      apprise 1 (json://…)",
        f"ok      command {program}",
    ]
    requests = http_server.take()
    assert pinged(requests) == ["/log"], "which does not tell that a run worked"
    assert [kind for kind, _ in messages(requests)] == ["info"]
    assert (tmp_path / "said.txt").read_text().startswith("alpenhorn on here: test\n\nThis is a test")

    http_server.answers = {f"/{SECRET}/log": (404, b"no"), f"/{TOKEN}": (403, b"no")}
    urls += [f"json://{refusing_place}/{TOKEN}", f"nonsense://{TOKEN}"]
    configure(archive, ping=f"http://{place}/{SECRET}", apprise=urls, command=["no-such-program"])
    result = archive.run("notify", "test")
    assert result.status == 1
    assert result.out.splitlines() == [
        f"failed  ping http://{place}/…: HTTP status 404",
        "failed  apprise 1 (json://…): HTTP status 403",
        "failed  apprise 2 (json://…): not delivered: the service refused it or did not answer",
        "failed  apprise 3 (nonsense://…): the URL is not valid for this service",
        "failed  command no-such-program: no-such-program is not on PATH; install it, or set its path",
    ]
    http_server.answers = {f"/{SECRET}/log": (200, b"OK (not found)")}
    configure(archive, ping=f"http://{place}/{SECRET}")
    assert "the server does not know this URL" in archive.run("notify", "test").out
    archive.configure()
    assert "no notifications are configured" in archive.run("notify", "test").err


def test_the_address_of_a_ping_may_have_a_query(sqlite_archive: Archive, http_server: HttpServer) -> None:
    sqlite_archive.node("a")
    configure(sqlite_archive, ping=f"http://{http_server.place}/{SECRET}/?who=a")
    sqlite_archive.synced()
    assert pinged(http_server.take()) == ["/start?who=a", "?who=a"]


def test_a_run_that_hangs_is_reported_by_the_next_ones(notified: Archive, http_server: HttpServer) -> None:
    notified.synced()
    http_server.take()
    with held(notified, "a", "b"):
        for number in (1, 0):
            assert notified.sync(environ=clock("+7h")).status == 75
            requests = http_server.take()
            assert pinged(requests) == ["/start", "/log"] and "left out: a, b" in requests[1].body
            assert len(messages(requests)) == number
            if number:
                assert "another run has held a, b for" in messages(requests)[0][1]
    assert notified.sync(environ=clock("+7h")).status == 0
    ((kind, text),) = messages(http_server.take())
    assert kind == "success" and "another run has held" in text
