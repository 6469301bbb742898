"""README.md and the page of all claims: everything is there, and follows from the results alone."""

from __future__ import annotations

import re
from dataclasses import replace

from fourfold.reproduce.claim import Claim, Measured, Table, higher
from fourfold.reproduce.page import claims_page, readme
from fourfold.reproduce.record import Result
from fourfold.reproduce.trained import Trained

ARM = Trained("resnet20", "resnet-cifar")
CLAIM = Claim(
    name="made-claim",
    paper="Nobody",
    section="4.2, Table 6",
    statement="A <is> worse | than B.",
    figures=Table(("net", "error %"), (("A", 8.75), ("B", 7.51))),
    arms={"A": ARM, "B": ARM},
    contrasts=(higher("val_error", "A", "B"),),
    notes=("images are made",),
)


def result_of(a: list[float], b: list[float], budget: str = "cpu") -> Result:
    def many(values: list[float]) -> tuple[Measured, ...]:
        curve = ((10.0, 80.0), (20.0, 60.0))
        return tuple(Measured({"val_error": value}, {"training": curve, "validation": curve}) for value in values)

    recipe = {"deviations": ["batches of 64 images, not 128", "5 mini-batches"]}
    narrow = {"trained": "resnet20", "options": {"width": 0.25}, "recipe": recipe}
    other = {"asked": [{"trained": "resnet20", "options": {}, "recipe": {"deviations": ["5 mini-batches"]}}]}
    seeds = tuple(range(len(a)))
    return Result(
        "made-claim", budget, seeds, {"A": narrow, "B": other}, {"A": many(a), "B": many(b)}, "7 images", {"cores": 2}, 61.0
    )


CONFIRMED, REFUTED = result_of([9.0, 9.5, 9.2], [7.0, 7.1, 7.3]), result_of([7.0, 7.1, 7.3], [9.0, 9.5, 9.2])


def test_a_readme_has_the_papers_table_beside_ours_and_the_verdict() -> None:
    text = readme(CLAIM, CONFIRMED)
    assert text.startswith("# made-claim: confirmed\n")
    assert "> A <is> worse | than B.\n>\n> Nobody, 4.2, Table 6" in text
    assert "| A | 8.75 |\n| B | 7.51 |" in text
    assert "| A | 9.23 ± 0.25 |\n| B | 7.13 ± 0.15 |" in text
    assert "| validation error of A less that of B | above 0.00 points | +2.10 points |" in text
    assert "7 images; 3 seeds; 61 s of measuring; cores 2." in text
    assert "fourfold reproduce made-claim --budget cpu --data CIFAR-10" in text
    assert readme(CLAIM, REFUTED).startswith("# made-claim: contradicted\n")


def test_departures_are_named_once_with_their_arms() -> None:
    text = readme(CLAIM, CONFIRMED)
    section = text[text.index("## Not as in the paper") :]
    lines = [line for line in section.splitlines() if line.startswith("- ")]
    assert lines == [
        "- images are made",
        "- batches of 64 images, not 128 (A)",
        "- 5 mini-batches (all)",
        "- resnet20 is 0.25 times as wide (A)",
    ]


def test_a_bar_in_a_cell_does_not_end_it() -> None:
    barred = replace(CLAIM, figures=Table(("a|b",), (("c|d",),)))
    assert "| a\\|b |\n| --- |\n| c\\|d |" in readme(barred, CONFIRMED)


def test_the_page_has_every_claim_its_status_and_loads_nothing() -> None:
    other = replace(CLAIM, name="other-claim")
    distant = replace(CLAIM, name="distant-claim", least="paper")
    page = claims_page([CLAIM, other, distant], {"made-claim": CONFIRMED})
    assert "<title>3 claims of the papers, re-run</title>" in page
    assert "1 confirmed, 1 not run yet, 1 needs ImageNet." in page
    assert page.count("A &lt;is&gt; worse | than B.") == 6
    for name, status in (("made-claim", "confirmed"), ("other-claim", "not run yet"), ("distant-claim", "needs ImageNet")):
        assert f'<a href="#{name}">' in page
        assert f'<h2 id="{name}">{name}: {status}</h2>' in page
    assert page.count("data:image/png;base64,") == 1
    assert "9.23 ± 0.25" in page
    assert not re.search(r'(src|href)="(?!#|data:)', page)


def test_the_verdicts_of_the_page_change_with_the_results() -> None:
    assert "made-claim: contradicted</h2>" in claims_page([CLAIM], {"made-claim": REFUTED})
    assert "made-claim: not shown at this scale</h2>" in claims_page([CLAIM], {"made-claim": result_of([9.0], [7.0])})
