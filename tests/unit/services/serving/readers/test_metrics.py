"""Readers' figures in Prometheus' text format."""

from __future__ import annotations

from dataclasses import fields

from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from mplus_ray.actors.messages import ReaderStats
from mplus_ray.pipeline.reports.metrics import exposition
from mplus_ray.services.serving.readers.metrics import ReaderMetrics


def stats(base: int) -> ReaderStats:
    """Every field with a number of its own."""
    return ReaderStats(*(base + n for n in range(len(fields(ReaderStats)))))


def test_every_figure_of_every_reader_is_there() -> None:
    readers = {"b": stats(100), "a": stats(200)}
    registry = CollectorRegistry()
    registry.register(ReaderMetrics(lambda: readers))
    found: dict[str, dict[str, float]] = {}
    for family in text_string_to_metric_families(exposition(registry)):
        for sample in family.samples:
            found.setdefault(sample.labels.get("reader", ""), {})[sample.name] = sample.value
    assert found.pop("") == {"mplus_readers": 2}
    assert found.keys() == {"a", "b"}
    for reader, values in found.items():
        expected = [getattr(readers[reader], field.name) for field in fields(ReaderStats)]
        assert sorted(values.values()) == sorted(expected)
    assert found["a"]["mplus_reader_asked_total"] == readers["a"].asked
    assert found["a"]["mplus_reader_device_budget_bytes"] == readers["a"].device_bytes
