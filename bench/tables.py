"""Reports as one table, for a terminal or as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from bench.rounds import RECOVER_S, Report

HEADS = (
    "fault", "events", "sent again", "attempts", "requests", "duplicates (allowed)", "lost", "stuck", "unlogged",
    "recovered s", "settled s", "verdict",
)  # fmt: skip
NUMBERS = range(1, 11)  # the columns that are right-aligned
LEGEND = f"""\
events      published through three doors: half over Redis, a quarter by SQL publish_event, a quarter by accept()
sent again  events that a producer over Redis did not find accepted, and sent again (every time counts): only Redis had
            them when it was wiped, or a worker when it was killed
attempts    rows of integration_sync_logs
requests    what the receiver counted
duplicates  requests beyond a delivery's first; at most `allowed`, and each must be one of the deliveries that a killed
            worker had claimed and not settled when it died: the calls in the air. Nothing else may repeat a call
lost        acknowledged, then gone; accepted without a delivery; settled although the receiver never answered it
stuck       not settled, or with an attempt row still open, after the wait
unlogged    requests without an attempt row
recovered   seconds from the end of the fault (server back, process gone) until the receiver got the first call of a
            delivery that was first claimed after it; at most {RECOVER_S:g}
settled     seconds from the end of the fault until every event was settled, those published after it included
verdict     "kept", or every promise that was broken: beside the columns these are events never accepted, dead letters,
            second deliveries of one event, and processes that ended by themselves"""


def row(report: Report) -> list[str]:
    """A report's cells."""
    verdict = report.verdict
    if verdict is None:
        return [report.asked.name, *[""] * len(NUMBERS), _word(report)]
    found = verdict.violations
    recovered = "never" if report.recovered_s is None else f"{report.recovered_s:.2f}"
    return [
        report.asked.name,
        str(report.published),
        str(report.sent_again),
        str(verdict.attempts),
        str(verdict.requests),
        f"{verdict.repeats} ({verdict.allowed})",
        *(str(len(found[name])) for name in ("lost", "stuck", "unlogged")),
        recovered,
        f"{report.settled_s:.1f}",
        _word(report),
    ]


def _word(report: Report) -> str:
    return f"BROKEN: {', '.join(report.broken)}" if report.broken else "kept"


def total(reports: Sequence[Report]) -> list[str]:
    """The sums, and the longest times."""
    judged = [(report, report.verdict) for report in reports if report.verdict is not None]

    def summed(value: Callable[[Report], int]) -> str:
        return str(sum(value(report) for report, _ in judged))

    repeats, allowed = (sum(getattr(verdict, name) for _, verdict in judged) for name in ("repeats", "allowed"))
    broken = sum(bool(report.broken) for report in reports)
    return [
        f"all {len(reports)}",
        summed(lambda report: report.published),
        summed(lambda report: report.sent_again),
        str(sum(verdict.attempts for _, verdict in judged)),
        str(sum(verdict.requests for _, verdict in judged)),
        f"{repeats} ({allowed})",
        *(str(sum(len(verdict.violations[name]) for _, verdict in judged)) for name in ("lost", "stuck", "unlogged")),
        f"{max((report.recovered_s or 0.0 for report in reports), default=0.0):.2f}",
        f"{max((report.settled_s for report in reports), default=0.0):.1f}",
        f"{broken} BROKEN" if broken else "every promise was kept",
    ]


def table(reports: Sequence[Report], missing: Mapping[str, str], *, markdown: bool) -> str:
    """All rows, those of faults that could not run here, and the sums. `missing` says what each lacks."""
    absent = [[name, *[""] * len(NUMBERS), f"not run here: {why}"] for name, why in missing.items()]
    rows = [*(row(report) for report in reports), *absent, total(reports)]
    return _markdown(rows) if markdown else _plain(rows)


def _plain(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(cells[place]) for cells in (HEADS, *rows)) for place in range(len(HEADS))]
    return "\n".join("  ".join(_cell(cells, widths)).rstrip() for cells in (HEADS, *rows))


def _cell(cells: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [
        f"{cell:>{width}}" if place in NUMBERS else f"{cell:<{width}}"
        for place, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    ruler = ["---:" if place in NUMBERS else "---" for place in range(len(HEADS))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (HEADS, ruler, *rows))
