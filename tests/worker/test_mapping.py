"""What a mapping makes of the event that happened and of those that it came of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from model import Event
from worker.mapping import MappingError, Source, fill, paths

FIRST, MIDDLE, LAST = (UUID(int=number) for number in (1, 2, 3))
AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
REPORT = Event(FIRST, "acme", "report.generated", {"title": "March", "metrics": {"clicks": 7, "none": None}}, AT)
REQUEST = Event(MIDDLE, "acme", "agent.run_requested", {"title": "asked"}, AT, FIRST, FIRST)
RUN = Event(
    LAST, "acme", "agent.run_completed", {"text": "Sales rose.", "tags": ["a", {"b": True}], "n": 2}, AT, MIDDLE, FIRST
)


def filled(mapping: Mapping[str, Any], ancestors: Sequence[Event] = (REQUEST, REPORT)) -> dict[str, Any]:
    return fill(mapping, Source(RUN, lambda: ancestors))


@pytest.mark.parametrize(
    ("template", "made"),
    [
        ("{{text}}", "Sales rose."),
        ("{{ text }}", "Sales rose."),
        ("{{n}}", 2),
        ("{{tags}}", ["a", {"b": True}]),
        ("{{tags.0}}", "a"),
        ("{{tags.1.b}}", True),
        ("{{report.generated:title}}", "March"),
        ("{{report.generated:metrics.clicks}}", 7),
        ("{{report.generated:metrics.none}}", None),
        ("{{agent.run_completed:text}}", "Sales rose."),
        ("{{$event.id}}", str(LAST)),
        ("{{$event.type}}", "agent.run_completed"),
        ("{{$event.tenant_id}}", "acme"),
        ("{{$event.occurred_at}}", "2026-03-01T12:00:00+00:00"),
        ("{{$trace_id}}", str(FIRST)),
        ("{{report.generated:$event.id}}", str(FIRST)),
        ("plain", "plain"),
        ("{ text }", "{ text }"),
        ("{{report.generated:title}}: {{text}} ({{n}})", "March: Sales rose. (2)"),
        ("tags {{tags}}", 'tags ["a", {"b": true}]'),
        ("none{{gone?}}", "none"),
        (["{{n}}", "{{gone?}}", 5], [2, 5]),
        ({"deep": ["{{text}}"], "gone": "{{gone?}}"}, {"deep": ["Sales rose."]}),
        (True, True),
        (None, None),
    ],
)
def test_a_template_becomes(template: Any, made: Any) -> None:
    assert filled({"x": template}) == {"x": made}


def test_what_may_be_absent_is_left_out() -> None:
    assert filled({"a": "{{gone?}}", "b": "{{campaign.created:name?}}", "c": "{{tags.9?}}", "d": 1}) == {"d": 1}


def test_the_nearest_event_of_a_type_is_meant() -> None:
    older = Event(FIRST, "acme", "report.generated", {"title": "old"}, AT)
    assert filled({"x": "{{report.generated:title}}"}, (REQUEST, REPORT, older)) == {"x": "March"}


def test_ancestors_are_only_looked_up_when_they_are_asked_for() -> None:
    def never() -> Sequence[Event]:
        raise AssertionError("nobody asked")

    assert fill({"x": "{{text}}", "y": "{{$trace_id}}"}, Source(RUN, never)) == {"x": "Sales rose.", "y": str(FIRST)}


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{{gone}}", "{{gone}} is not in the data of agent.run_completed"),
        ("{{text.deeper}}", "is not in the data"),
        ("{{tags.2}}", "is not in the data"),
        ("{{tags.first}}", "is not in the data"),
        ("{{campaign.created:name}}", "names an event that agent.run_completed did not come of"),
        ("a {{gone}} b", "{{gone}} is not in the data"),
        ("{{}}", "is not a placeholder"),
        ("{{a b}}", "is not a placeholder"),
        ("{{$event.data}}", "is not a placeholder"),
        ("{{a..b}}", "is not a placeholder"),
    ],
)
def test_what_cannot_be_filled_in_is_said(template: str, said: str) -> None:
    with pytest.raises(MappingError) as failed:
        filled({"x": template})
    assert said in str(failed.value)


def test_every_placeholder_of_a_mapping_is_found() -> None:
    found = list(paths({"a": "{{x}} and {{report.generated:y.z?}}", "b": [{"c": "{{$trace_id}}"}], "d": 3}))
    assert [(path.event_type, path.keys, path.optional) for path in found] == [
        (None, ("x",), False),
        ("report.generated", ("y", "z"), True),
        (None, ("$trace_id",), False),
    ]
