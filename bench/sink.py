"""Part `sink`: the sink storing a topic in ClickHouse, beside row-wise inserts of the same topic.

The sink is `runwatch sink`, as production starts it, into a database of its own each time. It reads the topic
from its beginning to its end; the peer is given a time instead. They take turns. Afterwards ClickHouse must
hold every event once.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from ..config import Settings
from ..schemas.topics import ANOMALIES, WINDOWS
from .context import Context
from .databases import bytes_in, database, events_in
from .figures import Figures, rounded, together
from .meter import Meter
from .process import MOST_S, SPREAD, beside
from .result import Result

PEER, PEER_MODULE = "row inserts", "peers.row_inserts"


def measure(context: Context) -> Result:
    """Runs the part. Raises `BenchError` where a contestant does not come to an end."""
    data, options, servers = context.data, context.options, context.servers
    meter = Meter(data.settings.kafka, data.topic, servers.pids)
    ours: list[Figures] = []
    theirs: dict[str, list[Figures]] = {PEER: []} if options.peers else {}
    problems: list[str] = []
    # The sink stores every topic: what a worker wrote before is not to be measured.
    servers.empty(data.settings.topic(ANOMALIES.name), data.settings.topic(WINDOWS.name))
    for turn in range(1, options.repeats + 1):
        what = f"sink: turn {turn} of {options.repeats}"
        ours.append(_sink(context, meter, data.settings.model_copy(update={"database": f"sink_{turn}"}), what))
        stored, rows = ours[-1]["stored"], ours[-1]["rows"]
        if not stored == rows == data.events:
            problems.append(f"sink: {data.events:,} events were sent, {stored:,} are stored, in {rows:,} rows")
        if options.peers:
            context.tell(f"sink: row inserts, turn {turn} of {options.repeats}")
            settings = data.settings.model_copy(update={"database": f"rows_{turn}"})
            theirs[PEER].append(_rows(context, meter, settings, f"bench-rows-{turn}"))
    figures = together(ours, SPREAD)
    figures |= {"events": data.events, "bytes_per_event": rounded(data.bytes_per_event)}
    return Result("sink", figures, beside(figures, theirs), problems=tuple(problems))


def _sink(context: Context, meter: Meter, settings: Settings, what: str) -> Figures:
    servers = context.servers
    group = f"{settings.prefix}runwatch-sink"
    servers.forget_group(group)
    with database(settings) as client:
        with servers.part("sink", settings) as child:
            track = meter.follow(group, child, most_s=MOST_S, tell=context.progress(what))
        stored, rows, inserts = events_in(client, settings)
        size = bytes_in(client, settings)
    return {
        **track.figures(),
        "stored": stored,
        "rows": rows,
        "inserts": inserts,
        "rows_per_insert": rows / max(inserts, 1),
        "disk_bytes_per_event": size / max(rows, 1),
    }


def _rows(context: Context, meter: Meter, settings: Settings, group: str) -> Figures:
    place = urlsplit(settings.clickhouse)
    arguments = (settings.kafka, context.data.topic, group, str(place.hostname), str(place.port), settings.database)
    with database(settings), context.servers.module(PEER_MODULE, *arguments) as child:
        return meter.follow(group, child, most_s=context.options.peer_s, must_end=False).figures()
