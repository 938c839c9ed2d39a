"""A Kafka topic: `kafka://broker:9092,other:9092/topic?group=NAME`."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from mplus_ray.model.errors import DocumentError, InvalidInputError, StorageError
from mplus_ray.pipeline.parsing.records.jsonl import too_long
from mplus_ray.pipeline.parsing.records.record import MAX_RECORD, Record, parse_json
from mplus_ray.pipeline.parsing.refusals import Refusal
from mplus_ray.pipeline.sources.source import Idle, Incoming, Item, Quiet, Until
from mplus_ray.pipeline.sources.stdin import incoming

if TYPE_CHECKING:
    from confluent_kafka import Consumer, Message, TopicPartition

SCHEME = "kafka"
_POLL_SECONDS = 0.5
_FIRST_ANSWER_SECONDS = 10.0
_COMMIT_EVERY = 256  # documents
# Between two polls what came is taken in, memorized, or waits for writers; that this process is
# alive its heartbeats say.
_SETTINGS = {"max.poll.interval.ms": 24 * 3600 * 1000}
_OURS = {
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "auto.offset.reset": "earliest",
    "queued.max.messages.kbytes": 16 * 1024,  # a slow ledger slows the topic, not the memory
}


class Topic:
    """The messages of a topic, as a member of a consumer group.

    A message is a JSON object as on standard input. The id of its document is the one in it, else
    the message's key, else its place in the topic. Offsets are committed only for what the ledger
    has, also when a partition goes to another member; a message that comes again is recognized.
    Options of the URL with a dot go to librdkafka (`security.protocol=SSL`).
    """

    endless = True

    def __init__(self, url: str, until: Until, clock: Callable[[], float] = time.monotonic) -> None:
        """
        Raises:
            InvalidInputError: the URL says no broker, topic or group.
        """
        parts = urlsplit(url)
        options = dict(parse_qsl(parts.query))
        group = options.pop("group", "")
        self._topic = parts.path.strip("/")
        if not (parts.netloc and self._topic and group):
            raise InvalidInputError(
                f"{url.partition('?')[0]} needs a broker, a topic and a consumer group; write "
                "kafka://broker:9092/topic?group=NAME"
            )
        if wrong := [name for name in options if "." not in name or name in _OURS]:
            raise InvalidInputError(f"a kafka URL takes no option {', '.join(wrong)}")
        self._shown = f"{SCHEME}://{parts.netloc}/{self._topic}"
        self._settings = {
            **_SETTINGS,
            **options,
            **_OURS,
            "bootstrap.servers": parts.netloc,
            "group.id": group,
        }
        self._until = until
        self._clock = clock
        self._safe: dict[int, int] = {}  # partition to the offset after the last safe message
        self._fresh = 0  # safe messages since the last commit
        self._joined = False
        self._turn = 0  # of partitions; what came in an earlier one may be another member's now

    def __iter__(self) -> Iterator[Item]:
        quiet = Quiet(self._until, self._clock)
        consumer = self._open()
        arrived: Incoming | None = None
        try:
            while not quiet.over:
                if not self._joined:
                    quiet.reset()  # joining a group takes seconds, and nothing can come before
                if self._fresh >= _COMMIT_EVERY:
                    self._commit(consumer)
                message = consumer.poll(0.0 if arrived else _POLL_SECONDS)
                if message is not None and message.error() is not None:
                    self._judge(message)
                    message = None
                if arrived is not None:
                    # What has come together becomes durable together.
                    yield replace(arrived, prompt=message is None)
                    quiet.reset()
                elif message is None:
                    self._commit(consumer)
                    with quiet.not_counting():
                        yield Idle()
                arrived = None if message is None else self._incoming(message)
            yield Idle()  # so that all that was handed on is in the ledger
            self._commit(consumer, last=True)
        finally:
            consumer.close()

    def _open(self) -> Consumer:
        kafka = _library()
        try:
            consumer = kafka.Consumer(self._settings, logger=logging.getLogger("kafka"))
        except (kafka.KafkaException, ValueError) as error:
            raise InvalidInputError(f"{self._shown}: {error}") from error
        try:
            topics = consumer.list_topics(self._topic, timeout=_FIRST_ANSWER_SECONDS).topics
            if problem := topics[self._topic].error:
                raise InvalidInputError(
                    f"{self._shown}: {problem}; make the topic, or name another"
                )
            consumer.subscribe(
                [self._topic],
                on_assign=self._join,
                on_revoke=self._give_up,
                on_lost=self._lose,
            )
        except kafka.KafkaException as error:
            consumer.close()
            raise StorageError(
                f"{self._shown} does not answer: {error}; check the brokers' address and that "
                "they run"
            ) from error
        except BaseException:
            consumer.close()
            raise
        return consumer

    def _judge(self, message: Message) -> None:
        """Brokers that are away for a while come back; what will not heal ends it."""
        error = message.error()
        assert error is not None, "it is judged because it has one"
        hopeless = {
            _library().KafkaError.UNKNOWN_TOPIC_OR_PART,
            _library().KafkaError.TOPIC_AUTHORIZATION_FAILED,
            _library().KafkaError.GROUP_AUTHORIZATION_FAILED,
            _library().KafkaError._AUTHENTICATION,
        }
        if error.fatal() or error.code() in hopeless:
            raise StorageError(
                f"{self._shown}: {error}; what was taken in is safe, and the same command goes on "
                "from there"
            )

    def _incoming(self, message: Message) -> Incoming:
        partition, offset = message.partition(), message.offset()
        assert partition is not None, "a message without an error has a place"
        assert offset is not None, "a message without an error has a place"
        place = f"{self._topic}/{partition}@{offset}"
        source = f"{SCHEME}:{place}"
        found = incoming(self._record(message, place), source, _key(message) or source)
        turn = self._turn

        def done() -> None:
            if turn == self._turn:
                self._safe[partition] = offset + 1
                self._fresh += 1

        return replace(found, done=done)

    def _record(self, message: Message, place: str) -> Record:
        value: Any = message.value()
        where = f"{self._shown}, message {place}"
        number = (message.offset() or 0) + 1
        if not value:
            return Record(number, DocumentError(f"{where} is empty", Refusal.EMPTY))
        if len(value) > MAX_RECORD:
            return Record(number, too_long(where))
        return parse_json(value, number, where, f"{self._topic} {number}", "kafka")

    def _commit(self, consumer: Consumer, last: bool = False) -> None:
        """Tell the group what is safe; if that fails, the next time, or another member repeats."""
        if not self._safe:
            return
        kafka = _library()
        places = [
            kafka.TopicPartition(self._topic, partition, offset)
            for partition, offset in self._safe.items()
        ]
        try:
            consumer.commit(offsets=places, asynchronous=False)
        except kafka.KafkaException as error:
            if last:
                raise StorageError(
                    f"{self._shown}: the offsets could not be committed ({error}); what was taken "
                    "in is safe, and is recognized when it comes again"
                ) from error
        else:
            self._safe.clear()
            self._fresh = 0

    def _join(self, consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        self._joined = True

    def _give_up(self, consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        """Partitions go to another member, which begins where this one says."""
        self._commit(consumer)
        self._lose(consumer, partitions)

    def _lose(self, consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        self._joined = False
        self._turn += 1
        for place in partitions:
            self._safe.pop(place.partition, None)


def _key(message: Message) -> str | None:
    key: Any = message.key()
    if not key:
        return None
    return key if isinstance(key, str) else key.decode("utf-8", "replace")


def _library() -> Any:
    try:
        import confluent_kafka
    except ModuleNotFoundError as error:
        raise InvalidInputError(
            f"the Kafka client is not installed ({error}); `pip install mplus-ray[kafka]` brings it"
        ) from error
    return confluent_kafka
