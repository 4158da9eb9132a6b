"""The local stack's parts serve their metrics where its endpoints and its status say."""

from __future__ import annotations

import urllib.request
from collections.abc import Callable

import pytest

from runwatch import endpoints

from .conftest import Pipeline

pytestmark = pytest.mark.stack


def read(place: str) -> str:
    try:
        with urllib.request.urlopen(place, timeout=5) as answer:
            return str(answer.read().decode())
    except OSError:
        return ""


def test_each_part_serves_its_metrics_where_it_is_told(pipeline: Pipeline, until: Callable[..., None]) -> None:
    found = endpoints.read(pipeline.home)
    places = {name.removeprefix("metrics-"): place for name, place in found.items() if name.startswith("metrics-")}
    assert {"processors", "sink", "console"} == set(places)
    for part, place in places.items():
        assert place.startswith("http://127.0.0.1:")
        until(lambda part=part, place=place: f'runwatch_build_info{{part="{part}"' in read(place), place)
    services = pipeline.services()
    assert [places[part] for part in ("processors", "sink")] == [
        services[part]["endpoint"] for part in ("processors", "sink")
    ]
    until(lambda: "runwatch_lag_messages{" in read(places["processors"]), "the worker tells its lag")
    until(lambda: "runwatch_lag_messages{" in read(places["sink"]), "the sink tells its lag")
