"""The control topic, followed in the background: what agents and processors go by stands in memory.

No group is joined: everyone reads the whole topic, which is compacted and small, and then what is new.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from ..broker import is_refusal
from ..schemas.controls import Control
from ..schemas.registry import Registry, RegistryError
from .obey import Obedience
from .read import BadControl
from .signers import Signers, SignersError
from .state import ControlState

POLL_S = 0.2
"""How long the end may be waited for at `close`; a command that comes in is taken at once."""
CONTACT_S = 5.0
"""Between two questions whether the topic's leader still answers: without commands nothing else would tell."""
ANSWER_S = 2.0
LOOK_S = 0.1
"""Between two looks whether the broker is known to be away, while its first answer is waited for."""
RETRY_S = 1.0
"""After a consumer could not be made, or a registry did not answer."""
SIGNERS_S = 5.0
"""Between two looks whether the file of signers has changed."""


def _untold(_kind: str, _message: str, *_values: object) -> None:
    """For who need not know."""


class Follower:
    """Keeps `state` as the topic has it. Where the topic cannot be reached, the last state holds."""

    def __init__(
        self,
        config: Mapping[str, Any],
        topic: str,
        registry: Callable[[], Registry],
        tell: Callable[..., None] = _untold,
        signers: Signers | None = None,
    ) -> None:
        """`config` is librdkafka's, with `bootstrap.servers`; `registry` is asked for in the background, once.

        `tell(kind, message, *values)` hears of trouble, from the background. Given `signers`, only what one of them
        signed is a command.
        """
        self._obeyed = Obedience(topic, signers)
        self._config = dict(config)
        self._topic = topic
        self._open_registry = registry
        self._tell = tell
        self.ignored = 0
        """Messages that are no commands: malformed or forged. The sink keeps them in the dead letters."""
        self._loaded = False
        self._begin()

    def _begin(self) -> None:
        """The state that a forked child begins anew."""
        self._registry: Registry | None = None
        self._consumer: Any = None
        self._thread: threading.Thread | None = None
        self._closed = False
        self._settled = threading.Event()
        self._lost_since: float | None = time.monotonic()
        self._ask_at = 0.0
        self._signers_at = 0.0
        self._missing = False
        self._away = False
        """Whether librdkafka has said so since the following began."""
        self._end: int | None = None
        """Where the topic ended when its reading began, if that is known."""

    def start(self) -> None:
        """Begins to follow; a second start changes nothing."""
        if self._thread is None and not self._closed:
            self._thread = threading.Thread(target=self._run, name="runwatch-control", daemon=True)
            try:
                self._thread.start()
            except RuntimeError:
                self._thread = None  # the interpreter is ending, and starts no more threads

    @property
    def state(self) -> ControlState:
        """What stands in the topic."""
        return self._obeyed.state

    @property
    def loaded(self) -> bool:
        """Whether the topic was read to its end at least once."""
        return self._loaded

    def wait_loaded(self, timeout_s: float) -> bool:
        """Waits until the topic was read to its end; False where that took too long, or the broker is away."""
        if not self._loaded and self._thread is not None:
            self._settled.wait(timeout_s)
        return self._loaded

    def lost_for_s(self) -> float:
        """Seconds since the topic was last known to answer; 0.0 while it does."""
        since = self._lost_since
        return 0.0 if since is None else time.monotonic() - since

    def signed_by(self, scope: str) -> str | None:
        """As `Obedience.signed_by`."""
        return self._obeyed.signed_by(scope)

    def overwritten(self, now_ms: int, key_id: bytes) -> list[Control]:
        """As `Obedience.overwritten`."""
        return self._obeyed.overwritten(now_ms, key_id)

    def close(self) -> None:
        """Ends the following; what stands in `state` stays."""
        self._closed = True
        thread, self._thread = self._thread, None
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout=POLL_S + ANSWER_S)

    def after_fork(self) -> None:
        """A child goes on from what its parent knew, with a consumer of its own."""
        started, consumer = self._thread is not None, self._consumer
        if consumer is not None:
            import ctypes

            # To destroy a consumer is to join its threads, and a child has none of its parent's.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(consumer))
        self.state.after_fork()
        closed = self._closed
        self._begin()
        self._closed = closed
        if started:
            self.start()

    # -- in the background -------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._closed:
            try:
                self._registry = self._registry or self._open_registry()
                self._consumer = self._opened()
                self._assign()
                while not self._closed:
                    self._step()
            except Exception as error:  # whatever librdkafka or a registry's client finds wrong
                self._tell("control", "the control topic cannot be followed, which is tried again: %s", error)
                self._lost()
                time.sleep(RETRY_S)
            finally:
                consumer, self._consumer = self._consumer, None
                if consumer is not None:
                    consumer.close()

    def _opened(self) -> Any:
        from confluent_kafka import Consumer

        return Consumer(
            {
                # Of no meaning where partitions are assigned by hand; librdkafka wants one.
                "group.id": "runwatch-control",
                "client.id": "runwatch-control",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                # A command goes out as soon as it is there.
                "fetch.min.bytes": 1,
                "reconnect.backoff.ms": 50,
                "reconnect.backoff.max.ms": 2_000,
                "allow.auto.create.topics": False,
                # librdkafka would write each failed connection to the agent's stderr.
                "log_level": 0,
                **self._config,
                "error_cb": self._on_error,
            }
        )

    def _step(self) -> None:
        from confluent_kafka import KafkaError

        if time.monotonic() >= self._signers_at:
            self._look_at_signers()
        message = self._consumer.poll(POLL_S)
        if message is None:
            if time.monotonic() >= self._ask_at:
                self._ask()
            return
        error = message.error()
        if error is None:
            self._take(message)
            self._reached()
            if not self._loaded and self._end is not None and message.offset() + 1 >= self._end:
                self._read_to_end()
        elif error.code() == KafkaError._PARTITION_EOF:
            self._reached()
            self._read_to_end()
        elif error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            self._missing = True
        elif error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
            self._denied()

    def _take(self, message: Any) -> None:
        kind, log_ms = message.timestamp()
        while not self._closed:
            try:
                assert self._registry is not None
                self._obeyed.take(
                    message.key(),
                    message.value(),
                    message.headers(),
                    log_ms if kind else None,
                    self._registry.schema_of,
                )
            except BadControl as bad:
                self.ignored += 1
                self._tell("control-bad", "a message of %s is no command and is ignored: %s", self._topic, bad)
            except RegistryError as error:
                # The message may be a stop: it is not passed over because a registry is away.
                self._tell("control", "a command cannot be read yet: %s", error)
                time.sleep(RETRY_S)
                continue
            return

    def _look_at_signers(self) -> None:
        self._signers_at = time.monotonic() + SIGNERS_S
        try:
            if self._obeyed.signers_changed():
                self._assign()
        except SignersError as error:
            self._tell("signers", "the signers of before still hold: %s", error)

    def _ask(self) -> None:
        """Asks the topic's leader for a sign of life."""
        from confluent_kafka import KafkaError, KafkaException, TopicPartition

        try:
            if not self._missing:
                self._consumer.get_watermark_offsets(TopicPartition(self._topic, 0), timeout=ANSWER_S, cached=False)
        except KafkaException as error:
            if error.args[0].code() != KafkaError._UNKNOWN_PARTITION:
                self._lost()
                return
            self._missing = True
        if self._missing:
            self._look_for_topic()
        else:
            self._reached()

    def _look_for_topic(self) -> None:
        """A topic that nobody has made yet forbids nothing; librdkafka would look for it every five minutes."""
        from confluent_kafka import KafkaError, KafkaException

        try:
            found = self._consumer.list_topics(self._topic, timeout=ANSWER_S).topics[self._topic]
        except KafkaException:
            self._lost()
            return
        if found.error is not None and found.error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
            self._denied()
            return
        self._reached()
        if found.error is None:
            self._missing = False
            self._assign()
        else:
            self._read_to_end()

    def _assign(self) -> None:
        """Begins at the topic's first message; one without any, or with its last, is read to its end.

        librdkafka finds a place by name ("the beginning") and an end ("no more here") only after half a second each,
        for which every agent's first run would wait. The numbers are there in milliseconds.
        """
        from confluent_kafka import OFFSET_BEGINNING, KafkaError, KafkaException, TopicPartition

        first, self._end = OFFSET_BEGINNING, None
        self._obeyed.begin()
        give_up = time.monotonic() + ANSWER_S
        while not self._closed:
            try:
                first, self._end = self._consumer.get_watermark_offsets(
                    TopicPartition(self._topic, 0), timeout=LOOK_S, cached=False
                )
            except KafkaException as error:
                # Hears whether the broker is away. Where it is, or the topic is not there yet, `_ask` sees to it.
                self._consumer.poll(0)
                if error.args[0].code() == KafkaError._TIMED_OUT and not self._away and time.monotonic() < give_up:
                    continue
            break
        self._consumer.assign([TopicPartition(self._topic, 0, first)])
        if self._end is not None and first >= self._end:
            self._reached()
            self._read_to_end()

    def _read_to_end(self) -> None:
        self._loaded = True
        self._settled.set()

    def _reached(self) -> None:
        self._lost_since = None
        self._ask_at = time.monotonic() + CONTACT_S

    def _lost(self) -> None:
        if self._lost_since is None:
            self._lost_since = time.monotonic()
        self._ask_at = time.monotonic() + RETRY_S
        self._settled.set()

    def _denied(self) -> None:
        """Who may not read the topic does not know what stands in it: that is as bad as if it were away."""
        self._lost()
        self._tell(
            "refused",
            "the Kafka broker does not let this user read %s: what stands there is not known. Give it the right to "
            "(deploy/kafka/acls.py)",
            self._topic,
        )

    def _on_error(self, error: Any) -> None:
        """librdkafka's news of the connection; called from within `poll`."""
        from confluent_kafka import KafkaError

        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self._away = True
            self._lost()
        elif is_refusal(error):
            self._lost()
            self._tell("refused", "the Kafka broker refuses the reader of %s: %s", self._topic, error.str())


def read_once(
    config: Mapping[str, Any],
    topic: str,
    registry: Callable[[], Registry],
    timeout_s: float,
    signers: Signers | None = None,
) -> Follower:
    """A follower that has read the topic to its end and is closed; where the broker does not answer in time it is not
    `loaded`. Arguments as `Follower` has them."""
    follower = Follower(config, topic, registry, signers=signers)
    follower.start()
    try:
        follower.wait_loaded(timeout_s)
    finally:
        follower.close()
    return follower
