"""`fourfold train`: parse, call the verb, print."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fourfold.terminal import Json, Options, next_run, parse_options, progress, say, show_table, stopped

if TYPE_CHECKING:
    from fourfold.jobs import Arguments
    from fourfold.training import Watching


def train(
    data: Annotated[
        str | None, typer.Argument(help="Class folders, train/ and val/ with those, a CSV or JSONL list, shards.")
    ] = None,
    model: Annotated[str | None, typer.Option("--model", "-m", help="A network of `fourfold models`.")] = None,
    run: Annotated[Path | None, typer.Option(help="The folder to write; by default runs/NETWORK-NUMBER.")] = None,
    recipe: Annotated[str | None, typer.Option(help="A paper's, such as vgg or resnet-cifar, or modern.")] = None,
    start: Annotated[str | None, typer.Option("--from", help="Weights to begin with: a name, or a run folder.")] = None,
    epochs: Annotated[float | None, typer.Option(help="Passes over the images; stretches the recipe's schedule.")] = None,
    images: Annotated[int | None, typer.Option(help="Images to see in all; likewise.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Time to train for; likewise.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images in a mini-batch; by default the recipe's.")] = None,
    rate: Annotated[float | None, typer.Option(help="The highest learning rate; by default the recipe's.")] = None,
    at_once: Annotated[int | None, typer.Option(help="Images of it that go through the network together.")] = None,
    balance: Annotated[bool | None, typer.Option("--balance", help="Let rare classes count as much as others.")] = None,
    seed: Annotated[int | None, typer.Option(help="Decides weights, order and augmentation.")] = None,
    option: Options = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --run.")] = False,
    validate_every: Annotated[int | None, typer.Option(help="Epochs between validations.")] = None,
    patience: Annotated[int | None, typer.Option(help="Validations without a new best that end training.")] = None,
    track: Annotated[list[str] | None, typer.Option(help="wandb or mlflow, beside TensorBoard.")] = None,
    workers: Annotated[int, typer.Option(help="Threads that read photos.")] = 2,
    device: Annotated[str | None, typer.Option(help="cpu or cuda; by default the best that is there.")] = None,
    as_json: Json = False,
) -> int:
    """Train a network on your photos; Ctrl-C saves, --resume goes on. What you do not say is chosen from the data."""
    from fourfold.jobs import Arguments

    if resume and run is None:
        raise ValueError("--resume needs --run FOLDER, the run to go on with")
    arguments = Arguments(
        data=data,
        model=model,
        recipe=recipe,
        start=start,
        options=parse_options(option),
        epochs=epochs,
        images=images,
        minutes=minutes,
        batch_size=batch_size,
        rate=rate,
        at_once=at_once,
        balance=balance,
        seed=seed,
        validate_every=validate_every,
        patience=patience,
        trackers=None if track is None else tuple(track),
    )
    return _train(arguments, run or next_run(model or "run"), workers, device, resume, as_json)


def _train(arguments: Arguments, run: Path, workers: int, device: str | None, resume: bool, as_json: bool) -> int:
    from fourfold import report, verbs

    try:
        with (
            progress("reading images", is_quiet=as_json) as read,
            progress("training", unit="steps", is_quiet=as_json) as show,
            progress("testing", is_quiet=as_json) as test,
        ):
            watching = _watching(read, show, test)
            result = verbs.train_as(arguments, run, workers=workers, device=device, resume=resume, watching=watching)
    except KeyboardInterrupt:
        return stopped("train", Path(run))
    if result is None:  # a process that helped the first one
        return 0
    if as_json:
        print(json.dumps(report.trained_record(result)))
    else:
        show_table(report.trained_table(result))
        print(f"try it: fourfold classify --model {result.folder} PHOTO")
    return 0


def _watching(read: Callable[..., None], show: Callable[..., None], test: Callable[..., None]) -> Watching:
    """Progress bars for the three things that take time, and lines for what there is to say."""
    from fourfold.train.loop import Moment, Watchers
    from fourfold.training import Watching

    def step(moment: Moment) -> None:
        best = "" if moment.best is None else f", best {100 * (1 - moment.best):.2f} %"
        show(moment.step, moment.steps, f"loss {moment.loss:.3f}{best}")

    return Watching(read=read, training=Watchers(step=step), test=test, say=say)
