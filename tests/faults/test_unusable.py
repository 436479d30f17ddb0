"""Configurations and indexes that cannot be used: status 3, one clear message, nothing changed."""

import pytest


@pytest.fixture
def pair(archive):
    archive.node("field")
    archive.node("safe", archive=1)
    archive.pull = archive.request(archive.file("acq/f", b"bytes", "field"), "field", "safe")
    archive.configure()
    return archive


COMMANDS = [["sync"], ["plan"], ["status"]]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_an_index_that_is_too_new_is_refused(pair, command):
    pair.do("UPDATE dataindexversion SET version = 99 WHERE component = 'alpenhorn'")
    before = pair.dump()
    result = pair.run(*command)
    assert result.status == 3 and "99" in result.err and "2" in result.err
    assert pair.dump() == before


def test_our_own_tables_that_are_too_new_are_refused(pair):
    pair.do("UPDATE dataindexversion SET version = 99 WHERE component = 'sync'")
    result = pair.sync()
    assert result.status == 3 and "99" in result.err
    assert pair.state(pair.pull) == "pending"


def test_an_index_without_our_tables_is_refused_with_the_remedy(pair):
    pair.do("DROP TABLE sync_claim")
    pair.do("DELETE FROM dataindexversion WHERE component = 'sync'")
    result = pair.sync()
    assert result.status == 3 and "db init" in result.err


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize(
    "url",
    ["mysql://nobody@127.0.0.1:1/none", "sqlite:////no/such/index.db"],
)
def test_an_index_that_is_not_there_is_refused(sqlite_archive, command, url):
    conf = sqlite_archive.configure(database={"url": url})
    result = sqlite_archive.run(*command, conf=conf)
    assert result.status == 3, result
    assert len(result.err.splitlines()) <= 3


def test_a_file_that_is_no_index_is_refused_and_kept(sqlite_archive):
    other = sqlite_archive.base / "other.db"
    content = b"no database\n" * 500
    other.write_bytes(content)
    result = sqlite_archive.sync(conf=sqlite_archive.configure(database={"url": f"sqlite:///{other}"}))
    assert result.status == 3, result
    assert other.read_bytes() == content


def test_all_faults_of_a_configuration_are_reported_at_once(sqlite_archive):
    conf = sqlite_archive.base / "bad.toml"
    conf.write_text(
        '[sync]\njobs = 0\nhots = "x"\n[transfer]\nssh = "ssh"\n[nonsense]\na = 1\n[log]\nlevel = "loud"\n'
    )
    before = sqlite_archive.dump()
    for command in COMMANDS:
        result = sqlite_archive.run(*command, conf=conf)
        assert result.status == 3
        for key in ("jobs", "hots", "ssh", "nonsense", "level"):
            assert key in result.err
        assert str(conf) in result.err
    assert sqlite_archive.dump() == before


@pytest.mark.parametrize("content", [b"[sync\n", b"\xff\xfe", b"sync = 1\n"])
def test_a_configuration_that_cannot_be_read_is_refused(sqlite_archive, content):
    conf = sqlite_archive.base / "bad.toml"
    conf.write_bytes(content)
    assert sqlite_archive.sync(conf=conf).status == 3
    assert sqlite_archive.sync(conf=sqlite_archive.base / "none.toml").status == 3


@pytest.mark.parametrize(
    "arguments",
    [["--jobs", "0"], ["--jobs", "x"], ["--only", "nonsense"], ["--time-limit", "soon"], ["--nonsense"]],
)
def test_wrong_usage_ends_with_status_2(sqlite_archive, arguments):
    assert sqlite_archive.sync(*arguments).status == 2


def test_a_log_that_cannot_be_written_is_reported(sqlite_archive):
    conf = sqlite_archive.configure(log={"file": "/no/such/directory/log"})
    result = sqlite_archive.sync(conf=conf)
    assert result.status == 3 and "/no/such/directory/log" in result.err
