"""`mesh doctor`: is everything well, and if not, what to do."""

from __future__ import annotations

import typer
from rich.table import Table

from cli.checks import OK, PROBLEM, WARNING, Finding, examine
from cli.show import console, say, state
from settings import current

app = typer.Typer(add_completion=False)


@app.command()
def doctor() -> None:
    """Check servers, schema, workers, beat, queues, keys and settings. Exit code 1 when something is a problem."""
    settings = current()
    with console.status("Looking …"):
        findings = list(examine(settings))
    console.print(_table(findings))
    problems = sum(finding.state == PROBLEM for finding in findings)
    warnings = sum(finding.state == WARNING for finding in findings)
    say("\nAll is well." if not problems + warnings else f"\n{_count(problems, PROBLEM)}, {_count(warnings, WARNING)}.")
    raise typer.Exit(1 if problems else 0)


def _table(findings: list[Finding]) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        what = finding.found if finding.state == OK or not finding.mend else f"{finding.found}: {finding.mend}"
        table.add_row(state(finding.state), finding.subject, what)
    return table


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
