"""What the sidecar wrote down, read from its data volume."""

import contextlib
import json
import sqlite3

from proxy.injector.names import DATA_VOLUME
from tests.kubernetes.kubelet import RunningPod
from tests.support.processes import wait_until

type Row = dict[str, object]


def settled(pod: RunningPod, count: int, **equal: object) -> list[Row]:
    """The rows whose columns equal what is given, once there are at least `count` of them. Labels are a dictionary."""
    wait_until(lambda: len(_rows(pod, equal)) >= count, f"the ledger has {count} rows with {equal}", deadline_s=20)
    return _rows(pod, equal)


def _rows(pod: RunningPod, equal: dict[str, object]) -> list[Row]:
    path = pod.volume(DATA_VOLUME) / "ledger.sqlite"
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as database:
        database.row_factory = sqlite3.Row
        found = [dict(row) for row in database.execute("SELECT * FROM calls ORDER BY id")]
    return [
        {**row, "labels": json.loads(row["labels"])}
        for row in found
        if all(row[key] == value for key, value in equal.items())
    ]
