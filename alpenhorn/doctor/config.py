"""Check the configuration, and the files that it names."""

from __future__ import annotations

import os
import pwd
import shlex
import socket
import stat
import tomllib
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path

from alpenhorn import address
from alpenhorn.config import URL_VARIABLE, Config, Database, load, search_path
from alpenhorn.doctor.notify import notify
from alpenhorn.errors import ConfigError
from alpenhorn.index.check import Finding, Level
from alpenhorn.reasons import Code

SYSTEM_LOG = "/dev/log"


def configuration(
    explicit: Path | None, environ: Mapping[str, str]
) -> Generator[Finding, None, Config | None]:
    """Check the configuration files; return the configuration, or None if it cannot be used."""
    try:
        config = load(explicit, environ)
        faults: tuple[str, ...] = ()
    except ConfigError as error:
        config, faults = None, error.faults
    for path, named_by in search_path(explicit, environ):
        if any(fault.startswith(f"{path}: ") for fault in faults):
            continue
        if path.exists():
            yield Finding(Level.PASS, f"configuration file {path}")
        elif not named_by:
            yield Finding(Level.PASS, f"configuration file {path}: not present (optional)")
    for fault in faults:
        yield Finding(Level.FAIL, Code.CONFIGURATION_WRONG(detail=fault))
    if config is not None:
        yield from _host_name(config)
        yield from _password(config, environ)
        if config.sync.trust_unseen:
            yield Finding(
                Level.WARN,
                Code.UNSEEN_NODES_TRUSTED(),
                "set it to false once a run of alpenhorn serves every archive node",
            )
        yield from _log_file(config.log.file)
        if config.log.syslog:
            yield _system_log()
        yield from _metrics(config.metrics.textfile)
        if config.notify.wanted:
            yield from _notify(config)
    return config


def _host_name(config: Config) -> Iterator[Finding]:
    source = _origin(config, "sync", "host")
    why = f"[sync] host in {source}" if source else "the machine's name up to the first dot"
    yield Finding(Level.PASS, f"this host is named {config.sync.host!r} ({why})")


def _origin(config: Config, section: str, key: str) -> Path | None:
    """Return the file whose value takes effect."""
    found = None
    for path in config.sources:
        if key in tomllib.loads(path.read_text(encoding="utf-8")).get(section, {}):
            found = path
    return found


def _password(config: Config, environ: Mapping[str, str]) -> Iterator[Finding]:
    if config.database.extension or address.sqlite_path(config.database.url) is not None:
        return
    yield from _client(config.database)
    file = config.database.password_file
    if file is not None:
        if _is_open_to_others(file):
            yield Finding(Level.WARN, Code.PASSWORD_READABLE(file=file), f"chmod o-rwx {file}")
        return
    source = None if environ.get(URL_VARIABLE) else _origin(config, "database", "url")
    if source is not None and address.server(config.database.url).password and _is_open_to_others(source):
        yield Finding(
            Level.WARN,
            Code.PASSWORD_IN_READABLE_FILE(file=source),
            "move the password from the URL to a file that only you can read, and set [database] password_file",
        )


def _notify(config: Config) -> Iterator[Finding]:
    yield from notify(config.notify)
    sources = {_origin(config, "notify", key) for key in ("ping", "apprise")}
    for source in sorted(one for one in sources if one is not None and _is_open_to_others(one)):
        yield Finding(Level.WARN, Code.NOTIFY_URLS_READABLE(file=source), f"chmod o-rwx {source}")


def _client(database: Database) -> Iterator[Finding]:
    """Report the settings of the connection to the server, and unsafe files among them."""
    if tls := database.tls:
        files = [(key, getattr(database, key)) for key in ("ssl_ca", "ssl_cert", "ssl_key")]
        said = "".join(f"; {key} {path}" for key, path in files if path is not None)
        yield Finding(Level.PASS, f"TLS to the server of the index: ssl_mode {tls}{said}")
    if database.ssl_key is not None and _is_open_to_others(database.ssl_key):
        key = database.ssl_key
        yield Finding(Level.WARN, Code.PRIVATE_KEY_READABLE(file=key), f"chmod o-rwx {key}")
    if database.read_default_file is not None or database.read_default_group:
        file = database.read_default_file or "the defaults of the client library"
        group = f", group {database.read_default_group}" if database.read_default_group else ""
        yield Finding(Level.PASS, f"option file for the server of the index: {file}{group}")
    if database.read_default_file is not None and _is_open_to_others(database.read_default_file):
        file = database.read_default_file
        yield Finding(Level.WARN, Code.OPTION_FILE_READABLE(file=file), f"chmod o-rwx {file}")


def _is_open_to_others(path: Path) -> bool:
    """Return whether users other than owner and group can read or change a file; False if it does not exist."""
    try:
        return bool(path.stat().st_mode & (stat.S_IROTH | stat.S_IWOTH))
    except OSError:
        return False


def _log_file(file: Path | None) -> Iterator[Finding]:
    if file is None:
        return
    remedy = f"make it writable for {user()}, or set another in [log] file"
    if file.is_dir():
        yield Finding(Level.FAIL, Code.LOG_FILE_IS_DIRECTORY(file=file), "set a file in [log] file")
    elif file.exists():
        if os.access(file, os.W_OK):
            yield Finding(Level.PASS, f"the log file {file} is writable")
        else:
            yield Finding(Level.FAIL, Code.LOG_FILE_UNWRITABLE(file=file), remedy)
    elif not file.parent.is_dir():
        yield Finding(
            Level.FAIL,
            Code.LOG_DIRECTORY_MISSING(file=file, directory=file.parent),
            f"mkdir -p {file.parent}",
        )
    elif os.access(file.parent, os.W_OK | os.X_OK):
        yield Finding(Level.PASS, f"the log file {file} will be created by the next run")
    else:
        yield Finding(Level.FAIL, Code.LOG_DIRECTORY_UNWRITABLE(file=file), remedy)


def _system_log() -> Finding:
    error: OSError | None = None
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):  # in the order of the logging module
        with socket.socket(socket.AF_UNIX, kind) as log:
            try:
                log.connect(SYSTEM_LOG)
            except OSError as refused:
                error = refused
            else:
                return Finding(Level.PASS, f"the system log {SYSTEM_LOG} is writable")
    assert error is not None
    return Finding(
        Level.FAIL,
        Code.SYSTEM_LOG_UNUSABLE(path=SYSTEM_LOG, why=error.strerror),
        "set syslog = false in [log]",
    )


def _metrics(file: Path | None) -> Iterator[Finding]:
    if file is None:
        return
    try:
        # An optional package.
        import prometheus_client  # noqa: F401
    except ImportError as error:
        yield Finding(Level.WARN, Code.METRICS_PACKAGE_MISSING(why=error))
        return
    directory = file.parent
    if file.is_dir():
        why, remedy = "it is a directory", "set a file in [metrics] textfile"
    elif not directory.is_dir():
        why, remedy = f"there is no directory {directory}", f"mkdir -p {shlex.quote(str(directory))}"
    elif not os.access(directory, os.W_OK | os.X_OK) or (file.exists() and not os.access(file, os.R_OK)):
        why = f"{directory} is not writable" if not os.access(directory, os.W_OK) else "it is not readable"
        remedy = f"make {directory} writable for {user()}, or set another file in [metrics] textfile"
    else:
        yield Finding(Level.PASS, f"metrics are written to {file}")
        return
    yield Finding(Level.WARN, Code.METRICS_FILE_UNUSABLE(file=file, why=why), remedy)


def user() -> str:
    """Return the name of the user running alpenhorn, or the number if there is no name."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return f"user {os.geteuid()}"
