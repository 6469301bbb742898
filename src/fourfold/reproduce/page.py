"""A claim's README.md, and all claims as one HTML page or a table in Markdown; all follow from the results alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from fourfold.evaluate.parts import (
    Head,
    drawn,
    figure_html,
    framed,
    plural,
    shown,
    table_html,
    words_head,
)
from fourfold.evaluate.parts import Table as HtmlTable
from fourfold.reproduce.claim import Claim, Table
from fourfold.reproduce.effort import BUDGETS, SMOKE
from fourfold.reproduce.figures import picture
from fourfold.reproduce.record import Result
from fourfold.reproduce.verdict import judge, status
from fourfold.reproduce.words import FOUND_HEADS, cells, figures_in_short, found_row, ours

RULE = """A number is taken from the arms of each seed; its mean has a 95 % interval by Student's t. Confirmed: the interval
lies wholly inside of what the claim says. Contradicted: wholly outside. A claim is confirmed where all of its numbers are,
and contradicted where one of them is; all else is not shown at this scale. Counts are exact. Nothing that follows from made
images (smoke) or from a single seed says anything."""


def readme(claim: Claim, result: Result) -> str:
    """One page in Markdown: the claim, the paper's table beside ours, the findings and the verdict, and how it was done."""
    judgement = judge(claim, result)
    parts = [
        f"# {claim.name}: {judgement.verdict}",
        f"> {claim.statement}\n>\n> {claim.paper}, {claim.section}",
        "![What was measured](plot.png)",
        "## The paper's figures",
        _markdown(claim.figures),
        "## Ours",
        f"Budget {result.budget}: {BUDGETS[result.budget]}.\n{_how(result)}",
        _markdown(ours(claim, result)),
        "## The verdict",
        _markdown(Table(FOUND_HEADS, tuple(found_row(finding) for finding in judgement.findings))),
        " ".join(RULE.split()),
        *_departures(claim, result),
        f"Run again: `fourfold reproduce {claim.name} --budget {result.budget}{_data(claim, result)}`",
    ]
    return "\n\n".join(parts) + "\n"


def claims_markdown(claims: Sequence[Claim], results: Mapping[str, Result]) -> str:
    """All claims as a table in Markdown."""
    rows = tuple(
        (f"`{claim.name}`", f"{claim.paper} {claim.section}", claim.statement, status(claim, results.get(claim.name)))
        for claim in claims
    )
    return _markdown(Table(("claim", "paper", "statement", "here"), rows)) + "\n"


def claims_page(claims: Sequence[Claim], results: Mapping[str, Result]) -> str:
    """All claims as one HTML page that loads nothing: a table, and a section for each with its figures and its plot."""
    counts = Counter(status(claim, results.get(claim.name)) for claim in claims)
    title = f"{len(claims)} claims of the papers, re-run"
    told = ", ".join(f"{count} {verdict}" for verdict, count in counts.most_common())
    parts = [
        f"<h1>{title}</h1>",
        f"<p>{shown(told)}.</p>",
        f"<p>{shown(' '.join(RULE.split()))}</p>",
        _overview(claims, results),
    ]
    parts += [_section(claim, results.get(claim.name)) for claim in claims]
    return framed(title, parts)


def _overview(claims: Sequence[Claim], results: Mapping[str, Result]) -> str:
    heads = ("claim", "paper", "statement", "the paper's figures", "status", "budget")
    rows = tuple(
        (
            f'<a href="#{claim.name}">{shown(claim.name)}</a>',
            shown(f"{claim.paper} {claim.section}"),
            shown(claim.statement),
            shown(figures_in_short(claim)),
            f"<strong>{shown(status(claim, results.get(claim.name)))}</strong>",
            shown(results[claim.name].budget) if claim.name in results else "",
        )
        for claim in claims
    )
    return table_html(HtmlTable("All claims", tuple(words_head(head) for head in heads), rows))


def _section(claim: Claim, result: Result | None) -> str:
    parts = [
        f'<h2 id="{claim.name}">{shown(claim.name)}: {shown(status(claim, result))}</h2>',
        f"<p>{shown(claim.statement)} <small>{shown(claim.paper)}, {shown(claim.section)}</small></p>",
        _html(claim.figures, "The paper's figures"),
    ]
    if result is None:
        return "\n".join([*parts, f"<p>Run it: <code>fourfold reproduce {claim.name}</code></p>"])
    judgement = judge(claim, result)
    image = drawn(lambda path: picture(claim, result, path))
    rows = tuple(found_row(finding) for finding in judgement.findings)
    notes = "".join(f"<li>{shown(note)}</li>" for note in claim.notes)
    parts += [
        _html(ours(claim, result), f"Ours, budget {result.budget}"),
        _html(Table(FOUND_HEADS, rows), "Findings"),
        figure_html(image, "png", f"What was measured for {claim.name}; the tables hold the numbers", kind="sheet"),
        f"<p><small>{shown(_how(result))}</small></p>",
        f"<ul>{notes}</ul>" if notes else "",
    ]
    return "\n".join(part for part in parts if part)


def _html(table: Table, caption: str) -> str:
    heads = (words_head(table.columns[0]), *(Head(column) for column in table.columns[1:]))
    rows = tuple(tuple(map(shown, cells(row))) for row in table.rows)
    return table_html(HtmlTable(caption, heads, rows, is_sortable=False))


def _markdown(table: Table) -> str:
    lines = [list(table.columns), ["---"] * len(table.columns), *(cells(row) for row in table.rows)]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def _how(result: Result) -> str:
    count = len(result.seeds)
    versions = ", ".join(f"{name} {value}" for name, value in result.machine.items())
    return f"{result.data}; {count} {plural(count, 'seed')}; {result.seconds:,.0f} s of measuring; {versions}."


def _departures(claim: Claim, result: Result) -> list[str]:
    """How the experiment departs from the paper's: its notes, and what networks and recipes changed, in which arms."""
    changed: dict[str, list[str]] = {}
    for arm, record in result.arms.items():
        for line in dict.fromkeys(_changes(record)):
            changed.setdefault(line, []).append(arm)
    told = [*claim.notes, *(f"{line} ({_among(arms, result)})" for line, arms in changed.items())]
    return ["## Not as in the paper", "\n".join(f"- {line}" for line in told)] if told else []


def _changes(record: object) -> Iterator[str]:
    """Of all trainings that an arm's record tells of."""
    if isinstance(record, list):
        for each in record:
            yield from _changes(each)
    if isinstance(record, dict):
        recipe, options = record.get("recipe"), record.get("options")
        if isinstance(recipe, dict):
            yield from recipe.get("deviations", [])
        if isinstance(options, dict) and "width" in options:
            yield f"{record.get('trained', record.get('timed'))} is {options['width']:g} times as wide"
        for each in record.values():
            yield from _changes(each)


def _among(arms: Sequence[str], result: Result) -> str:
    return "all" if len(arms) == len(result.arms) else ", ".join(arms)


def _data(claim: Claim, result: Result) -> str:
    return " --data CIFAR-10" if claim.needs_images and result.budget != SMOKE else ""
