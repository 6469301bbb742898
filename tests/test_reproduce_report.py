"""Claims and results as records and tables."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

import fourfold
from fourfold import reproduce_report
from fourfold.reproduce_report import (
    claims_record,
    claims_table,
    launches_lines,
    launches_record,
    reproduced_record,
    reproduced_table,
)


def text_of(table, width: int = 200) -> str:
    console = Console(width=width, file=io.StringIO())
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_records_of_all_claims_are_json_and_whole() -> None:
    records = json.loads(json.dumps(claims_record(fourfold.claims()), allow_nan=False))
    by_name = {record["claim"]: record for record in records}
    lrn, cost = by_name["vgg-lrn"], by_name["resnet-bottleneck"]
    assert (lrn["paper"], lrn["section"]) == ("VGG", "2.1, 4.1, Table 3")
    assert lrn["figures"]["columns"] == ["net", "top-1 error %", "top-5 error %"]
    assert lrn["figures"]["rows"] == [["A", 29.6, 10.4], ["A-LRN", 29.7, 10.5]]
    assert cost["status"] == cost["verdict"] == "confirmed"
    assert cost["budget"] == "cpu"
    (finding,) = cost["findings"]
    assert finding["mean"] == pytest.approx(69_632 / 73_728)
    assert (finding["low"], finding["high"]) == (0.8, 1.25)
    assert by_name["resnet-1202"]["least_budget"] == "gpu"


@pytest.mark.parametrize("width", [100, 200])
def test_a_row_for_each_claim_with_its_name_and_status_whole(width: int) -> None:
    found = fourfold.claims()
    shown = text_of(claims_table(found), width)
    if width == 200:
        for each in found:
            assert f"\n{each.claim.name} " in shown
    assert f"{len(found)} claims: " in shown
    assert max(len(row) for row in _figures(claims_table(found))) == reproduce_report.MOST


def _figures(table) -> list[str]:
    return [str(cell) for cell in table.columns[4].cells]


def test_a_claim_that_was_run_has_a_row_for_each_number(tmp_path: Path) -> None:
    done = fourfold.reproduce("resnet-bottleneck", out=tmp_path)
    record = json.loads(json.dumps(reproduced_record(done)))
    assert record["claim"] == "resnet-bottleneck"
    assert record["seeds"] == [0]
    assert record["verdict"] == "confirmed"
    assert record["folder"] == str(tmp_path / "resnet-bottleneck")
    shown = text_of(reproduced_table(done))
    assert "multiply-adds of bottleneck over that of 3x3 twice" in shown
    assert "0.944 times" in shown
    assert reproduced_table(done).caption == "resnet-bottleneck: confirmed; no images, 1 seed"


def test_plans_are_commands_with_their_time_as_a_comment(tmp_path: Path) -> None:
    plan = fourfold.plan_on_imagenet("vgg-lrn", "D", out=tmp_path)
    lines = launches_lines(plan)
    assert [line.split("  # ")[0] for line in lines[:-1]] == [each.command for each in plan]
    assert lines[0].endswith("  # A: about 3 h")
    total = sum(each.flops for each in plan)
    assert lines[-1] == f"# in all {total:.1e} floating point operations, about 6 h on 8 GPUs that reach 50 TFLOP/s each"
    records = launches_record(plan)
    assert [record["command"] for record in records] == [each.command for each in plan]
    assert records[0]["hours"] == 3.0
