"""The alert rules, the dashboard and the metrics, with the programs that use them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import click
import pytest
import yaml

from alpenhorn.config import Config
from alpenhorn.monitoring import families, metrics
from tests.fixtures.archive import Archive, wait_for
from tests.fixtures.manual import page, section
from tests.monitoring.conftest import end
from tests.test_docs import understood

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "alpenhorn" / "monitoring" / "prometheus"
RULES = SHIPPED / "alert-rules.yml"
DASHBOARD = SHIPPED / "dashboard.json"
NAME = re.compile(r"\balpenhorn_\w+")
OF_TIME = re.compile(r"rate\(|increase\(|predict_linear\(")  # they need more than one sample


def rules() -> dict[str, str]:
    """Return the expressions of the alerts."""
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return {rule["alert"]: rule["expr"] for group in groups for rule in group["rules"]}


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text())["panels"]
    return found


def targets() -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Return each query of the dashboard with its panel."""
    return [(panel, target) for panel in panels() for target in panel.get("targets", ())]


def unit(panel: dict[str, Any], target: dict[str, Any]) -> str | None:
    """Return the unit in which a panel shows the values of a query."""
    options = panel["fieldConfig"]
    for override in options["overrides"]:
        if override["matcher"] == {"id": "byFrameRefID", "options": target["refId"]}:
            return next((one["value"] for one in override["properties"] if one["id"] == "unit"), None)
    found: str | None = options["defaults"].get("unit")
    return found


def suited_unit(query: str) -> str | None:
    """Return the unit of the values of a query in Grafana, by the suffix of its metric; None for numbers."""
    name = NAME.findall(query)[0]
    of_time = "rate(" in query
    if name.endswith("_timestamp_seconds"):
        assert query.startswith("time() - "), query
        return "s"
    for suffix, absolute, per_second in (
        ("_seconds", "s", None),
        ("_bytes", "bytes", "Bps"),
        ("_bytes_total", None, "Bps"),
        ("_ratio", "percentunit", None),
    ):
        if name.endswith(suffix):
            return per_second if of_time else absolute
    assert not re.search("second|byte|ratio|time", name), name
    return None


def dashboard_queries() -> list[str]:
    return [target["expr"] for panel in panels() for target in panel.get("targets", ())]


def test_the_rules_and_the_dashboard_use_every_metric_and_no_other() -> None:
    known = {family.name for family in families.FAMILIES}
    in_rules = {name for expression in rules().values() for name in NAME.findall(expression)}
    in_dashboard = {name for query in dashboard_queries() for name in NAME.findall(query)}
    assert in_rules <= known and in_dashboard <= known
    assert known - in_rules - in_dashboard <= {families.READ_ATTEMPT}


def test_promtool_accepts_the_rules() -> None:
    done = subprocess.run(["promtool", "check", "rules", str(RULES)], capture_output=True, text=True)
    assert done.returncode == 0 and f"SUCCESS: {len(rules())} rules found" in done.stdout, done


def test_every_command_that_an_alert_names_is_understood() -> None:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    texts = [rule["annotations"].get("description", "") for group in groups for rule in group["rules"]]
    plain = [re.sub(r"\{\{[^}]*\}\}", "x", text).replace("COUNT", "5") for text in texts]
    commands = [words for text in plain for words in re.findall(r"\balpenhorn((?: [-a-z0-9]+)+)", text)]
    assert len(commands) >= len([text for text in texts if text])
    for words in commands:
        with suppress(click.exceptions.Exit):  # of --help
            understood(words.split())


def test_the_dashboard_is_one_for_grafana() -> None:
    """Grafana is not tried; this is what it needs to import a dashboard and to lay out its panels."""
    document = json.loads(DASHBOARD.read_text())
    assert document["title"] == document["uid"] == "alpenhorn" and document["schemaVersion"] >= 36
    (variable,) = document["templating"]["list"]
    assert (variable["type"], variable["query"]) == ("datasource", "prometheus")
    ids = [panel["id"] for panel in panels()]
    assert len(set(ids)) == len(ids)
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken and max(x for x, _ in cells) < 24, panel["title"]
        taken |= cells
        assert panel["title"]
        if panel["type"] != "row":
            source = {"type": "prometheus", "uid": f"${{{variable['name']}}}"}
            assert panel["targets"] and all(one["datasource"] == source for one in panel["targets"])


def test_each_panel_shows_its_values_in_their_unit() -> None:
    for panel, target in targets():
        assert unit(panel, target) == suited_unit(target["expr"]), panel["title"]
        references = [one["refId"] for one in panel["targets"]]
        assert len(set(references)) == len(references)
        matched = {one["matcher"]["options"] for one in panel["fieldConfig"]["overrides"]}
        assert matched <= set(references), panel["title"]


def test_promtool_accepts_every_query_of_the_dashboard(tmp_path: Path) -> None:
    """Each is a rule of its own; what is not a query is refused."""
    path = tmp_path / "rules.yml"
    for wrong, queries in (((), dashboard_queries()), (("sum by (alpenhorn_index_up",), [])):
        named = [{"record": f"query:{n}", "expr": one} for n, one in enumerate((*queries, *wrong))]
        path.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": named}]}))
        done = subprocess.run(["promtool", "check", "rules", str(path)], capture_output=True, text=True)
        assert done.returncode == len(wrong), done
        assert wrong or f"SUCCESS: {len(queries)} rules found" in done.stdout


# What two hosts report of one archive in which all is well, in the notation of promtool: a value an hour.
NOW = "0+3600x300"
WELL = {
    'alpenhorn_last_attempt_timestamp_seconds{host="here"}': NOW,
    'alpenhorn_last_success_timestamp_seconds{host="here"}': NOW,
    'alpenhorn_last_run_exit_status{host="here"}': "0x300",
    'alpenhorn_index_up{host="here"}': "1x300",
    'alpenhorn_node_copies{node="vault",state="corrupt"}': "0x300",
    'alpenhorn_node_copies{node="vault",state="missing"}': "0x300",
    'alpenhorn_node_copies{node="vault",state="suspect"}': "0x300",
    'alpenhorn_node_active{node="vault"}': "1x300",
    'alpenhorn_node_used_ratio{node="vault"}': "0.5x300",
    'alpenhorn_node_free_bytes{node="vault"}': "1000000000000x300",
    'alpenhorn_node_oldest_verification_timestamp_seconds{node="vault"}': NOW,
    'alpenhorn_group_oldest_request_timestamp_seconds{group="vault"}': NOW,
    "alpenhorn_index_backup_timestamp_seconds{}": NOW,
    'alpenhorn_attention_items{code="copies-corrupt"}': "0x300",
}
ILL = {
    "AlpenhornNotRunning": ("alpenhorn_last_attempt", "0x300"),
    "AlpenhornNoSuccess": ("alpenhorn_last_success", "0x300"),
    "AlpenhornRunsFail": ("alpenhorn_last_run_exit_status", "1x300"),
    "AlpenhornIndexUnreachable": ("alpenhorn_index_up", "0x300"),
    "AlpenhornBadCopies": ('alpenhorn_node_copies{node="vault",state="missing"}', "2x300"),
    "AlpenhornSuspectCopies": ('alpenhorn_node_copies{node="vault",state="suspect"}', "1x300"),
    "AlpenhornNodeFull": ("alpenhorn_node_used_ratio", "0.97x300"),
    "AlpenhornNodeFullSoon": ("alpenhorn_node_free_bytes", "1000000000000-3600000000x300"),
    "AlpenhornRequestsWait": ("alpenhorn_group_oldest_request", "0x300"),
    "AlpenhornBackupOld": ("alpenhorn_index_backup", "0x300"),
    "AlpenhornVerificationOld": ("alpenhorn_node_oldest_verification", "-40000000x300"),
    "AlpenhornNeedsAttention": ("alpenhorn_attention_items", "1x300"),
}


def firing(directory: Path, series: dict[str, str], expected: list[str]) -> None:
    """Let promtool check which alerts fire after nine days, once for each node, group or host."""
    both = [
        {"series": name.replace("{", f'{{instance="{instance}",'), "values": values}
        for name, values in series.items()
        for instance in ("one:9100", "two:9100")
    ]
    samples = [{"labels": f'{{alertname="{alert}"}}', "value": 1} for alert in expected]
    query = 'count by (alertname) (ALERTS{alertstate="firing"})'
    test = {
        "interval": "1h",
        "input_series": both,
        "promql_expr_test": [{"expr": query, "eval_time": "9d", "exp_samples": samples}],
    }
    path = directory / "test.yml"
    path.write_text(json.dumps({"rule_files": [str(RULES)], "evaluation_interval": "1h", "tests": [test]}))
    done = subprocess.run(["promtool", "test", "rules", str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_alert_fires_if_all_is_well(tmp_path: Path) -> None:
    firing(tmp_path, WELL, [])


@pytest.mark.parametrize("alert", sorted(rules()))
def test_each_alert_fires_alone(alert: str, tmp_path: Path) -> None:
    start, values = ILL[alert]
    series = {name: values if name.startswith(start) else well for name, well in WELL.items()}
    assert sum(series[name] != WELL[name] for name in WELL) == 1
    firing(tmp_path, series, [alert])


@pytest.mark.parametrize("alert", ["AlpenhornNodeFull", "AlpenhornNodeFullSoon"])
def test_an_inactive_node_is_not_full(alert: str, tmp_path: Path) -> None:
    start, values = ILL[alert]
    series = {name: values if name.startswith(start) else well for name, well in WELL.items()}
    firing(tmp_path, series | {'alpenhorn_node_active{node="vault"}': "0x300"}, [])


# --- real programs ---------------------------------------------------------------------------------------


@contextmanager
def server(log: Path, ready: str, *argv: str) -> Iterator[str]:
    """Start a server on a port of its own choice, and yield its address when its log has the message `ready`."""
    with log.open("wb") as said, subprocess.Popen(argv, stdout=said, stderr=said) as process:
        try:

            def told() -> re.Match[str] | None:
                assert process.poll() is None, log.read_text()
                text = log.read_text()
                return re.search(r'msg="Listening on" address=(\S+)', text) if ready in text else None

            yield wait_for(told, f"{argv[0]}: {log}")[1]
        finally:
            process.terminate()


def api(address: str, path: str, **query: str) -> Any:
    with urlopen(f"http://{address}/api/v1/{path}?{urlencode(query)}", timeout=10) as answer:
        document = json.load(answer)
    assert document["status"] == "success"
    return document["data"]


@pytest.mark.parametrize("index_url", ["sqlite"], indirect=True)
def test_a_real_prometheus_gets_every_metric_through_a_real_node_exporter(
    archive: Archive, config: Config, tmp_path: Path
) -> None:
    now = datetime.now(UTC).replace(tzinfo=None)
    metrics.write(config, archive.index, end(1, now, pull=(3, 1, 1000)))
    assert config.metrics.textfile is not None
    exporter = (
        "prometheus-node-exporter",
        "--collector.disable-defaults",
        "--collector.textfile",
        f"--collector.textfile.directory={config.metrics.textfile.parent}",
        "--web.listen-address=127.0.0.1:0",
    )
    with server(tmp_path / "exporter.log", "Listening on", *exporter) as source:
        settings = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(RULES)],
            "scrape_configs": [{"job_name": "node", "static_configs": [{"targets": [source]}]}],
        }
        (tmp_path / "prometheus.yml").write_text(json.dumps(settings))
        prometheus = (
            "prometheus",
            f"--config.file={tmp_path / 'prometheus.yml'}",
            f"--storage.tsdb.path={tmp_path / 'tsdb'}",
            "--web.listen-address=127.0.0.1:0",
        )
        with server(tmp_path / "prometheus.log", "Server is ready", *prometheus) as address:

            def result(query: str) -> list[Any]:
                found: list[Any] = api(address, "query", query=query)["result"]
                return found

            wait_for(lambda: result(families.ATTEMPT), "the first scrape")
            assert result("node_textfile_scrape_error")[0]["value"][1] == "0"
            for family in families.FAMILIES:
                assert result(family.name), family.name
            for query in (*dashboard_queries(), *rules().values()):
                found = result(query)
                assert found or OF_TIME.search(query) or query in rules().values(), query
            for panel, target in targets():
                # Those of time have values after the second scrape.
                found = wait_for(lambda query=target["expr"]: result(query), panel["title"])  # type: ignore[misc]
                labels = re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])
                assert all(set(labels) <= one["metric"].keys() for one in found), panel["title"]
                series = [tuple(one["metric"].get(label) for label in labels) for one in found]
                assert not labels or len(set(series)) == len(series), panel["title"]
            (bad,) = result('alpenhorn_node_copies{node="vault",state="missing"}')
            assert bad["value"][1] == "1"

            def evaluated() -> list[dict[str, Any]]:
                """Return the rules once they were evaluated after the first scrape."""
                groups = api(address, "rules")["groups"]
                found = [rule for group in groups for rule in group["rules"]]
                active = {rule["name"] for rule in found if rule["alerts"]}
                return found if active >= {"AlpenhornBadCopies", "AlpenhornRunsFail"} else []

            found = wait_for(evaluated, "alerts")
            assert {rule["name"]: rule["health"] for rule in found} == dict.fromkeys(rules(), "ok")
            active = {rule["name"] for rule in found if rule["alerts"]}
            assert "AlpenhornNoSuccess" in active
            assert not active & {"AlpenhornNotRunning", "AlpenhornIndexUnreachable"}


def test_the_files_are_installed_with_the_package(tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(ROOT / "alpenhorn", source / "alpenhorn", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.cfg", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    build = ["import setuptools; setuptools.setup()", "build_py", "--build-lib", str(tmp_path / "built")]
    subprocess.run([sys.executable, "-c", *build], cwd=source, check=True, capture_output=True)
    built = tmp_path / "built" / "alpenhorn" / "monitoring" / "prometheus"
    assert {path.name for path in built.iterdir()} == {RULES.name, DASHBOARD.name}


def test_the_manual_lists_every_metric_with_its_labels() -> None:
    rows = re.findall(
        r"^\| `(alpenhorn_\w+)` \| ([a-z, ]*?) ?\| ", section(page("operating"), "Metrics"), re.MULTILINE
    )
    assert rows == [(family.name, ", ".join(family.labels)) for family in families.FAMILIES]
