"""How fast a consumer group gets through a topic: its committed offsets, watched from outside.

The same for every contestant: what counts is what it has committed, and nothing is added to its work. The
rate is taken between two commits, the first that is seen and the last before the end: start-up (imports,
joining the group, the first fetch) is left out, and so is the pause before the last commit, which says
nothing of the work. Between two commits a contestant does everything that it does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field

import psutil
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from .child import Child, usage
from .errors import BenchError
from .figures import Figures

POLL_S = 0.1
START_S = 60.0
"""How long a contestant may take to its first commit."""
LEAST_S = 1.0
"""A rate is taken over no less."""
MIB = 1 << 20
_ELECTING = {KafkaError.NOT_COORDINATOR, KafkaError.COORDINATOR_LOAD_IN_PROGRESS, KafkaError.COORDINATOR_NOT_AVAILABLE}
"""A broker that has just started does not know yet who keeps a group's offsets: nothing was committed so far."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A commit that was seen."""

    at: float
    """Seconds, monotonic clock."""
    done: int
    """Events committed, all partitions together."""
    cpu_s: float
    """CPU time of the contestant so far."""
    servers_cpu_s: Mapping[str, float] = field(default_factory=dict)
    """CPU time of each server so far."""


@dataclass
class Track:
    """A contestant's way through the topic."""

    began: float
    total: int
    samples: list[Sample] = field(default_factory=list)
    peak_rss: int = 0

    def figures(self) -> Figures:
        """Rate, CPU time and memory. Raises `BenchError` where nothing was committed."""
        if not self.samples:
            raise BenchError("nothing was committed: there is no rate to tell")
        steady = [sample for sample in self.samples if sample.done < self.total]
        # A short bench may be through after a few commits: better from the slow end than not at all.
        used = steady if len(steady) >= 4 else self.samples
        if used[-1].at - used[0].at < LEAST_S:
            # So short a span tells of the pipeline's filling, not of its work: start-up is counted in.
            used = [Sample(self.began, 0, 0.0), self.samples[-1]]
        first, last = used[0], used[-1]
        events = last.done - first.done
        out: Figures = {
            "events_per_s": events / (last.at - first.at),
            "cpu_s_per_million": 1e6 * (last.cpu_s - first.cpu_s) / events,
            "peak_rss_mib": self.peak_rss / MIB,
            "start_s": self.samples[0].at - self.began,
            "events": events,
        }
        for name, cpu_s in last.servers_cpu_s.items() if first.servers_cpu_s else ():
            out[f"{name}_cpu_s_per_million"] = 1e6 * (cpu_s - first.servers_cpu_s[name]) / events
        return out


class Meter:
    """Watches groups on one topic."""

    def __init__(self, kafka: str, topic: str, servers: Mapping[str, int]) -> None:
        """`servers`: process ids, by the name that their CPU time goes under."""
        self._kafka = kafka
        self._servers = servers
        with closing(_consumer(kafka, "bench-ends")) as consumer:
            partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
            self._places = [TopicPartition(topic, number) for number in partitions]
            self.total = sum(consumer.get_watermark_offsets(place, timeout=10)[1] for place in self._places)

    def follow(
        self,
        group: str,
        child: Child,
        *,
        most_s: float,
        must_end: bool = True,
        tell: Callable[[int, int], None] = lambda _done, _total: None,
    ) -> Track:
        """Watches `child` work as `group` until it is through or has had `most_s` since its first commit.

        Raises `BenchError` where it ends, where it commits nothing at all, and, if it `must_end`, where it
        does not get through.
        """
        track = Track(child.began, self.total)
        before, deadline = 0, time.monotonic() + START_S
        with closing(_consumer(self._kafka, group)) as consumer:
            while True:
                done = self._committed(consumer)
                now = time.monotonic()
                used = child.usage()
                track.peak_rss = max(track.peak_rss, used.rss)
                if done > before:
                    if not track.samples:
                        deadline = now + most_s
                    track.samples.append(Sample(now, done, used.cpu_s, self._servers_cpu_s()))
                    before = done
                    tell(done, self.total)
                if done >= self.total:
                    return track
                if now > deadline:
                    if must_end or not track.samples:
                        seconds = now - child.began
                        raise BenchError(f"{child.name} committed {done:,} of {self.total:,} events in {seconds:.0f} s")
                    return track
                time.sleep(POLL_S)

    def _committed(self, consumer: Consumer) -> int:
        try:
            return sum(max(0, place.offset) for place in consumer.committed(self._places, timeout=10))
        except KafkaException as error:
            if error.args[0].code() in _ELECTING:
                return 0
            raise BenchError(f"The broker does not tell what is committed: {error.args[0].str()}") from error

    def _servers_cpu_s(self) -> dict[str, float]:
        try:
            return {name: usage(pid).cpu_s for name, pid in self._servers.items()}
        except psutil.Error as error:
            raise BenchError(f"A server of the bench has ended: {error}") from error


def _consumer(kafka: str, group: str) -> Consumer:
    """A consumer that never joins its group: it only asks."""
    return Consumer({"bootstrap.servers": kafka, "group.id": group, "enable.auto.commit": False, "log_level": 0})
