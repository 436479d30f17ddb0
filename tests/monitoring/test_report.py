"""The report: its numbers, and the page in a real browser."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest

from alpenhorn.config import Config, load
from alpenhorn.listings.stats import FileTally
from alpenhorn.model.nodes import GIB
from alpenhorn.monitoring.report import data, page
from alpenhorn.monitoring.report.data import ReportData
from alpenhorn.reasons import Code
from tests.fixtures.archive import Archive
from tests.fixtures.browser import opened
from tests.fixtures.http import HttpServer

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

NARROW, WIDE = 390, 1280
# axe takes seconds for a page of many nodes, so only one archive is looked at in all four ways.
LOOKS = (("light", NARROW), ("dark", WIDE), ("light", WIDE), ("dark", NARROW))
SECTIONS = (
    "attention",
    "nodes",
    "copies",
    "policy",
    "growth",
    "throughput",
    "failures",
    "verification",
    "runs",
    "measured",
)
# What the report is about: the section that shows each thing, and the words that say what it is measured from.
THINGS = (
    ("attention", "What needs attention"),
    ("nodes", "Full"),
    ("nodes", "Free"),
    ("nodes", "Growth"),
    ("nodes", "Will be full"),
    ("growth", "Growth"),
    ("copies", "Copies by state"),
    ("policy", "Files with too few copies"),
    ("throughput", "Throughput"),
    ("failures", "Failures"),
    ("verification", "Age of verifications"),
    ("runs", "Last runs"),
)
# What a keyboard must reach: all that reacts to it, and all that scrolls.
STOPS = """() => [...document.querySelectorAll("*")].filter(one => one.checkVisibility() && (
    one.matches("a[href], summary, button, input, select, textarea, [tabindex]")
    || (one.scrollWidth > one.clientWidth && /auto|scroll/.test(getComputedStyle(one).overflowX))))"""
FOCUSED = """() => {
    const one = document.activeElement, box = one.getBoundingClientRect(), style = getComputedStyle(one)
    return one === document.body ? null : {
        number: window.stops.indexOf(one), name: one.tagName + " " + (one.getAttribute("aria-label") || one.innerText),
        top: box.top + scrollY, left: box.left, seen: box.bottom > 0 && box.top < innerHeight && box.right > 0,
        width: style.outlineStyle === "none" ? 0 : parseFloat(style.outlineWidth), colour: style.outlineColor,
        skips: one.className === "skip", overflows: one.scrollWidth > one.clientWidth,
    }}"""
EVIL = "<script>evil=1</script>"
TURNED = "\x1b[31m\u202eevil\u2066"
LINK = '"><img src=x onerror=evil=1>$\\alpha^2$'


def ago(**span: float) -> str:
    """Return a time as text for the index."""
    return f"{datetime.now(UTC) - timedelta(**span):%Y-%m-%d %H:%M:%S}"


def read(archive: Archive) -> ReportData:
    return data.read(archive.index, config(archive), lambda done, of: None)


def config(archive: Archive) -> Config:
    return load(archive.configure(), {"HOME": str(archive.base)})


def event(archive: Archive, at: str, what: str, file_id: int, node: str, code: Code = Code.PULLED) -> None:
    archive.insert(
        "sync_event",
        at=at,
        file_id=file_id,
        node_id=archive.id("storagenode", node),
        what=what,
        why="why not",
        code=str(code),
    )


def run(
    archive: Archive, began: str, ended: str | None, status: int | None = 0, **counts: tuple[int, int, int]
) -> int:
    """Insert a run of node vault; `counts`: done, failed and bytes by kind of work."""
    sums = [sum(column) for column in zip(*counts.values(), strict=True)] or [0, 0, 0]
    named = {kind: dict(zip(("done", "failed", "bytes"), one, strict=True)) for kind, one in counts.items()}
    return archive.insert(
        "sync_run",
        host="here",
        nodes="vault",
        started=began,
        ended=ended,
        exit_status=status,
        done=sums[0],
        failed=sums[1],
        bytes=sums[2],
        counts=json.dumps(named) if ended else None,
    )


def fill(archive: Archive, *names: str) -> None:
    """Fill an archive with two archive nodes and two others, with `names` in the names of acquisitions and nodes."""
    acqs = [f"acq{name}" for name in names] or ["acq"]
    archive.node("vault", archive=1, avail_gb=30.0, min_avail_gb=10, auto_verify=1)
    archive.node("mirror", archive=1, max_total_gb=100)
    archive.node("shelf", archive=1, active=0)
    archive.node("field", notes="", avail_gb=0.5, min_avail_gb=1)
    for number, name in enumerate(names):
        archive.node(f"n{number}{name}"[:64], made=False, active=number % 2)
    states = (
        ("YY", "YY", None),  # enough
        ("YY", "YM", None),  # enough
        ("YY", "YN", "YY"),  # one that counts
        ("YY", "XY", "YY"),  # one that counts
        ("NY", "MY", None),  # none
        ("NN", "NN", "NN"),  # given up
        (None, None, None),  # never had a copy
    )
    for acq in acqs:
        for number, (vault, mirror, shelf) in enumerate(states):
            file_id = archive.file(f"{acq}/{number}", size_b=GIB, content=b"")
            for node, state in (("vault", vault), ("mirror", mirror), ("shelf", shelf)):
                if state is not None:
                    archive.set_copy(file_id, node, state)
    files = [row[0] for row in archive.all("SELECT id FROM archivefile ORDER BY id")]
    vault = archive.id("storagenode", "vault")
    for file_id, verified in (
        (files[0], ago(days=2)),
        (files[1], ago(days=100)),
        (files[2], "1970-01-01 00:00:00"),
    ):
        archive.insert("sync_verification", file_id=file_id, node_id=vault, verified=verified)
    event(archive, ago(days=200), "imported", files[0], "vault")
    event(archive, ago(days=50), "imported", files[0], "vault")
    for number in (1, 2, 3):
        event(archive, ago(days=3), "pulled", files[number], "vault")
    event(archive, ago(days=9), "deleted", files[4], "vault")
    event(archive, ago(days=2), "corrupt", files[3], "mirror", Code.COPY_VERIFIED)
    event(archive, ago(days=2), "requested", files[3], "mirror")
    run(archive, ago(days=40), ago(days=40), pull=(7, 7, 7))
    run(
        archive,
        ago(days=1, minutes=1),
        ago(days=1),
        1,
        pull=(3, 2, 3 * GIB),
        check=(5, 0, GIB),
        odd=(1, 0, 0),
    )
    run(archive, ago(minutes=5), None, None)
    request = archive.request(files[4], "vault", "mirror")
    attempt = {"kind": "pull", "last": ago(hours=1), "next": ago(hours=0), "blame": "source", "count": 4}
    archive.insert(
        "sync_attempt", subject_id=request, error=f"no room {acqs[0]}", code="destination-full", **attempt
    )
    archive.insert(
        "sync_attempt", subject_id=request + 1, error="left over", code="destination-full", **attempt
    )
    other = attempt | {"kind": "source"}
    archive.insert("sync_attempt", subject_id=1, error="of another source", code="host-silent", **other)


@pytest.fixture
def filled(archive: Archive) -> Archive:
    fill(archive)
    return archive


def test_the_numbers_are_those_of_the_index(filled: Archive) -> None:
    found = read(filled)
    nodes = {node.status.node.name: node for node in found.nodes}
    assert {state: tally.files for state, tally in found.states.items() if tally.files} == {
        "Healthy": 7, "Removable": 1, "Released": 1, "Suspect": 1, "Corrupt": 1, "Missing": 1, "Removed": 3,
    }  # fmt: skip
    assert found.good == FileTally(9, 9 * GIB)
    assert {copies: tally.files for copies, tally in found.policy.by_copies.items()} == {2: 2, 1: 2, 0: 1}
    assert found.policy.required == 2 and found.policy.given_up == 2
    assert found.policy.too_few == FileTally(3, 3 * GIB)
    assert found.policy.below == (("acq", {1: FileTally(2, 2 * GIB), 0: FileTally(1, GIB)}),)
    filled.insert("sync_policy", name="p", copies=1, sites=1, min_age=0, priority=0)
    assert read(filled).policy.too_few == FileTally(1, GIB)
    filled.do("DELETE FROM sync_policy")
    assert [(week.added.files, week.removed.files) for week in found.weeks] == [
        (1, 0),
        *[(0, 0)] * 5,
        (0, 1),
        (3, 0),
    ]
    assert [(one.what, one.code, one.copies) for one in found.findings] == [("corrupt", "copy-verified", 1)]
    assert nodes["vault"].ages == [1, 0, 1, 0, 0, 0, 2] and nodes["mirror"].ages[-1] == 2
    assert sum(found.ages) == 8, "released copies are not verified"
    busy = [day for day in found.days if day.done]
    assert [(day.files, day.bytes, day.failed) for day in busy] == [(9, 4 * GIB, 2)]
    assert busy[0].done == {
        "pull": FileTally(3, 3 * GIB), "check": FileTally(5, GIB), "other": FileTally(1, 0),
    }  # fmt: skip
    assert [(one.kind, one.code, one.blame, one.subjects, one.attempts) for one in found.failures] == [
        ("pull", "destination-full", "source", 1, 4)
    ]
    assert [run.id for run, _ in found.runs] == [3, 2, 1]


def test_a_node_is_full_when_its_growth_has_used_its_room(filled: Archive) -> None:
    found = read(filled)
    nodes = {node.status.node.name: node for node in found.nodes}
    assert found.has_archive
    vault = nodes["vault"]
    assert (vault.added.files, vault.removed.files, vault.room_b) == (3, 1, 20 * GIB)
    assert vault.growth_b == pytest.approx(2 * GIB / 28)
    assert vault.full_on is not None
    assert (vault.full_on - found.now) / timedelta(days=1) == pytest.approx(280)
    mirror = nodes["mirror"]
    assert (mirror.room_b, mirror.growth_b, mirror.full_on) == (97 * GIB, 0, None)
    assert nodes["shelf"].room_b is None
    assert nodes["field"].room_b == 0 and nodes["field"].full_on == found.now
    assert [node.status.node.name for node in found.nodes] == ["field", "vault", "mirror", "shelf"]


def test_the_growth_of_a_short_history_is_that_of_its_time(filled: Archive) -> None:
    filled.do("DELETE FROM sync_event WHERE at < ?", ago(days=4))
    vault = next(node for node in read(filled).nodes if node.status.node.name == "vault")
    assert vault.growth_b == pytest.approx(3 * GIB / 3, rel=0.01)
    filled.do("UPDATE sync_event SET at = ?", ago(hours=5))
    found = read(filled)
    assert all(node.growth_b is None for node in found.nodes)
    assert "The history is too short" in page.render(found, 0)


def on_disk(archive: Archive) -> str:
    """Write the report, and return its URL."""
    path = archive.base / "report.html"
    path.write_text(page.render(read(archive), 0.1), encoding="utf-8")
    return path.as_uri()


def make_hostile(archive: Archive) -> None:
    fill(archive, EVIL, LINK, TURNED, "\u05e9\u05dc\u05d5\u05dd", "x" * 60)
    archive.do("UPDATE sync_run SET nodes = ?, ending = ?", EVIL * 20, LINK)
    archive.do("UPDATE archiveacq SET name = CAST(x'ff66' AS TEXT) WHERE name LIKE ?", "%xxx")
    archive.do("UPDATE sync_attempt SET error = ?, blame = ?, code = ?", EVIL, LINK, EVIL)
    archive.do("UPDATE sync_event SET code = ?, why = ?", LINK, TURNED)
    archive.do(
        "UPDATE sync_run SET counts = ? WHERE id = 2", '{"pull": {"done": -1, "bytes": 1%s}}' % ("0" * 400)
    )
    archive.do("UPDATE storagehost SET name = ?", EVIL)
    archive.do("UPDATE storagegroup SET name = ? WHERE name = 'vault'", LINK)


def make_hundred(archive: Archive) -> None:
    fill(archive)
    for number in range(96):
        archive.node(
            f"a-disk-of-many-{number:02}", host=f"host{number % 9}", made=False, archive=1, avail_gb=1
        )


MAKE = {"empty": lambda _: None, "filled": fill, "hostile": make_hostile, "hundred": make_hundred}


def wrong(page: Page) -> list[str]:
    """Return what axe finds serious, with all that is folded opened."""
    from axe_playwright_python.sync_playwright import Axe  # needs the extra `check`

    page.locator("details").evaluate_all("all => all.forEach(one => one.open = true)")
    found = Axe().run(page).response
    assert found["passes"] or found["violations"]
    return [
        f"{one['id']}: {node['html'][:200]}: {node['failureSummary']}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]


def fits(page: Page) -> bool:
    """Return whether the page itself does not scroll to the side."""
    return bool(page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"))


def luminance(colour: str) -> float:
    """Return the relative luminance of a colour as of CSS `rgb()` (WCAG 2)."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def tabbed(page: Page) -> list[dict[str, Any]]:
    """Press Tab from the top of the page to its end, and return what had the focus."""
    # The next Tab starts where the focus was last, so it is put on the page itself.
    page.evaluate("() => { document.body.tabIndex = -1; document.body.focus(); scrollTo(0, 0) }")
    page.evaluate("() => document.body.removeAttribute('tabindex')")
    page.evaluate(f"() => {{ window.stops = ({STOPS})() }}")
    found: list[dict[str, Any]] = []
    while len(found) < 200:
        page.keyboard.press("Tab")
        focused = page.evaluate(FOCUSED)
        if focused is None:
            return found
        found.append(focused)
    raise AssertionError(found[-5:])


@pytest.mark.ci
@pytest.mark.parametrize("kind", ["filled", "hundred"])
def test_the_page_is_used_with_the_keyboard_alone(
    kind: str, sqlite_archive: Archive, browser: Browser
) -> None:
    MAKE[kind](sqlite_archive)
    with opened(
        browser, on_disk(sqlite_archive), NARROW, color_scheme="dark" if kind == "hundred" else "light"
    ) as shown:
        back = luminance(shown.evaluate("getComputedStyle(document.body).backgroundColor"))
        folded = tabbed(shown)
        # All that is folded is opened with the keyboard, the outer ones first.
        for summary in shown.locator("summary").all():
            summary.focus()
            shown.keyboard.press("Enter")
            assert summary.evaluate("one => one.parentElement.open")
        opened_all = tabbed(shown)
        assert len(opened_all) > len(folded)
        for stops in (folded, opened_all):
            assert stops[0]["skips"]
            assert [one["number"] for one in stops] == list(range(len(stops))), stops
            places = [(round(one["top"]), round(one["left"])) for one in stops[1:]]
            assert places == sorted(places), "the order on the page is another one"
            for one in stops:
                lights = sorted((back, luminance(one["colour"])))
                contrast = (lights[1] + 0.05) / (lights[0] + 0.05)
                assert one["seen"] and one["width"] >= 2 and contrast >= 3, one
        assert len(opened_all) == shown.evaluate("window.stops.length")

        names = {one["name"] for one in opened_all if one["overflows"]}
        assert {"DIV Table of nodes", "DIV Table of throughput by day"} <= names
        for region in shown.locator(".scrolled").all():
            if region.evaluate("one => one.scrollWidth > one.clientWidth"):
                region.focus()
                shown.keyboard.press("ArrowRight")
                shown.wait_for_function("() => document.activeElement.scrollLeft > 0")

        shown.locator(".skip").focus()
        shown.keyboard.press("Enter")
        shown.keyboard.press("Tab")
        assert shown.evaluate("document.activeElement.closest('nav') === null")


@pytest.mark.slow
@pytest.mark.ci
@pytest.mark.parametrize("kind", MAKE)
def test_the_page_suits_everybody(kind: str, sqlite_archive: Archive, browser: Browser) -> None:
    """In light and dark, on a telephone and a large screen, and on paper."""
    MAKE[kind](sqlite_archive)
    url = on_disk(sqlite_archive)
    for scheme, width in LOOKS if kind == "filled" else LOOKS[:2]:
        with opened(browser, url, width, color_scheme=scheme, offline=True) as shown:
            assert wrong(shown) == [], (scheme, width)
            assert fits(shown), (scheme, width)
            back = shown.evaluate("getComputedStyle(document.body).backgroundColor")
            assert (back == "rgb(255, 255, 255)") == (scheme == "light")
            for chart in shown.locator("figure svg:visible").all():
                assert chart.locator("text").first.evaluate(
                    "one => getComputedStyle(one).fill == getComputedStyle(document.body).color"
                )
                assert chart.get_attribute("aria-label")
            for name in SECTIONS:
                assert shown.locator(f"section#{name} h2").is_visible()
    with opened(browser, url, 690) as shown:
        shown.emulate_media(media="print", color_scheme="dark")
        assert fits(shown)
        assert shown.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert all(table.is_visible() for table in shown.locator("details table").all())
        assert not shown.locator("nav").is_visible()


def test_the_page_requests_nothing_and_needs_no_script(
    sqlite_archive: Archive, browser: Browser, http_server: HttpServer
) -> None:
    make_hostile(sqlite_archive)
    on_disk(sqlite_archive)
    http_server.answers["/report.html"] = (200, (sqlite_archive.base / "report.html").read_bytes())
    requests: list[str] = []
    url = f"http://{http_server.place}/report.html"
    with opened(browser, url) as shown:
        shown.on("request", lambda one: requests.append(one.url))
        shown.reload()
        shown.wait_for_load_state("networkidle")
        assert requests == [url]
        assert shown.evaluate("typeof evil") == "undefined"
        assert shown.locator("script, img, iframe, object, [onerror]").count() == 0
    assert {one.path for one in http_server.take()} == {"/report.html"}
    with opened(browser, url, java_script_enabled=False) as shown:
        assert shown.locator("#throughput table").is_hidden()
        shown.locator("#throughput summary").click()
        assert shown.locator("#throughput table").is_visible()
        said = shown.locator("body").inner_text()
        assert f"acq{EVIL}" in said and LINK in said
        assert "\\x1b[31m\\u202eevil\\u2066" in said and "\u202e" not in said
        assert "\u05e9\u05dc\u05d5\u05dd" in said


def test_each_thing_has_a_section_and_says_what_it_is_measured_from(filled: Archive) -> None:
    text = page.render(read(filled), 0)
    sections = re.findall(r'<section id="([a-z]+)" aria-labelledby="\1-title">\s*<h2 id="\1-title">', text)
    assert tuple(sections) == SECTIONS
    assert tuple(re.findall(r'<li><a href="#([a-z]+)">', text)) == SECTIONS
    measured = dict(
        re.findall(r"<dt>([^<]+)</dt><dd>(.+?)</dd>", text[text.index('<dl class="measured">') :])
    )
    assert list(measured) == list(dict.fromkeys(words for _, words in THINGS if words in measured))
    for section, words in THINGS:
        assert section in SECTIONS and len(measured[words].split()) >= 5, words


class Tables(HTMLParser):
    """The cells of the tables of a page by the id of their section, and its duplicate ids."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: dict[str, list[list[str]]] = {}
        self.ids: list[str] = []
        self._section, self._cell = "", False
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        known = dict(attributes)
        if known.get("id"):
            self.ids.append(str(known["id"]))
        if tag == "section":
            self._section = str(known["id"])
        if tag == "tr":
            self.rows.setdefault(self._section, []).append([])
        if tag in ("td", "th"):
            self.rows[self._section][-1].append("")
            self._cell = True

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._cell = False

    def handle_data(self, text: str) -> None:
        if self._cell:
            self.rows[self._section][-1][-1] += text


def test_the_tables_show_the_numbers(filled: Archive) -> None:
    found = read(filled)
    text = page.render(found, 1.25)
    tables = Tables(text)
    assert len(tables.ids) == len(set(tables.ids))
    rows = {name: {row[0]: row[1:] for row in some} for name, some in tables.rows.items()}
    assert rows["copies"]["All nodes"] == ["7", "1", "1", "1", "1", "1", "3"]
    assert rows["policy"]["0"] == ["1", "1.00 GiB", "no"]
    assert rows["policy"]["2"] == ["2", "2.00 GiB", "yes"]
    assert rows["policy"]["acq"] == ["1", "2", "3.00 GiB"]
    assert rows["verification"]["All nodes"] == ["1", "0", "1", "0", "0", "0", "6"]
    day = f"{datetime.now(UTC) - timedelta(days=1, minutes=1):%Y-%m-%d}"
    assert rows["throughput"][day] == ["3", "3.00 GiB", "5", "1.00 GiB", "1", "0 B", "2"]
    assert rows["failures"]["pull"][:4] == ["destination-full", "source", "1", "4"]
    assert rows["failures"]["corrupt"] == ["copy-verified", "1", "why not"]
    assert rows["runs"]["2"][3:7] == ["1", "9", "2", "4.00 GiB"]
    (vault,) = (row for name, row in rows["nodes"].items() if name.startswith("vault"))
    # Full now, and the day on which it will be.
    days = [(found.now + timedelta(days=280), 279), (found.now + timedelta(days=280), 280)]
    assert vault[0] == " 11.8 %" and vault[1] in [
        f"{day:%Y-%m-%d} (in {number} days)" for day, number in days
    ]
    assert vault[2:6] == ["+512.00 MiB", "30.00 GiB", "4", "4.00 GiB"]
    (field,) = (row for name, row in rows["nodes"].items() if name.startswith("field"))
    assert field[1] == "full now"
    (mirror,) = (row for name, row in rows["nodes"].items() if name.startswith("mirror"))
    assert mirror[:3] == [" 3.0 %", "does not grow", "0 B"]
    (shelf,) = (row for name, row in rows["nodes"].items() if name.startswith("shelf"))
    assert shelf[1] == "unknown: no free space"
    assert "so no copy counts" not in text
    filled.do("UPDATE storagenode SET archive = 0 WHERE name <> 'shelf'")
    assert "so no copy counts" in page.render(read(filled), 0)
    for item in found.items:
        assert f"<code>{item.command}</code>" in text
        assert not item.on_host or f"on host <bdi>{item.on_host}</bdi>" in text
    assert any(item.on_host for item in found.items)
    assert "in 1.2 s" in text


def test_many_problems_of_one_kind_are_folded(sqlite_archive: Archive, browser: Browser) -> None:
    make_hundred(sqlite_archive)
    with opened(browser, on_disk(sqlite_archive)) as shown:
        assert shown.locator("#attention li:visible").count() < 25
        assert "95 more of this kind" in shown.locator("#attention").inner_text()
