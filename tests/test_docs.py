"""The documents tell the truth: code runs, commands and options exist, files are listed, recorded numbers are quoted."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from fourfold import catalog, cli
from fourfold.networks import ALIASES, NETWORKS
from fourfold.reproduce.effort import SMOKE
from fourfold.reproduce.launches import launches
from fourfold.reproduce.run import measure_claim, scene_for
from fourfold.reproduce.verdict import CONFIRMED, judge
from fourfold.verbs_reproduce import write_claims_page

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BUNDLED_RUN = ROOT / "experiments" / "resnet-bundled"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def commands() -> list[list[str]]:
    """Every `fourfold ...` of the readme's shell blocks, as words, without comments."""
    text = "\n".join(blocks("sh")).replace("&& ", "\n")
    lines = [line.partition("#")[0].split() for line in text.splitlines()]
    return [words for words in lines if words and words[0] == "fourfold"]


def test_the_readme_has_the_blocks_that_are_tested() -> None:
    assert len(blocks("python")) == 1
    assert len(commands()) >= 8


def test_the_python_code_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(blocks("python")[0], names)
    assert (tmp_path / "answer.jpg").stat().st_size > 5000
    assert len(names["answers"]) == 9  # type: ignore[arg-type]


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_a_command_of_the_readme_and_its_options_exist(words: list[str], monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    subcommand = [word for word in words[2:3] if words[1] == "data"]
    monkeypatch.setattr("sys.argv", ["fourfold", words[1], *subcommand, "--help"])
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert left.value.code == 0
    shown = capsys.readouterr().out
    for option in (word for word in words if word.startswith("--")):
        assert option in shown


def test_the_readme_names_every_network() -> None:
    table = README[README.index("| | networks |") :].split("\n\n")[0]
    row = re.sub(r"[`(),]", " ", table).split()
    for name in [*NETWORKS, *ALIASES]:
        family = name.removesuffix("-spp")
        digits = re.sub(r"^(resnet|plain)", "", family)
        assert family in row or digits in row, name


def test_every_example_is_listed_with_its_source() -> None:
    listed = (ROOT / "examples" / "README.md").read_text(encoding="utf-8")
    photos = sorted((ROOT / "examples").glob("*.jpg"))
    assert len(photos) == 8
    assert all(f"| {photo.name} |" in listed for photo in photos)


def test_the_bundled_weights_are_as_good_as_their_record_and_the_record_is_quoted() -> None:
    result = json.loads((BUNDLED_RUN / "result.json").read_text(encoding="utf-8"))
    entry = next(entry for entry in catalog.entries() if entry.name == catalog.DEFAULT)
    assert entry.accuracy["top1"] == result["top1"]
    assert entry.accuracy["images"] == result["images"] == 10_000
    assert result["top1"] >= 91.0
    for document in (README, (BUNDLED_RUN / "README.md").read_text(encoding="utf-8")):
        assert f"{result['top1']:.2f} %" in document


def test_the_figures_of_training_are_those_that_were_measured() -> None:
    train = json.loads((ROOT / "bench" / "train.json").read_text(encoding="utf-8"))
    pipeline = json.loads((ROOT / "bench" / "pipeline.json").read_text(encoding="utf-8"))
    modern = json.loads((ROOT / "experiments" / "resnet20-modern" / "result.json").read_text(encoding="utf-8"))
    kill = json.loads((ROOT / "experiments" / "kill" / "result.json").read_text(encoding="utf-8"))
    told = README[README.index("## Measured") :]

    assert f"ResNet-20 on CIFAR-10 {train['resnet20']['times_faster']['plain loop']['median']:.2f} times as fast" in told
    assert (
        f"GoogLeNet on photos {train['googlenet']['times_faster']['plain loop, same network']['median']:.2f} times" in told
    )
    for name in ("500x375", "4000x3000 mosaic", "4000x3000 enlarged"):
        assert f"{pipeline[name]['uint8']['ratio']:.2f}" in told
    assert f"{modern['top1']:.2f} %" in told
    assert modern["images"] == 10_000
    assert sorted((run["processes"], run["kills"]) for run in kill["runs"]) == [(1, 20), (2, 20)]
    assert all(all(run["same"].values()) for run in kill["runs"])


def test_the_readmes_table_of_claims_is_what_follows_from_the_results(tmp_path: Path) -> None:
    write_claims_page(tmp_path / "claims.md")
    assert (tmp_path / "claims.md").read_text(encoding="utf-8") in README


def test_the_claim_of_contributing_is_short_and_runs(tmp_path: Path) -> None:
    code = re.findall(r"```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.DOTALL)[-1]
    names: dict[str, Any] = {}
    exec(code, names)
    claim = names["CLAIM"]
    result = measure_claim(claim, scene_for(claim, SMOKE, None, tmp_path))
    assert len(code.splitlines()) <= 40
    assert judge(claim, result).findings[1].verdict == CONFIRMED
    assert launches(claim, "IMAGENET", tmp_path)
