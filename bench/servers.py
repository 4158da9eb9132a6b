"""The bench's own broker and ClickHouse, in a temporary folder on free ports, and runwatch's parts on them."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec
from pydantic import SecretStr

from .. import broker
from ..config import OPEN_KAFKA, Settings
from ..schemas.topics import ensure_topics
from ..stack import kafka, services
from ..stack.home import Home, read_json
from ..stack.jars import kafka_jars
from ..stack.ports import any_free
from ..stack.supervisor import Supervisor
from .child import Child
from .errors import BenchError

Report = Callable[[str], None]


class Servers:
    """What a part of the bench has to work with."""

    def __init__(self, home: Home, endpoints: dict[str, str], pids: dict[str, int]) -> None:
        self._home = home
        self._endpoints = endpoints
        self.pids = pids
        """Process ids of `kafka` and `clickhouse`."""
        self.admin = AdminClient({"bootstrap.servers": endpoints["kafka"], "log_level": 0})

    @property
    def folder(self) -> Path:
        """A folder that is removed with the bench."""
        return self._home.path

    def settings(self, prefix: str, database: str = "runwatch") -> Settings:
        """Settings for topics of that prefix, which are made, and that database, which is not."""
        settings = Settings(
            home=self._home.path,
            kafka=self._endpoints["kafka"],
            clickhouse=self._endpoints["clickhouse"],
            clickhouse_user="default",
            clickhouse_password=SecretStr(""),
            clickhouse_password_file=None,
            database=database,
            registry=None,
            prefix=prefix,
            partitions=4,
            replication=1,
            **OPEN_KAFKA,
        )
        ensure_topics(settings.kafka, prefix, partitions=settings.partitions)
        return settings

    def part(self, command: str, settings: Settings) -> Child:
        """`runwatch process` or `runwatch sink`, as production starts it."""
        env = {
            "RUNWATCH_HOME": str(self._home.path),
            "RUNWATCH_KAFKA": settings.kafka,
            "RUNWATCH_CLICKHOUSE": settings.clickhouse,
            "RUNWATCH_CLICKHOUSE_USER": settings.clickhouse_user,
            "RUNWATCH_CLICKHOUSE_PASSWORD": "",
            "RUNWATCH_CLICKHOUSE_PASSWORD_FILE": "",
            "RUNWATCH_CONTROL_SIGNERS": "",
            "RUNWATCH_DATABASE": settings.database,
            "RUNWATCH_REGISTRY": "",
            "RUNWATCH_PREFIX": settings.prefix,
            "RUNWATCH_PARTITIONS": str(settings.partitions),
            "RUNWATCH_REPLICATION": "1",
            "RUNWATCH_NICE": str(services.nice_of(command)),
        }
        if settings.config is not None:
            env["RUNWATCH_CONFIG"] = str(settings.config)
        return Child(f"runwatch {command}", ["-m", "runwatch", command], {**self._scratch(), **env}, self._log(command))

    def module(self, name: str, *arguments: str, says: bool = False) -> Child:
        """A process of the bench's own: `python -m runwatch.bench.NAME ARGUMENTS…`."""
        command = ["-m", f"{__package__}.{name}", *arguments]
        return Child(name, command, self._scratch(), self._log(name), says=says)

    def _scratch(self) -> dict[str, str]:
        # What a contestant leaves in its temporary folder goes with ours.
        folder = self._home.path / "scratch"
        folder.mkdir(exist_ok=True)
        return {"TMPDIR": str(folder), **broker.unset()}

    def _log(self, name: str) -> Path:
        return self._home.log(f"bench-{name}")

    # -- beginning anew ----------------------------------------------------------------------------

    def forget_group(self, group: str, patience_s: float = 60.0) -> None:
        """Makes a consumer group begin at the beginning again. Waits until its members are gone."""
        deadline = time.monotonic() + patience_s
        while True:
            try:
                self.admin.delete_consumer_groups([group], request_timeout=10)[group].result(15)
                return
            except KafkaException as error:
                if error.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND:
                    return
                if time.monotonic() > deadline:
                    raise BenchError(f"The consumer group {group} cannot be removed: {error.args[0].str()}") from error
            time.sleep(0.2)

    def empty(self, *topics: str) -> None:
        """Removes what stands in these topics."""
        described = self.admin.describe_topics(TopicCollection(list(topics)), request_timeout=10)
        places = [
            TopicPartition(topic, partition.id)
            for topic in topics
            for partition in described[topic].result(15).partitions
        ]
        ends = {
            place: future.result(15).offset
            for place, future in self.admin.list_offsets({place: OffsetSpec.latest() for place in places}).items()
        }
        cuts = [TopicPartition(place.topic, place.partition, end) for place, end in ends.items()]
        for future in self.admin.delete_records(cuts, request_timeout=10).values():
            future.result(15)

    def read(self, topic: str) -> Iterator[bytes]:
        """The values that stand in a topic now."""
        consumer = Consumer(
            {
                "bootstrap.servers": self._endpoints["kafka"],
                "group.id": "bench-reader",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "log_level": 0,
            }
        )
        try:
            numbers = consumer.list_topics(topic, timeout=10).topics[topic].partitions
            bounds = {
                number: consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=10) for number in numbers
            }
            left = sum(high - low for low, high in bounds.values())
            consumer.assign([TopicPartition(topic, number, low) for number, (low, _) in bounds.items()])
            while left > 0:
                messages = consumer.consume(10_000, 10.0)
                if not messages:
                    raise BenchError(f"{topic} has {left} messages more than can be read")
                for message in messages:
                    if message.error() is None and message.offset() < bounds[message.partition()][1]:
                        left -= 1
                        yield message.value() or b""
        finally:
            consumer.close()


@contextmanager
def running(folder: Path | None, report: Report) -> Iterator[Servers]:
    """Starts the servers; stops them and removes their folder in the end. Raises `StackError`."""
    with tempfile.TemporaryDirectory(prefix="runwatch-bench-", dir=folder, ignore_cleanup_errors=True) as name:
        home = Home(Path(name).absolute())
        home.prepare()
        ports = {name: any_free() for name in ("kafka", "kafka-controller", "clickhouse", "registry")}
        jars = kafka_jars(report)
        node = kafka.Node(1, ports["kafka"], ports["kafka-controller"])
        kafka.write_config(home.path / "kafka", node, [node])
        kafka.format_storage(home.path / "kafka", jars, kafka.new_cluster_id())
        supervisor = Supervisor(home, report)
        try:
            options = services.Options(home.path, parts=())
            for service in services.servers(options, ports, jars):
                # The parts compute schema ids themselves; nobody would ask a registry.
                if service.name != "registry":
                    supervisor.start(service)
            pids = {}
            for each in read_json(home.state)["services"]:
                supervisor.wait_ready(each["name"])
                pids[each["name"]] = each["pid"]
            yield Servers(home, services.endpoints(ports), pids)
        finally:
            supervisor.stop()
