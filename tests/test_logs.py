import logging
import os
import re
import socket
import subprocess
import sys
import time

import pytest

from alpenhorn import logs
from alpenhorn.errors import ConfigError
from alpenhorn.reasons import Code

LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (\w+) \[(\d+)\] ([\w.]+): (.*)")
log = logging.getLogger("alpenhorn.test")


@pytest.fixture(autouse=True)
def nothing_configured():
    logger = logging.getLogger("alpenhorn")
    logger.handlers = []
    logger.setLevel(logging.NOTSET)
    yield
    logs.configure()


@pytest.fixture
def file(tmp_path):
    return tmp_path / "alpenhorn.log"


def lines(file):
    return [LINE.fullmatch(line).groups() for line in file.read_text().splitlines()]


def test_a_record_is_a_line_with_level_process_and_name(file):
    logs.configure("info", str(file))
    log.info("copied %d files", 3)
    assert lines(file) == [("INFO", str(os.getpid()), "alpenhorn.test", "copied 3 files")]


def test_times_are_utc_whatever_the_zone(file):
    script = f"from alpenhorn import logs; import logging; logs.configure('info', {str(file)!r}); " + (
        "logging.getLogger('alpenhorn').info('x')"
    )
    before = time.time()
    subprocess.run([sys.executable, "-c", script], env={**os.environ, "TZ": "Asia/Tokyo"}, check=True)
    hours = [time.strftime("%Y-%m-%dT%H", time.gmtime(when)) for when in (before, time.time())]
    assert file.read_text()[:13] in hours


def test_records_below_the_level_are_left_out(file):
    logs.configure("warning", str(file))
    log.info("no")
    log.warning("yes")
    assert [line[3] for line in lines(file)] == ["yes"]


def test_the_file_is_appended_to(file):
    file.write_text("earlier\n")
    logs.configure("info", str(file))
    log.info("later")
    assert file.read_text().startswith("earlier\n2")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a\n2025-01-01T00:00:00.000Z INFO forged", r"a\n2025-01-01T00:00:00.000Z INFO forged"),
        ("a\rb", r"a\rb"),
        ("a\x1b[2Jb", r"a\x1b[2Jb"),
        ("a\x85b\u2028c", r"a\x85b\u2028c"),
        ("a\0b", r"a\x00b"),
        (os.fsdecode(b"a\xffb"), r"a\udcffb"),
        ("Zürich/データ", "Zürich/データ"),
    ],
)
def test_a_hostile_name_stays_in_its_line(file, name, shown):
    logs.configure("info", str(file))
    log.info("found %s", name)
    assert [line[3] for line in lines(file)] == [f"found {shown}"]


def test_a_traceback_is_in_the_line_of_its_record(file):
    logs.configure("info", str(file))
    try:
        raise LookupError("deep\ninside")
    except LookupError:
        log.exception("failed")
    [(level, _, _, text)] = lines(file)
    assert level == "ERROR"
    assert text.startswith(r"failed\nTraceback") and text.endswith(r"LookupError: deep\ninside")


def test_a_rotated_log_is_opened_anew(file):
    logs.configure("info", str(file))
    log.info("one")
    file.rename(file.with_suffix(".1"))
    log.info("two")
    file.unlink()
    log.info("three")
    assert [line[3] for line in lines(file.with_suffix(".1"))] == ["one"]
    assert [line[3] for line in lines(file)] == ["three"]


def test_a_log_that_cannot_be_opened_is_named(tmp_path):
    path = tmp_path / "absent" / "log"
    with pytest.raises(ConfigError, match=f"log file {path} cannot be opened: No such file or directory"):
        logs.configure("info", str(path))


def test_a_log_that_cannot_be_written_is_reported_once_and_without_traceback(capsys):
    logs.configure("info", "/dev/full")
    log.info("one")
    log.info("two")
    assert capsys.readouterr().err == "alpenhorn: log file /dev/full: [Errno 28] No space left on device\n"


def test_a_log_whose_directory_vanished_does_not_end_the_run(file, capsys):
    file.parent.joinpath("sub").mkdir()
    moving = file.parent / "sub" / "log"
    logs.configure("info", str(moving))
    moving.unlink()
    moving.parent.rmdir()
    log.info("one")
    assert "No such file or directory" in capsys.readouterr().err


def test_stderr_gets_brief_lines_without_traceback(capsys):
    logs.configure(stderr_level="warning")
    log.info("no")
    try:
        raise LookupError
    except LookupError:
        log.exception("bad\nthing")
    assert capsys.readouterr().err == "alpenhorn: error: bad\\nthing\n"


def test_records_of_one_logger_are_kept_off_stderr_and_in_the_file(file, capsys):
    logs.configure("info", str(file), stderr_level="info", not_on_stderr="alpenhorn.printed")
    logs.logging.getLogger("alpenhorn.printed").warning("a note")
    log.info("a step")
    assert [line[3] for line in lines(file)] == ["a note", "a step"]
    assert capsys.readouterr().err == "alpenhorn: info: a step\n"


def test_file_and_stderr_have_separate_levels(file, capsys):
    logs.configure("debug", str(file), stderr_level="error")
    log.debug("detail")
    log.error("trouble")
    assert [line[3] for line in lines(file)] == ["detail", "trouble"]
    assert capsys.readouterr().err == "alpenhorn: error: trouble\n"


def test_with_nothing_configured_nothing_is_printed():
    script = "from alpenhorn import logs; logs.configure(); logs.logging.getLogger('alpenhorn.x').error('x')"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert (done.stdout, done.stderr) == (b"", b"")


def test_configuring_again_closes_what_was_open(file):
    logs.configure("info", str(file))
    before = len(os.listdir("/proc/self/fd"))
    logs.configure("info", str(file))
    assert len(os.listdir("/proc/self/fd")) == before
    log.info("once")
    assert len(lines(file)) == 1


def test_situation_10_the_system_log_gets_records_or_its_absence_is_reported_once(capsys):
    path = "/dev/log"
    if os.path.exists(path):
        logs.configure("info", syslog=True)
        log.info("hello")
        return
    logs.configure("info", syslog=True)
    log.info("nobody hears it")
    log.info("nor this")
    told = capsys.readouterr().err
    assert told.count("cannot write to the system log /dev/log (set syslog = false in [log]): ") == 1, told
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        try:
            receiver.bind(path)
        except PermissionError:
            return
        try:
            receiver.settimeout(20)
            logs.configure("info", syslog=True)
            log.info("hello\nworld")
            expected = rf"<14>alpenhorn\[{os.getpid()}\]: INFO alpenhorn.test: hello\\nworld\x00"
            assert re.fullmatch(expected, receiver.recv(1000).decode())
        finally:
            os.unlink(path)


def test_a_forwarded_record_is_logged_by_the_parent_as_it_was(file):
    sent = []
    logs.configure("info", str(file))
    logs.forward(sent.append)
    log.debug("below the level")
    created = time.time()
    try:
        raise LookupError("inside")
    except LookupError:
        log.exception("failed %s", "twice")
    assert file.read_text() == ""
    [record] = sent
    assert abs(record.created - created) < 10
    logs.configure("info", str(file))
    logs.replay(record._replace(pid=4711))
    [(level, pid, name, text)] = lines(file)
    assert (level, pid, name) == ("ERROR", "4711", "alpenhorn.test")
    assert text.startswith(r"failed twice\nTraceback") and text.endswith("LookupError: inside")


def test_a_line_that_gives_a_reason_ends_with_its_code(file, capsys):
    reason = Code.SOURCE_INACTIVE(node="a")
    logs.configure("info", str(file), stderr_level="info")
    log.info("not pulled: %s; %s", reason, "acq/f")
    log.info(reason)
    log.info("no reason: %s", str(reason))
    try:
        raise LookupError
    except LookupError:
        log.exception("%s", reason)
    sent = []
    logs.forward(sent.append)
    log.warning("%s", reason)
    logs.configure("info", str(file))
    logs.replay(sent[0])
    texts = [text for *_, text in lines(file)]
    assert texts[:3] == [
        "not pulled: source node a is not active; acq/f [source-inactive]",
        "source node a is not active [source-inactive]",
        "no reason: source node a is not active",
    ]
    assert texts[3].startswith(r"source node a is not active [source-inactive]\nTraceback")
    assert texts[4] == "source node a is not active [source-inactive]"
    assert "[source-inactive]" not in capsys.readouterr().err


def test_a_message_that_does_not_fit_its_arguments_does_not_end_a_job(capsys):
    logs.forward(lambda record: None)
    log.error("%d", "x")
    assert capsys.readouterr().err.startswith("alpenhorn: invalid log message: %d format")


def test_logging_is_cheap_to_import():
    script = "import sys, alpenhorn.logs; print(*sys.modules)"
    modules = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout
    assert not {"logging.handlers", "socket", "pickle"} & set(modules.split())
