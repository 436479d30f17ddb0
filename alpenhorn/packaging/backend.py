"""The build backend: setuptools, with man pages that are built from the commands.

`pyproject.toml` names this module (PEP 517, `backend-path`).  The pages are written to `build/man`, from where
`data_files` in `setup.cfg` installs them to `share/man/man1`.  They are built with every wheel, never committed,
and part of neither a source distribution nor an editable installation.
"""

from __future__ import annotations

import shutil
from configparser import ConfigParser
from pathlib import Path
from typing import Any

from setuptools import build_meta
from setuptools.build_meta import (
    build_editable,
    get_requires_for_build_editable,
    get_requires_for_build_sdist,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
]

PAGES = Path("build/man")  # below the source tree, where a frontend calls a backend

Settings = dict[str, Any] | None


def get_requires_for_build_wheel(config_settings: Settings = None) -> list[str]:
    """Name what the commands import, since the pages are built from them."""
    return [*build_meta.get_requires_for_build_wheel(config_settings), *_dependencies()]


def build_wheel(
    wheel_directory: str, config_settings: Settings = None, metadata_directory: str | None = None
) -> str:
    """Build a wheel with man pages; return its file name."""
    _write_pages()
    return str(build_meta.build_wheel(wheel_directory, config_settings, metadata_directory))


def build_sdist(sdist_directory: str, config_settings: Settings = None) -> str:
    """Build a source distribution; return its file name."""
    _remove_pages()  # pages of an earlier build would become part of it
    return str(build_meta.build_sdist(sdist_directory, config_settings))


def _dependencies() -> list[str]:
    setup = ConfigParser()
    setup.read("setup.cfg", encoding="utf-8")
    return setup["options"]["install_requires"].split()


def _remove_pages() -> None:
    shutil.rmtree(PAGES, ignore_errors=True)


def _write_pages() -> None:
    # Imported here because a frontend imports the backend before it has installed what the commands import.
    from alpenhorn.packaging.manpages import write_pages

    _remove_pages()
    write_pages(PAGES)
