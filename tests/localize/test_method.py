"""A method says what was changed about it, and lengths that cannot be are refused."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from fourfold.localize.method import Method
from fourfold.train.schedule import Progress, Steps

METHOD = Method("made", True, "all", 256, False, 100, Steps(0.1, (0.5,)), 8, 0.9, 5e-4)


def test_another_length_stretches_the_schedule_and_is_said() -> None:
    found = METHOD.with_steps(40, 4)
    assert (found.steps, found.batch_size) == (40, 4)
    assert [found.rate(Progress(step, found.steps)) for step in (19, 20)] == pytest.approx([0.1, 0.01])
    assert found.deviations == (
        "batches of 4 images, not 8",
        "40 mini-batches, not 100; the schedule is stretched to that",
    )
    assert METHOD.with_steps(100).deviations == ()


def test_another_rate_is_said() -> None:
    found = METHOD.at_rate(0.02)
    assert found.rate(Progress(60, 100)) == pytest.approx(0.002)
    assert found.deviations == ("a learning rate of 0.02",)
    for rate in (0, -1, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="is not a learning rate"):
            METHOD.at_rate(rate)


@pytest.mark.parametrize(("field", "value"), [("steps", 0), ("batch_size", 0), ("scale", 223)])
def test_what_cannot_be_is_refused(field: str, value: int) -> None:
    with pytest.raises(ValueError, match="give"):
        replace(METHOD, **{field: value})


def test_the_description_is_json_and_names_all_fields() -> None:
    text = json.loads(json.dumps(METHOD.description()))
    assert text["per_class"] is True
    assert text["is_cut"] is False
    assert text["rate"].startswith("Steps(")
