"""The metrics: their names, types and meanings, and their text form (Prometheus, text format 0.0.4).

prometheus_client renders and parses the text.  It is an optional package, and takes 45 ms to import.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from alpenhorn.outside import harmless

if TYPE_CHECKING:
    from prometheus_client import Metric

Labels = tuple[str, ...]
Values = dict[str, dict[Labels, float]]
"""Values of metrics: by name, then by the values of their labels."""


class Family(NamedTuple):
    """A metric.  `labels`: names of its labels."""

    name: str
    help: str
    labels: Labels = ()

    @property
    def kind(self) -> str:
        return "counter" if self.name.endswith("_total") else "gauge"


ATTEMPT = "alpenhorn_last_attempt_timestamp_seconds"
SUCCESS = "alpenhorn_last_success_timestamp_seconds"
SECONDS = "alpenhorn_last_run_duration_seconds"
EXIT_STATUS = "alpenhorn_last_run_exit_status"
LEFT_OUT = "alpenhorn_last_run_left_out_nodes"
FILES = "alpenhorn_files_total"
BYTES = "alpenhorn_bytes_total"
INDEX_UP = "alpenhorn_index_up"
READ = "alpenhorn_index_read_timestamp_seconds"
READ_ATTEMPT = "alpenhorn_index_read_attempt_timestamp_seconds"
READ_SECONDS = "alpenhorn_index_read_duration_seconds"
COPIES = "alpenhorn_node_copies"
ACTIVE = "alpenhorn_node_active"
FREE = "alpenhorn_node_free_bytes"
USED = "alpenhorn_node_used_ratio"
VERIFIED = "alpenhorn_node_oldest_verification_timestamp_seconds"
TO_TAPE = "alpenhorn_node_files_not_on_tape"
TO_TAPE_SINCE = "alpenhorn_node_oldest_not_on_tape_timestamp_seconds"
PENDING = "alpenhorn_group_pending_requests"
OLDEST = "alpenhorn_group_oldest_request_timestamp_seconds"
ATTENTION = "alpenhorn_attention_items"
BACKUP = "alpenhorn_index_backup_timestamp_seconds"

OF_RUNS = (
    Family(
        ATTEMPT,
        "Time at which the last run on this host ended, whether or not it could do anything.",
        ("host",),
    ),
    Family(
        SUCCESS,
        "Time at which the last run ended that did all work of its host without a failure; 0 if none is known.",
        ("host",),
    ),
    Family(
        SECONDS, "Duration of the last run that did not find all its nodes in use by another one.", ("host",)
    ),
    Family(
        EXIT_STATUS,
        "Exit status of the last run that did not find all its nodes in use by another one.",
        ("host",),
    ),
    Family(LEFT_OUT, "Number of nodes that the last run could not work on.", ("host",)),
    Family(
        FILES,
        "Number of files processed by runs, by kind of work and by result.",
        ("host", "kind", "result"),
    ),
    Family(
        BYTES,
        "Bytes copied, read or freed by runs, by kind of work, without those of files that failed while being read"
        " or copied.",
        ("host", "kind"),
    ),
    Family(INDEX_UP, "1 if the index could be used after the last run, 0 if not.", ("host",)),
    Family(
        READ, "Time at which the metrics of nodes, groups and the index were read from the index.", ("host",)
    ),
    Family(READ_ATTEMPT, "Time of the last attempt to read them.", ("host",)),
    Family(READ_SECONDS, "Duration of the last attempt to read them.", ("host",)),
)
OF_INDEX = (
    Family(COPIES, "Number of copies on a node, by state as shown by alpenhorn status.", ("node", "state")),
    Family(ACTIVE, "1 if the node is active, 0 if not.", ("node",)),
    Family(FREE, "Free space of a node as last seen by a run.", ("node",)),
    Family(
        USED,
        "Used fraction of a node: of its max_total if set, otherwise of its files and free space.",
        ("node",),
    ),
    Family(
        VERIFIED,
        "Time at which the good copy was read that was not read for the longest time, on nodes with auto_verify.",
        ("node",),
    ),
    Family(TO_TAPE, "Number of files on a node that wait to be put on tape, or are in a batch.", ("node",)),
    Family(TO_TAPE_SINCE, "Time since when the oldest of them waits.", ("node",)),
    Family(PENDING, "Number of pending copy requests into a group.", ("group",)),
    Family(OLDEST, "Time of the oldest pending copy request into a group.", ("group",)),
    Family(ATTENTION, "Number of items that need attention, by the code of their reason.", ("code",)),
    Family(BACKUP, "Time of the contents of the newest backup of the index; 0 if none is known."),
)
FAMILIES = OF_RUNS + OF_INDEX


def render(values: Mapping[str, Mapping[Labels, float]]) -> bytes:
    """Return the text of the values.  Raises ImportError without prometheus_client."""
    from prometheus_client import CollectorRegistry, generate_latest  # is optional

    registry = CollectorRegistry()
    registry.register(_Collector(values))
    return generate_latest(registry)


def parse(text: str) -> Values:
    """Return the values in a text, without unknown metrics; none if it is not valid.

    Raises ImportError without prometheus_client.
    """
    from prometheus_client.parser import text_string_to_metric_families  # is optional

    known = {family.name: family for family in FAMILIES}
    found: Values = {}
    try:
        for metric in text_string_to_metric_families(text):
            for sample in metric.samples:
                family = known.get(sample.name)
                if family is not None and sample.labels.keys() == set(family.labels):
                    labels = tuple(sample.labels[name] for name in family.labels)
                    found.setdefault(family.name, {})[labels] = float(sample.value)
    except ValueError:
        return {}
    return found


class _Collector:
    """The values, as a collector of prometheus_client."""

    def __init__(self, values: Mapping[str, Mapping[Labels, float]]) -> None:
        self._values = values

    def collect(self) -> Iterator[Metric]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily  # is optional

        for family in FAMILIES:
            if family.name in self._values:
                make = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
                metric = make(family.name, family.help, labels=family.labels)
                for labels, value in self._values[family.name].items():
                    metric.add_metric([harmless(label) for label in labels], value)
                yield metric
