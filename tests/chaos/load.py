"""The load: `python -m tests.chaos.load`, its settings as one JSON object in its argument.

Sends events at a steady rate until the time is up or SIGTERM comes, and waits until the brokers have all of them. Says
on standard output, a JSON object a line, which loops are now complete (`{"loop": run_id, "at": seconds}`), and at last
`{"sent": events, "corrupt": messages, "failed": messages, "first_failure": text}`.

It is the part of the ledger that is known from the start: what it sends follows from its settings.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from dataclasses import asdict, dataclass
from random import Random
from typing import Any

from confluent_kafka import KafkaError, Message, Producer

from runwatch.producers.transport import kafka_config

from .spoil import KEY, spoil
from .traffic import Traffic

TICK_S = 0.005
FLUSH_S = 180.0


@dataclass(frozen=True)
class Job:
    """What to send, where to, and for how long."""

    traffic: Traffic
    kafka: str
    topic: str
    seconds: float

    def to_json(self) -> str:
        return json.dumps({**asdict(self)})

    @classmethod
    def from_json(cls, text: str) -> Job:
        value = json.loads(text)
        return cls(**{**value, "traffic": Traffic(**value["traffic"])})


class Load:
    """Sends, and counts."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._random = Random(job.traffic.seed)
        self._failures: list[str] = []
        self.sent = self.corrupt = 0
        self.over = False
        config = kafka_config(job.kafka, 1_000_000, {"linger.ms": 500, "queue.buffering.max.kbytes": 1 << 20})
        self._producer = Producer(config)

    def run(self) -> None:
        """Until the time is up, or `over`."""
        number = 0
        traffic = self._job.traffic
        while not self.over:
            writer = traffic.chunk(number)
            begin_s = writer.start_ms / 1000
            planned, place = traffic.planned(writer), 0
            while place < planned and not self.over:
                now = time.time()
                if now - traffic.start_ms / 1000 >= self._job.seconds:
                    self.over = True
                    break
                due = min(planned, int((now - begin_s) * traffic.rate) + 1)
                if due <= place:
                    self._producer.poll(TICK_S)
                    continue
                due = min(due, place + 5_000)
                for key, value in writer.messages(place, due):
                    self._send(key, value)
                    if writer.plan.completes[place]:
                        print(json.dumps({"loop": key.decode(), "at": time.time()}), flush=True)
                    if self._random.random() < traffic.corrupt_share:
                        self._send(KEY + b"%d" % self.corrupt, spoil(value, self._random))
                        self.corrupt += 1
                    place += 1
                    self.sent += 1
                self._producer.poll(0)
                time.sleep(TICK_S)
            number += 1

    def end(self) -> dict[str, Any]:
        """Waits for the brokers; what was sent."""
        left = self._producer.flush(FLUSH_S)
        failed = left + len(self._failures)
        first = self._failures[0] if self._failures else ("" if not left else "not delivered in time")
        return {"sent": self.sent, "corrupt": self.corrupt, "failed": failed, "first_failure": first}

    def _send(self, key: bytes, value: bytes) -> None:
        while True:
            try:
                self._producer.produce(self._job.topic, value, key, on_delivery=self._delivered)
                return
            except BufferError:
                # The brokers are away and a million messages wait: they, and we, wait on.
                self._producer.poll(0.1)

    def _delivered(self, error: KafkaError | None, _: Message) -> None:
        if error is not None:
            self._failures.append(error.str())


def main() -> None:
    load = Load(Job.from_json(sys.argv[1]))

    def stop(*_: Any) -> None:
        load.over = True

    signal.signal(signal.SIGTERM, stop)
    load.run()
    print(json.dumps(load.end()), flush=True)


if __name__ == "__main__":
    main()
