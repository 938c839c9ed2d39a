"""Readers' figures for Prometheus, asked for at each scrape. No label names a tenant."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from mplus_ray.actors.messages import ReaderStats

_GAUGES = {
    "running": ("mplus_reader_running", "Questions whose answers are being decoded."),
    "queued": ("mplus_reader_queued", "Questions that wait for their memory or for a slot."),
    "slots": ("mplus_reader_slots", "Answers that may be decoded at a time."),
    "opening": ("mplus_reader_opening", "Memories being opened or brought up to date."),
    "views": ("mplus_reader_views", "Memories prepared on the device."),
    "memories": ("mplus_reader_memories", "Memories open on the host."),
    "device_used": ("mplus_reader_device_used_bytes", "Of memories on the device."),
    "device_bytes": ("mplus_reader_device_budget_bytes", "That these may take."),
    "host_used": ("mplus_reader_host_used_bytes", "Of memories on the host."),
    "host_bytes": ("mplus_reader_host_budget_bytes", "That these may take."),
}
_COUNTERS = {
    "asked": ("mplus_reader_asked", "Questions taken."),
    "answered": ("mplus_reader_answered", "Questions answered."),
    "failed": ("mplus_reader_failed", "Questions answered with an error."),
    "cancelled": ("mplus_reader_cancelled", "Questions given up by who asked."),
    "prompt_tokens": ("mplus_reader_prompt_tokens", "Tokens of prompts read."),
    "tokens": ("mplus_reader_tokens", "Tokens decoded."),
    "evictions": ("mplus_reader_evictions", "Memories let go of for want of room."),
    "device_hits": ("mplus_reader_device_hits", "Questions whose memory was prepared."),
    "host_hits": ("mplus_reader_host_hits", "Questions whose memory was open."),
    "misses": ("mplus_reader_misses", "Questions whose memory had to be opened."),
}


class ReaderMetrics(Collector):
    """What every reader does and holds, each sample with its `reader`.

    Args:
        read: the readers' figures at this moment, by their ids.
    """

    def __init__(self, read: Callable[[], Mapping[str, ReaderStats]]) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        readers = sorted(self._read().items())
        yield GaugeMetricFamily("mplus_readers", "Readers that answer.", value=len(readers))
        for field, (name, help_text) in _GAUGES.items():
            gauge = GaugeMetricFamily(name, help_text, labels=["reader"])
            for reader, stats in readers:
                gauge.add_metric([reader], getattr(stats, field))
            yield gauge
        for field, (name, help_text) in _COUNTERS.items():
            counter = CounterMetricFamily(name, help_text, labels=["reader"])
            for reader, stats in readers:
                counter.add_metric([reader], getattr(stats, field))
            yield counter
