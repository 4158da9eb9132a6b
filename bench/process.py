"""Part `process`: one worker doing its whole job, beside plain Faust and quixstreams on the same topic.

The worker is `runwatch process`, as production starts it: it decodes, drops repeats, finds loops, tallies
windows with sketches, sends anomalies and window parts, merges the parts again and judges drift. It reads the
topic from its beginning to its end; the peers, far slower, are given a time instead. They take turns.

That the work was right is part of the measurement: every run that loops must be in the anomaly topic, and no
other.
"""

from __future__ import annotations

import time

from ..schemas.avro import load
from ..schemas.topics import ANOMALIES, WINDOWS
from ..schemas.wire import decode_body, split
from .context import Context
from .errors import BenchError
from .figures import Figures, rounded, together
from .load import Loaded
from .meter import Meter, Track
from .result import Result

PEERS = {"faust": "peers.faust_table", "quixstreams": "peers.quix_windows"}
SPREAD = ("events_per_s", "cpu_s_per_million")
MOST_S = 600.0
LAST_WORDS_S = 10.0


def measure(context: Context) -> Result:
    """Runs the part. Raises `BenchError` where a contestant does not come to an end."""
    data, options = context.data, context.options
    meter = Meter(data.settings.kafka, data.topic, context.servers.pids)
    ours: list[Figures] = []
    theirs: dict[str, list[Figures]] = {name: [] for name in PEERS} if options.peers else {}
    problems: list[str] = []
    for turn in range(1, options.repeats + 1):
        track, found = _worker(context, data, meter, f"process: worker, turn {turn} of {options.repeats}")
        right = len(found & data.looping)
        ours.append(
            {**track.figures(), "loops_found": right, "loops_missed": len(data.looping) - right}
            | {"loops_false": len(found - data.looping)}
        )
        if found != data.looping:
            problems.append(
                f"process: {len(data.looping - found)} looping runs were not found, and "
                f"{len(found - data.looping)} were that do not loop"
            )
        for name, rows in theirs.items():
            context.tell(f"process: {name}, turn {turn} of {options.repeats}")
            group = f"bench-{name}-{turn}"
            with context.servers.module(PEERS[name], data.settings.kafka, data.topic, group) as child:
                rows.append(meter.follow(group, child, most_s=options.peer_s, must_end=False).figures())
    figures = together(ours, SPREAD)
    figures |= {"events": data.events, "runs": data.runs, "bytes_per_event": rounded(data.bytes_per_event)}
    return Result("process", figures, beside(figures, theirs), problems=tuple(problems))


def beside(figures: Figures, theirs: dict[str, list[Figures]]) -> dict[str, Figures]:
    """The peers' figures, and how many times as fast as each we are."""
    return {
        name: (peer := together(rows, SPREAD)) | {"ours_times": rounded(figures["events_per_s"] / peer["events_per_s"])}
        for name, rows in theirs.items()
    }


def _worker(context: Context, data: Loaded, meter: Meter, what: str) -> tuple[Track, set[str]]:
    """One worker's way through the topic, and the runs in which it found loops."""
    settings, servers = data.settings, context.servers
    anomalies, windows = settings.topic(ANOMALIES.name), settings.topic(WINDOWS.name)
    group = f"{settings.prefix}runwatch-processors"
    servers.forget_group(group)
    servers.empty(anomalies, windows)
    with servers.part("process", settings) as child:
        track = meter.follow(group, child, most_s=MOST_S, tell=context.progress(what))
        # An anomaly is delivered before the events that it comes from are committed.
        found = looping_runs(context, anomalies)
        deadline = time.monotonic() + LAST_WORDS_S
        while found < data.looping and time.monotonic() < deadline:
            time.sleep(0.2)
            found = looping_runs(context, anomalies)
    return track, found


def looping_runs(context: Context, topic: str) -> set[str]:
    """The runs that the anomaly topic holds loops of."""
    schema = load("anomaly")
    found = set()
    for message in context.servers.read(topic):
        schema_id, body = split(message)
        if schema_id != schema.schema_id:
            raise BenchError(f"{topic} holds a message of schema id {schema_id}, which is no anomaly")
        anomaly = decode_body(body, schema)
        if anomaly["rule"].startswith("loop."):
            found.add(anomaly["run_id"])
    return found
