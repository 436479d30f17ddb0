"""The configuration: read TOML files and two environment variables into an immutable `Config`.

All faults of all files are reported together, so that a user can correct them at once.  Named tuples are used
since frozen dataclasses take six times as long to create at every start.
"""

# No `from __future__ import annotations`: each annotation of a named tuple would be a string, compiled at
# every start.

import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from alpenhorn import address
from alpenhorn.errors import ConfigError
from alpenhorn.suggestions import did_you_mean

SYSTEM_FILE = Path("/etc/alpenhorn/alpenhorn.toml")
# Files of the alpenhorn daemon, in YAML; further ones are in the user's directories.
DAEMON_FILES = (Path("/etc/alpenhorn/alpenhorn.conf"), Path("/etc/xdg/alpenhorn/alpenhorn.conf"))
YAML_SUFFIXES = (".conf", ".yaml", ".yml")
FILE_VARIABLE = "ALPENHORN_CONFIG_FILE"
URL_VARIABLE = "ALPENHORN_DATABASE_URL"


class Database(NamedTuple):
    """Section [database].

    `url`: sqlite:////absolute/path or mysql://user@host/name; "" with `extension`, the name of a connector of an
    installed package, which connects to the index instead.  `password_file`: a file with only a password.
    `ssl_mode`: one of SSL_MODES, or "" to derive it from the others (`tls`).  `read_default_file`,
    `read_default_group`: an option file of MariaDB's clients, such as ~/.my.cnf, and a group in it.
    `backup_within`: age in seconds at which the newest backup counts as old.  `backup_dir`: the directory for
    backups.
    """

    url: str
    password_file: Path | None = None
    ssl_ca: Path | None = None
    ssl_cert: Path | None = None
    ssl_key: Path | None = None
    ssl_mode: str = ""
    read_default_file: Path | None = None
    read_default_group: str = ""
    backup_within: float = 7 * 86_400.0
    backup_dir: Path | None = None
    extension: str = ""

    @property
    def credentials(self) -> bool:
        """Whether the password, or a replacement for it, is configured outside of the URL."""
        return bool(self.password_file or self.ssl_cert or self.read_default_file or self.read_default_group)

    @property
    def tls(self) -> str:
        """The effective one of SSL_MODES, "" for none."""
        implied = "VERIFY_IDENTITY" if self.ssl_ca else "REQUIRED" if self.ssl_cert else ""
        return self.ssl_mode or implied


class DeleteLimit(NamedTuple):
    """The maximum deletions of one run from a node without explicit permission: a `share` of its copies (0.1
    is 10 %), or a number of `files` if that is set.
    """

    share: float = 0.1
    files: int | None = None


class Sync(NamedTuple):
    """Section [sync].

    `time_limit`, `import_settle`: seconds; `time_limit` None for no limit.  `remind_after`: seconds until a
    lasting condition is reported again, 0 for every run.  `stuck_after`: seconds until other runs report a
    run that still holds nodes.  `trash`: seconds for which deleted files stay in the trash of their node; 0:
    none do, and the trash is emptied; None: none do, and what is in the trash stays until room is needed.
    `sha256`: compute SHA-256 sums beside MD5 sums.  `scheduler`: the address of the scheduler of a Dask cluster whose
    machines share the storage of nodes, "" for none.

    For deletions: `keeper_seen_within`: maximum seconds since a node was last found in order; `trust_unseen`:
    also count copies on nodes that no run has ever seen; `delete_evidence`: "index", or "stat" to also look
    at the keepers on other hosts.
    """

    host: str
    jobs: int
    time_limit: float | None = None
    archive_copy_count: int = 2
    allow_single_copy: bool = False
    auto_verify_min_days: float = 7.0
    import_settle: float = 60.0
    delete_limit: DeleteLimit = DeleteLimit()
    keeper_seen_within: float = 7 * 86_400.0
    trust_unseen: bool = False
    delete_evidence: str = "index"
    remind_after: float = 86_400.0
    stuck_after: float = 6 * 3600.0
    trash: float | None = None
    sha256: bool = False
    scheduler: str = ""


class Transfer(NamedTuple):
    """Section [transfer].

    `pull_timeout_base`: seconds.  `pull_bytes_per_second`: 0 for pulls without a deadline.  `stall_timeout`:
    seconds without progress after which a session with another host is ended, 0 for never.  `tar`: fetch small
    files from other hosts as a tar stream, if possible.  `streams`: ssh sessions for one big file, 1 to use rsync for
    it.  `verify_links`: read every file that is hard-linked, also if it has not changed since it was last read.
    `bwlimit`: the limits for fetching from other hosts, as (start as second of the local day, bytes per second or
    0 for no limit).
    """

    pull_timeout_base: float = 300.0
    pull_bytes_per_second: float = 20_000_000.0
    ssh: tuple[str, ...] = ("ssh",)
    rsync: str = "rsync"
    bbcp: str | None = None
    bwlimit: tuple[tuple[int, int], ...] = ()
    stall_timeout: float = 600.0
    tar: bool = True
    streams: int = 6
    verify_links: bool = True


class Import(NamedTuple):
    """Section [import].

    `patterns` have a named group `acq`; without any, the first directory is the acquisition.  `ignore`: new files whose
    whole path below the root matches one of these are not imported.
    """

    patterns: tuple[re.Pattern[str], ...] = ()
    ignore: tuple[re.Pattern[str], ...] = ()


class Log(NamedTuple):
    """Section [log].  `level`: one of LEVELS.  `file`: None for no log file."""

    level: str = "info"
    file: Path | None = None
    syslog: bool = False


class Metrics(NamedTuple):
    """Section [metrics].  `textfile`: the file for the Prometheus node exporter; None: no metrics are written."""

    textfile: Path | None = None


class Notify(NamedTuple):
    """Section [notify].

    `ping`: the URL of a dead man's switch, "" for none.  `apprise`: URLs of Apprise.  `command`: a program that gets
    the messages, with its arguments.  `level`: the least serious of NOTIFY_LEVELS to report.  `events`: those of
    NOTIFY_EVENTS to report.  `at_most_every`: minimum seconds between two messages.
    """

    ping: str = ""
    apprise: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    level: str = "warning"
    events: tuple[str, ...] = ("begin", "change", "remind", "end")
    at_most_every: float = 0.0

    @property
    def wanted(self) -> bool:
        """Whether anything is to be notified."""
        return bool(self.ping or self.apprise or self.command)


class Output(NamedTuple):
    """Section [output].  `time`: one of TIMES, the zone of the times that commands print."""

    time: str = "utc"


class Config(NamedTuple):
    """The configuration.

    `sources`: the files read, in order.  `embedded`: no index is configured, so the default one in the user's
    data directory is used, and may be created on first use.
    """

    database: Database
    sync: Sync
    transfer: Transfer = Transfer()
    import_: Import = Import()
    log: Log = Log()
    metrics: Metrics = Metrics()
    notify: Notify = Notify()
    output: Output = Output()
    sources: tuple[Path, ...] = ()
    embedded: bool = False


def load(explicit: Path | None, environ: Mapping[str, str]) -> Config:
    """Read the applicable files, with `explicit` (that given with -c) last.

    Raises ConfigError with one line for each fault in any of them.
    """
    return _load(search_path(explicit, environ), environ)


def load_only(path: Path, environ: Mapping[str, str]) -> Config:
    """Read one file, without any other and without the URL of the environment.  Raises ConfigError as `load` does."""
    others = {name: value for name, value in environ.items() if name != URL_VARIABLE}
    return _load([(path, "the command line")], others)


def _load(paths: Iterable[tuple[Path, str]], environ: Mapping[str, str]) -> Config:
    faults: list[str] = []
    values: dict[str, dict[str, Any]] = {section: {} for section in KEYS}
    origin: dict[tuple[str, str], str] = {}
    sources = []
    for path, named_by in paths:
        document = _read_file(path, named_by, faults)
        if document is not None:
            sources.append(path)
            _merge(document, str(path), values, origin, faults)

    url = environ.get(URL_VARIABLE)
    if url:
        _merge({"database": {"url": url}}, URL_VARIABLE, values, origin, faults)
    sync = values["sync"]
    if sync.get("archive_copy_count", 2) < 2 and not sync.get("allow_single_copy"):
        faults.append(
            f"{origin['sync', 'archive_copy_count']}: sync.archive_copy_count = {sync['archive_copy_count']}:"
            " expected 2 or more, unless allow_single_copy = true is set"
        )
    _pair_of_certificate_and_key(values["database"], origin, faults)
    _one_way_to_connect(values["database"], origin, faults)
    embedded = ("database", "url") not in origin and ("database", "extension") not in origin
    if not embedded:
        values["database"].setdefault("url", "")
    else:
        values["database"]["url"] = _embedded_url(environ, faults)
    if faults:
        raise ConfigError(*faults)
    sync.setdefault("host", os.uname().nodename.partition(".")[0])
    sync.setdefault("jobs", min(len(os.sched_getaffinity(0)), MOST_JOBS))
    return Config(
        database=Database(**values["database"]),
        sync=Sync(**sync),
        transfer=Transfer(**values["transfer"]),
        import_=Import(values["import"].get("pattern", ()), values["import"].get("ignore", ())),
        log=Log(**values["log"]),
        metrics=Metrics(**values["metrics"]),
        notify=Notify(**values["notify"]),
        output=Output(**values["output"]),
        sources=tuple(sources),
        embedded=embedded,
    )


def _pair_of_certificate_and_key(
    database: Mapping[str, Any], origin: Mapping[tuple[str, str], str], faults: list[str]
) -> None:
    for one, other in (("ssl_cert", "ssl_key"), ("ssl_key", "ssl_cert")):
        if one in database and other not in database:
            faults.append(f"{origin['database', one]}: database.{one}: expected database.{other} as well")


def _one_way_to_connect(
    database: Mapping[str, Any], origin: Mapping[tuple[str, str], str], faults: list[str]
) -> None:
    if "extension" in database:
        at = f"database.extension in {origin['database', 'extension']}"
        faults += [
            f"{origin['database', key]}: database.{key}: not used with {at}; remove one of them"
            for key in database
            if key not in ("extension", "backup_within", "backup_dir")
        ]


def search_path(explicit: Path | None, environ: Mapping[str, str]) -> list[tuple[Path, str]]:
    """Return the files to read, in order, each with the variable or option that names it.

    A file that neither names has "", and need not exist.
    """
    found = [(SYSTEM_FILE, "")]
    user = user_file(environ)
    if user is not None:
        found.append((user, ""))
    if environ.get(FILE_VARIABLE):
        found.append((Path(environ[FILE_VARIABLE]), FILE_VARIABLE))
    if explicit is not None:
        found.append((explicit, "-c"))
    return found


class Written(NamedTuple):
    """A value of the configuration as it was written, and the file or environment variable that it comes from."""

    value: Any
    origin: str


def written(explicit: Path | None, environ: Mapping[str, str]) -> dict[tuple[str, str], Written]:
    """Return the configured values by section and key, of a configuration that `load` accepts."""
    found: dict[tuple[str, str], Written] = {}
    for path, named_by in search_path(explicit, environ):
        for section, content in (_read_file(path, named_by, []) or {}).items():
            found |= {(section, key): Written(value, str(path)) for key, value in content.items()}
    if environ.get(URL_VARIABLE):
        found["database", "url"] = Written(environ[URL_VARIABLE], URL_VARIABLE)
    return found


def user_file(environ: Mapping[str, str]) -> Path | None:
    """Return the path of the user's configuration file; None without a home directory."""
    user = _base_directory(environ, "XDG_CONFIG_HOME", ".config")
    return None if user is None else user / "alpenhorn" / "alpenhorn.toml"


def refuse_new_index(environ: Mapping[str, str]) -> None:
    """Raise ConfigError if there is a configuration of the alpenhorn daemon.

    To be called before an index is created because none is configured: the archive then has one already.
    """
    user = user_file(environ)
    home = environ.get("HOME") or os.path.expanduser("~")
    places = [*DAEMON_FILES, Path(home, ".alpenhorn", "alpenhorn.conf")]
    if user is not None:
        places.append(user.with_suffix(".conf"))
    for path in places:
        if path.exists():
            from shlex import quote  # only this message needs it

            beside = path.with_suffix(".toml")
            target = beside if beside in (SYSTEM_FILE, user) else user or SYSTEM_FILE
            raise ConfigError(
                f"{path}: a configuration of the alpenhorn daemon, which names an index; this program does not read"
                f" it, and no new index was created: convert it with: mkdir -p {quote(str(target.parent))} && alpenhorn"
                f" config convert {quote(str(path))} > {quote(str(target))}"
            )


def parse_duration(value: str | float) -> float:
    """Return the seconds of "90s", "50m", "2h" or "1d", or of a number of seconds.  Raises ValueError otherwise."""
    if isinstance(value, str):
        match = re.fullmatch(r"\s*([0-9]{1,12}(?:\.[0-9]{1,9})?)\s*([smhd]?)\s*", value)
        if match is None:
            raise ValueError(value)
        return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}[match[2]]
    return _real(value)


# --- kinds of values ----------------------------------------------------------------------------------


class ValueKind(NamedTuple):
    """A kind of value.

    `read` converts a TOML value.  It raises ValueError: without arguments if the value is not what is
    `expected`, otherwise with a text for each fault, to be appended to the key's name.
    """

    expected: str
    read: Callable[[Any], Any]


def _real(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError
    try:
        number = float(value)
    except OverflowError:
        raise ValueError from None
    if number != number or number in (float("inf"), float("-inf")):
        raise ValueError
    return number


def _real_from(low: float) -> Callable[[Any], float]:
    def read(value: Any) -> float:
        number = _real(value)
        if number < low:
            raise ValueError
        return number

    return read


def _whole(low: int, high: int) -> ValueKind:
    def read(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError
        return value

    return ValueKind(f"a whole number from {low} to {high}", read)


def _duration(above_zero: bool) -> ValueKind:
    def read(value: Any) -> float:
        try:
            seconds = parse_duration(value)
        except ValueError:
            raise ValueError from None
        if seconds < 0 or (above_zero and seconds == 0):
            raise ValueError
        return seconds

    bound = "above 0" if above_zero else "0 or more"
    return ValueKind(f'a duration {bound} such as "90s", "50m", "2h" or "1d", or a number of seconds', read)


def _read_text(value: Any) -> str:
    # A NUL in an argument of a command would raise ValueError much later.
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise ValueError
    return value


def _read_arguments(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not value:
        raise ValueError
    return tuple(_read_text(item) for item in value)


def _read_switch(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError
    return value


def _read_path(value: Any) -> Path:
    # cron starts commands in another directory, where a relative path would name another file.
    path = Path(_read_text(value))
    if str(path).startswith("~/"):
        path = Path(os.path.expanduser(path))
    if not path.is_absolute():
        raise ValueError
    return path


def _read_textfile(value: Any) -> Path:
    # The node exporter silently ignores all other files.
    path = _read_path(value)
    if path.suffix != ".prom":
        raise ValueError
    return path


def _read_host(value: Any) -> str:
    if len(_read_text(value)) > 64:
        raise ValueError
    return str(value)


def _read_url(value: Any) -> str:
    url = _read_text(value)
    try:
        path = address.sqlite_path(url)
        if path is None:
            address.server(url)
    except ValueError as error:
        raise ValueError(f": the URL {error}; expected {address.EXPECTED}") from None
    # cron starts commands in a directory of its own, as in `_read_path`.
    if path is not None and not path.startswith("/"):
        raise ValueError(f": the path is not absolute; expected {address.EXPECTED}")
    return url


def _read_ssl_mode(value: Any) -> str:
    if not isinstance(value, str) or value.upper() not in SSL_MODES:
        raise ValueError
    return value.upper()


def _read_level(value: Any) -> str:
    if not isinstance(value, str) or value.lower() not in LEVELS:
        raise ValueError
    return value.lower()


def _read_evidence(value: Any) -> str:
    if value not in EVIDENCE:
        raise ValueError
    return str(value)


def _read_scheduler(value: Any) -> str:
    if not re.fullmatch(r"(tcp|tls)://(\[[0-9a-fA-F:]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}", _read_text(value)):
        raise ValueError
    return str(value)


def _read_ping(value: Any) -> str:
    url = _read_text(value)
    try:
        address.ping(url)
    except ValueError as error:
        raise ValueError(f": the URL {error}; expected {address.PING_EXPECTED}") from None
    return url


def _read_apprise(value: Any) -> tuple[str, ...]:
    urls = _read_arguments(value)
    faults = []
    for number, url in enumerate(urls, 1):
        try:
            address.apprise_service(url)
        except ValueError as error:
            faults.append(f"[{number}]: the URL {error}")
    if faults:
        raise ValueError(*faults)
    return urls


def _read_events(value: Any) -> tuple[str, ...]:
    events = _read_arguments(value)
    if not set(events) <= set(NOTIFY_EVENTS):
        raise ValueError
    return events


def _read_time(value: Any) -> str:
    if value not in TIMES:
        raise ValueError
    return str(value)


def _read_notify_level(value: Any) -> str:
    if value not in NOTIFY_LEVELS:
        raise ValueError
    return str(value)


def _read_delete_limit(value: Any) -> DeleteLimit:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return DeleteLimit(files=value)
    match = (
        re.fullmatch(r"\s*([0-9]{1,3}(?:\.[0-9]{1,9})?)\s*%\s*", value) if isinstance(value, str) else None
    )
    if match is None or float(match[1]) > 100:
        raise ValueError
    return DeleteLimit(share=float(match[1]) / 100)


def _read_bwlimit(value: Any) -> tuple[tuple[int, int], ...]:
    from alpenhorn.bwlimit import read  # most hosts have no limit

    return read(value)


def _read_rate(value: Any) -> float:
    if isinstance(value, str):
        from alpenhorn.sizes import parse_rate  # most configurations have none

        try:
            return float(parse_rate(value))
        except ValueError:
            raise ValueError from None
    return _real_from(0)(value)


def _read_patterns(value: Any) -> tuple[re.Pattern[str], ...]:
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise ValueError
    patterns, faults = [], []
    for number, entry in enumerate(value, 1):
        faults += [f"[{number}].{key}: unknown key; expected path only" for key in entry if key != "path"]
        path = entry.get("path")
        shown = f"[{number}].path" + (f" = {_show(path)}" if "path" in entry else " is missing")
        if not isinstance(path, str):
            faults.append(f"{shown}: expected a regular expression with the named group acq")
            continue
        try:
            pattern = re.compile(path)
        except (re.error, RecursionError, OverflowError) as error:
            faults.append(f"{shown}: expected a regular expression; this one does not compile: {error}")
            continue
        if "acq" not in pattern.groupindex:
            faults.append(f"{shown}: expected a named group acq: (?P<acq>…)")
            continue
        patterns.append(pattern)
    if faults:
        raise ValueError(*faults)
    return tuple(patterns)


def _read_expressions(value: Any) -> tuple[re.Pattern[str], ...]:
    if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
        raise ValueError
    patterns, faults = [], []
    for number, text in enumerate(value, 1):
        try:
            patterns.append(re.compile(text))
        except (re.error, RecursionError, OverflowError) as error:
            faults.append(f"[{number}] = {_show(text)}: this regular expression does not compile: {error}")
    if faults:
        raise ValueError(*faults)
    return tuple(patterns)


MOST_JOBS = 512  # worker processes
MOST_STREAMS = 32  # ssh sessions for one file
EVIDENCE = ("index", "stat")
# PREFERRED is missing, since MariaDB's client library would silently use no encryption.
SSL_MODES = ("DISABLED", "REQUIRED", "VERIFY_CA", "VERIFY_IDENTITY")
NOTIFY_LEVELS = ("warning", "failure")
TIMES = ("utc", "local")
NOTIFY_EVENTS = Notify().events
LEVELS = ("debug", "info", "warning", "error", "critical")
_TEXT = ValueKind("a non-empty string", _read_text)
_SWITCH = ValueKind("true or false", _read_switch)
_PATH = ValueKind("an absolute path, or one that starts with ~/", _read_path)

KEYS: dict[str, dict[str, ValueKind]] = {
    "database": {
        "url": ValueKind(address.EXPECTED, _read_url),
        "password_file": _PATH,
        "ssl_ca": _PATH,
        "ssl_cert": _PATH,
        "ssl_key": _PATH,
        "ssl_mode": ValueKind(f"one of {', '.join(SSL_MODES)}", _read_ssl_mode),
        "read_default_file": _PATH,
        "read_default_group": _TEXT,
        "backup_within": _duration(above_zero=True),
        "backup_dir": _PATH,
        "extension": _TEXT,
    },
    "sync": {
        "host": ValueKind("a name of 1 to 64 characters", _read_host),
        "jobs": _whole(1, MOST_JOBS),
        "time_limit": _duration(above_zero=True),
        "archive_copy_count": _whole(1, 100),
        "allow_single_copy": _SWITCH,
        "auto_verify_min_days": ValueKind("a number, 0 or more", _real_from(0)),
        "import_settle": _duration(above_zero=False),
        "delete_limit": ValueKind('a share such as "10%", or a number of files', _read_delete_limit),
        "keeper_seen_within": _duration(above_zero=True),
        "trust_unseen": _SWITCH,
        "delete_evidence": ValueKind('"index" or "stat"', _read_evidence),
        "remind_after": _duration(above_zero=False),
        "stuck_after": _duration(above_zero=True),
        "trash": _duration(above_zero=False),
        "sha256": _SWITCH,
        "scheduler": ValueKind(
            'the address of a Dask scheduler, such as "tcp://host.example:8786" or "tls://host.example:8786"',
            _read_scheduler,
        ),
    },
    "transfer": {
        "pull_timeout_base": _duration(above_zero=True),
        "pull_bytes_per_second": ValueKind(
            'bytes per second, such as 20000000 or "20 MB", or 0 for no time limit', _read_rate
        ),
        "ssh": ValueKind('a list of strings, such as ["ssh", "-F", "/etc/alpenhorn/ssh"]', _read_arguments),
        "rsync": _TEXT,
        "bbcp": _TEXT,
        "bwlimit": ValueKind("a bandwidth limit", _read_bwlimit),
        "stall_timeout": _duration(above_zero=False),
        "tar": _SWITCH,
        "streams": _whole(1, MOST_STREAMS),
        "verify_links": _SWITCH,
    },
    "import": {
        "pattern": ValueKind("tables, each headed [[import.pattern]]", _read_patterns),
        "ignore": ValueKind("a list of regular expressions, such as ['.*\\.tmp']", _read_expressions),
    },
    "log": {
        "level": ValueKind(f"one of {', '.join(LEVELS)}", _read_level),
        "file": _PATH,
        "syslog": _SWITCH,
    },
    "metrics": {
        "textfile": ValueKind(
            "an absolute path, or one that starts with ~/, that ends in .prom", _read_textfile
        ),
    },
    "notify": {
        "ping": ValueKind(address.PING_EXPECTED, _read_ping),
        "apprise": ValueKind('a list of URLs, such as ["mailto://…"]', _read_apprise),
        "command": ValueKind('a list of texts, such as ["/usr/local/bin/notify", "-v"]', _read_arguments),
        "level": ValueKind('"warning" or "failure"', _read_notify_level),
        "events": ValueKind(f"a list of some of {', '.join(NOTIFY_EVENTS)}", _read_events),
        "at_most_every": _duration(above_zero=False),
    },
    "output": {
        "time": ValueKind('"utc" or "local"', _read_time),
    },
}

# Not shown if they are wrong.  A password may have been put in place of the path of a file with it.
_SECRET_KEYS = ("url", "password_file", "ping", "apprise", "command")


# --- reading -------------------------------------------------------------------------------------------


def _read_file(path: Path, named_by: str, faults: list[str]) -> dict[str, Any] | None:
    """Return the parsed file; for one that cannot be used, append the fault and return None.

    `named_by` is as in `search_path`.
    """
    shown = f"the file named by {named_by}" if named_by and address.may_be_secret(str(path)) else str(path)
    # A variable may have been set long ago, or by another program, so that its user does not think of it.
    remedy = f"; {named_by} names this file: correct or unset it" if named_by == FILE_VARIABLE else ""
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        if named_by:
            faults.append(f"{shown}: no such file{remedy}")
        return None
    except OSError as error:
        faults.append(f"{shown}: cannot be read: {error.strerror}{remedy}")
        return None
    # Imported here, because many runs have no file to parse.
    import tomllib

    try:
        return tomllib.loads(content.decode())
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        faults.append(
            f"{shown}: line {line}: expected UTF-8, found the byte 0x{content[error.start]:02x}{remedy}"
        )
    except tomllib.TOMLDecodeError as error:
        # Keys are quoted in it, and are long enough for a URL with a password.
        if path.suffix in YAML_SUFFIXES:
            remedy += (
                "; to convert a configuration of the alpenhorn daemon (YAML): alpenhorn config convert FILE"
            )
        faults.append(f"{shown}: invalid TOML: {_harmless(str(error))}{remedy}")
    except RecursionError:
        faults.append(f"{shown}: nested too deeply{remedy}")
    return None


def _merge(
    document: Mapping[str, Any],
    source: str,
    values: dict[str, dict[str, Any]],
    origin: dict[tuple[str, str], str],
    faults: list[str],
) -> None:
    """Replace values by those of one file, and record in `origin` where each came from."""
    for section, content in document.items():
        known = KEYS.get(section)
        if known is None:
            faults.append(f"{source}: {_harmless(section)}: {_unknown(section)}")
            continue
        if not isinstance(content, dict):
            faults.append(f"{source}: {section} = {_show(content)}: expected a table, headed [{section}]")
            continue
        for key, value in content.items():
            kind = known.get(key)
            if kind is None:
                faults.append(f"{source}: {section}.{_harmless(key)}: unknown key; {_suggestion(key, known)}")
                continue
            try:
                values[section][key] = kind.read(value)
                origin[section, key] = source
            except ValueError as error:
                shown = "" if key in _SECRET_KEYS else f" = {_show(value)}"
                faults += [
                    f"{source}: {section}.{key}{fault}"
                    for fault in error.args or (f"{shown}: expected {kind.expected}",)
                ]


def _unknown(name: str) -> str:
    homes = [section for section, keys in KEYS.items() if name in keys]
    if homes:
        return f"not a section; the key {name} belongs in [{homes[0]}]"
    return f"unknown section; {_suggestion(name, KEYS)}"


def _suggestion(name: str, known: Mapping[str, Any]) -> str:
    return did_you_mean(name, known) or f"expected one of {', '.join(known)}"


def _show(value: Any) -> str:
    """Return a value as shown to a user: short, on one line, and without a possible password in a URL."""
    if isinstance(value, bool):
        return str(value).lower()
    shown = _harmless(repr(value))
    return shown if len(shown) <= 80 else shown[:77] + "…"


def _harmless(text: str) -> str:
    return address.NOT_SHOWN if address.may_be_secret(text) else text


# --- defaults that depend on the environment -----------------------------------------------------------


def state_directory(environ: Mapping[str, str]) -> Path | None:
    """Return the directory for alpenhorn's state outside the index; None if the user has no home directory."""
    state = _base_directory(environ, "XDG_STATE_HOME", os.path.join(".local", "state"))
    return None if state is None else state / "alpenhorn"


def _base_directory(environ: Mapping[str, str], variable: str, below_home: str) -> Path | None:
    """Return a directory of the XDG base directory specification (freedesktop.org, version 0.8)."""
    named = environ.get(variable, "")
    if os.path.isabs(named):  # the specification says to ignore relative paths
        return Path(named)
    home = environ.get("HOME") or os.path.expanduser("~")
    return Path(home, below_home) if os.path.isabs(home) else None


def _embedded_url(environ: Mapping[str, str], faults: list[str]) -> str:
    data = _base_directory(environ, "XDG_DATA_HOME", os.path.join(".local", "share"))
    if data is None:
        faults.append(
            "no index is configured, and no home directory found for the default one:"
            f" set {URL_VARIABLE}, or [database] url in {SYSTEM_FILE}"
        )
        return ""
    url = f"sqlite:///{data / 'alpenhorn' / 'alpenhorn.db'}"
    try:
        address.sqlite_path(url)
    except ValueError:
        faults.append(
            "no index is configured, and the path of the default one has : and @, or ? and =, as in the URL of a"
            f" server: set {URL_VARIABLE}, or [database] url in {SYSTEM_FILE}, to another path"
        )
    return url
