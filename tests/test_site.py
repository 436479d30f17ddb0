"""bin/docs builds a site of the manual, and fails for a wrong page or link."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import yaml

CHECKOUT = Path(__file__).parents[1]

pytestmark = pytest.mark.ci


@pytest.fixture
def manual(tmp_path: Path) -> Path:
    """The pages of a copy of the files that bin/docs needs."""
    (tmp_path / "bin").mkdir()
    for name in ("docs", "lib.sh", "mkdocs.yml"):
        shutil.copy(CHECKOUT / "bin" / name, tmp_path / "bin")
    shutil.copytree(CHECKOUT / "alpenhorn" / "docs", tmp_path / "alpenhorn" / "docs")
    return tmp_path / "alpenhorn" / "docs"


def build(manual: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHON": ""}
    argv = [str(manual.parents[1] / "bin" / "docs"), *arguments]
    return subprocess.run(argv, env=environment, capture_output=True, text=True)


def test_the_manual_becomes_a_site(manual: Path) -> None:
    done = build(manual)
    assert done.returncode == 0 and "Documentation built" in done.stderr, done.stderr
    site = manual.parents[1] / "build" / "site"
    assert {path.stem for path in manual.iterdir()} <= {path.stem for path in site.glob("*.html")}
    loaded = re.findall(
        r'(?:src|<link[^>]* href)="?(https?:[^" >]*)', (site / "index.html").read_text("utf-8")
    )
    assert not loaded, "read by each visitor from another site"
    assert not (manual.parents[1] / ".venv").exists(), "the active environment has the extra docs"


def test_the_sections_are_those_of_the_first_page(manual: Path) -> None:
    sections: list[object] = ["index.md"]
    for section in (manual / "index.md").read_text("utf-8").split("\n## ")[1:]:
        pages = re.findall(r"^- \[.+\]\((.+\.md)\)", section, re.MULTILINE)
        sections.append({section.partition("\n")[0]: pages})
    assert sections == yaml.safe_load((CHECKOUT / "bin" / "mkdocs.yml").read_text("utf-8"))["nav"]


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("tour.md", "[there](nowhere.md)", "'nowhere.md'"),
        ("tour.md", "[there](reasons.md#nowhere)", "'reasons.md#nowhere'"),
        ("tour.md", "[there](../../README.md)", "'../../README.md'"),
        ("unlisted.md", "", "unlisted.md"),
    ],
)
def test_a_wrong_link_or_page_is_an_error(manual: Path, name: str, text: str, complaint: str) -> None:
    with (manual / name).open("a") as page:
        page.write(f"\n\n{text}\n")
    done = build(manual)
    assert done.returncode != 0 and complaint in done.stderr, done.stderr


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/present" else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def other_site() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_links_to_other_sites_are_requested_only_with_external(manual: Path) -> None:
    # A site of one page, since few requests are made in a second, and those of the manual itself are none of a test's.
    for page in manual.iterdir():
        page.unlink()
    settings = manual.parents[1] / "bin" / "mkdocs.yml"
    settings.write_text(settings.read_text("utf-8").partition("nav:\n  - index.md\n")[0], "utf-8")
    with other_site() as url, (manual / "index.md").open("a") as page:
        page.write(f"# Manual\n\n[present]({url}/present)\n")
        page.flush()
        done = build(manual, "--external")
        assert done.returncode == 0, done.stdout + done.stderr
        page.write(f"\n\n[absent]({url}/absent)\n")
        page.flush()
        assert build(manual).returncode == 0
        done = build(manual, "--external")
        assert done.returncode != 0 and f"{url}/absent" in done.stdout and "404" in done.stdout
