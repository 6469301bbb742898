"""The papers' claims as JSON records and terminal tables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fourfold.report import Record, plain_table
from fourfold.reproduce.launches import PROCESSES, RATE, Launch
from fourfold.reproduce.verdict import Finding, Judgement, judge
from fourfold.reproduce.words import FOUND_HEADS, figures_in_short, found_row
from fourfold.verbs_reproduce import ClaimStatus, Reproduced

if TYPE_CHECKING:
    from rich.table import Table


MOST = 40  # letters of the paper's figures in a terminal; the page and --json have all of them


def claims_record(found: Sequence[ClaimStatus]) -> list[Record]:
    """What `reproduce --json` prints of all claims."""
    return [_claim_record(each) for each in found]


def claims_table(found: Sequence[ClaimStatus]) -> Table:
    """A row for each claim."""
    counts = {each.status: sum(other.status == each.status for other in found) for each in found}
    caption = f"{len(found)} claims: {', '.join(f'{count} {status}' for status, count in counts.items())}"
    table = plain_table("claim", "status", "paper", "statement", "the paper's figures", caption=caption)
    for each in found:
        claim = each.claim
        where = f"{claim.paper} {claim.section}"
        table.add_row(claim.name, each.status, where, claim.statement, _cut(figures_in_short(claim)))
    for column in (*table.columns[:3], table.columns[4]):  # the statement alone gives way to a narrow terminal
        column.min_width = max(len(str(cell)) for cell in column.cells)
    return table


def reproduced_record(done: Reproduced) -> Record:
    """What `reproduce CLAIM --json` prints."""
    return {
        "claim": done.claim.name,
        "budget": done.result.budget,
        "seeds": list(done.result.seeds),
        **_judgement_record(done.judgement),
        "folder": str(done.folder),
    }


def reproduced_table(done: Reproduced) -> Table:
    """A row for each number that the claim is about."""
    count = len(done.result.seeds)
    told = f"{done.claim.name}: {done.judgement.verdict}; {done.result.data}, {count} seed{'' if count == 1 else 's'}"
    table = plain_table(*FOUND_HEADS, caption=told)
    for finding in done.judgement.findings:
        table.add_row(*found_row(finding))
    return table


def launches_record(plan: Sequence[Launch]) -> list[Record]:
    """What `reproduce CLAIM --budget paper --json` prints."""
    return [
        {"arm": each.arm, "seed": each.seed, "flops": each.flops, "hours": round(each.hours, 1), "command": each.command}
        for each in plan
    ]


def launches_lines(plan: Sequence[Launch]) -> list[str]:
    """The commands, with their hours as comments, and the sum."""
    lines = [f"{each.command}  # {each.arm}: about {_hours(each.hours)}" for each in plan]
    total, flops = sum(each.hours for each in plan), sum(each.flops for each in plan)
    speed = f"{PROCESSES} GPUs that reach {RATE / 1e12:.0f} TFLOP/s each"
    return [*lines, f"# in all {flops:.1e} floating point operations, about {_hours(total)} on {speed}"]


def _cut(text: str) -> str:
    return text if len(text) <= MOST else f"{text[: MOST - 1]}…"


def _hours(hours: float) -> str:
    return f"{hours:,.0f} h" if hours >= 2 else f"{60 * hours:,.0f} min"


def _claim_record(each: ClaimStatus) -> Record:
    claim = each.claim
    judged = {} if each.result is None else _judgement_record(judge(claim, each.result))
    return {
        "claim": claim.name,
        "paper": claim.paper,
        "section": claim.section,
        "statement": claim.statement,
        "figures": {"columns": list(claim.figures.columns), "rows": [list(row) for row in claim.figures.rows]},
        **judged,
        "status": each.status,
        "budget": None if each.result is None else each.result.budget,
        "least_budget": claim.least,
    }


def _judgement_record(judgement: Judgement) -> Record:
    return {"verdict": judgement.verdict, "findings": [_finding_record(finding) for finding in judgement.findings]}


def _finding_record(finding: Finding) -> Record:
    contrast = finding.contrast
    return {
        "number": contrast.words,
        "low": contrast.low if math.isfinite(contrast.low) else None,
        "high": contrast.high if math.isfinite(contrast.high) else None,
        "by_seed": list(finding.numbers),
        "mean": finding.mean,
        "interval": None if finding.interval is None else list(finding.interval),
        "effect": finding.effect,
        "verdict": finding.verdict,
    }
