"""The command line: parse, call a verb, print. Heavy imports wait until a command needs them."""

from __future__ import annotations

import json
import logging
import sys
import warnings
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.exceptions import TyperException

from fourfold.cli_data import data_app
from fourfold.cli_detect import detect, propose, train_detector
from fourfold.cli_evaluate import evaluate, protocols
from fourfold.cli_features import features, probe, search
from fourfold.cli_localize import localize, train_localizer
from fourfold.cli_models import (
    DEFAULT_MODEL,
    ClassesFile,
    ModelNames,
    PixelsText,
    ProtocolName,
    ScalesText,
    WeightsFile,
    draw_views,
    open_models,
    parse_scales,
    take_models,
    write_png,
)
from fourfold.cli_reproduce import reproduce
from fourfold.cli_train import train
from fourfold.memory import keep_memory
from fourfold.terminal import (
    INTERRUPTED,
    READER_LEFT,
    Json,
    Options,
    discard_unwritten,
    fail,
    parse_options,
    progress,
    report_broken,
    save_picture,
    show_table,
)

QUIET_BELOW = 64  # images; less than that is over before a progress bar could be read

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help="VGG, ResNet, GoogLeNet and SPP-net as their papers describe them.",
)

app.command()(evaluate)
app.command()(protocols)
app.command()(train)
app.command()(propose)
app.command("train-detector")(train_detector)
app.command()(detect)
app.command("train-localizer")(train_localizer)
app.command()(localize)
app.command()(features)
app.command()(probe)
app.command()(search)
app.command()(reproduce)
app.add_typer(data_app, name="data")


def main() -> None:
    """Run the command line; every error that a user can mend is one line on standard error and exit code 2."""
    keep_memory()
    warnings.simplefilter("ignore")  # what libraries have to say of damaged metadata and the like is not for our users
    logging.getLogger("PIL").setLevel(logging.CRITICAL + 1)
    try:
        code = app(standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()  # here, where an error can be answered
    except TyperException as error:
        code = fail(f"{' '.join(error.format_message().split()).rstrip('.')}; see `fourfold --help`")
    except ValueError as error:
        code = fail(str(error))
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "DefaultCPUAllocator" not in str(error):  # torch's MemoryError
            raise
        code = fail("out of memory; give fewer or smaller images, or a smaller network")
    except BrokenPipeError:
        code = READER_LEFT
    except OSError as error:  # what no command foresaw: a full disk, a name that is too long
        code = fail(f"{error.filename or 'the system'}: {error.strerror or error}; check the path and the disk")
    finally:
        discard_unwritten()
    sys.exit(code if isinstance(code, int) else 0)


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context, version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False
) -> None:
    """Print the version, or the help where no command is given."""
    if version:
        from importlib.metadata import version as installed

        print(f"fourfold {installed('fourfold')}")
    elif context.invoked_subcommand is None:
        print(context.get_help())


@app.command()
def classify(
    paths: Annotated[list[str], typer.Argument(help="Images, folders, glob patterns, or - for standard input.")],
    model: ModelNames = None,
    top: Annotated[int, typer.Option(help="How many classes to name.")] = 5,
    protocol: ProtocolName = "single",
    scales: ScalesText = None,
    as_json: Json = False,
    save: Annotated[bool, typer.Option("--save", help="Write a picture of each answer.")] = False,
    save_to: Annotated[Path | None, typer.Option(help="The folder for --save; by default answers.")] = None,
    show_views: Annotated[Path | None, typer.Option(help="A PNG file: what the protocol sees of the first photo.")] = None,
    weights: WeightsFile = None,
    classes: ClassesFile = None,
    pixels: PixelsText = None,
) -> int:
    """Name what is in photos."""
    from fourfold import report, verbs

    more, photos = take_models(paths) if model else ([], paths)
    models = open_models([*(model or [DEFAULT_MODEL]), *more], weights, classes, pixels)
    numbers = parse_scales(scales)
    asked = verbs.predictor(models, protocol, numbers)
    found = verbs.find(photos)
    if show_views is not None:
        first = next((each for each in found if not isinstance(each, verbs.Failure)), None)
        if first is not None:
            draw_views(show_views, models[0], first, protocol, numbers)
    records: list[dict[str, Any]] = []
    failures: list[str] = []
    with progress("classifying", is_quiet=as_json or len(found) < QUIET_BELOW) as show:
        for number, answer in enumerate(verbs.answer_each(asked, found, top), start=1):
            record = report.answer_record(answer)
            if as_json:
                print(json.dumps(record), flush=True)
            if isinstance(answer, verbs.Failure):
                failures.append(answer.error)
            else:
                if save or save_to is not None:
                    save_picture(answer.plot(), save_to or Path("answers"), answer.source)
                if not as_json:
                    records.append(record)
            show(number, len(found))
    if records:
        show_table(report.answer_table(records))
    return report_broken(failures)


@app.command()
def explain(
    model: Annotated[str, typer.Argument(help="A network or weights of `fourfold models`, or a run folder.")],
    photo: Annotated[str | None, typer.Argument(help="With --plot: where in this photo a class is seen.")] = None,
    size: Annotated[int | None, typer.Option(help="Side of the image in pixels; the network's own by default.")] = None,
    option: Options = None,
    label: Annotated[str | None, typer.Option(help="With a photo: the class; by default the likeliest.")] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw receptive field and cost by layer, or the photo's heatmap.")
    ] = None,
    as_json: Json = False,
) -> int:
    """Show a network layer by layer, or where in a photo it sees a class."""
    from fourfold import plots, report, verbs

    if photo is not None:
        if plot is None:
            raise ValueError("a photo needs --plot FILE.png, where its heatmap is written")
        heat = verbs.class_heat(model, photo, label)
        write_png(plot, lambda path: heat.plot().save(path, format="PNG"))
        if as_json:
            print(json.dumps({"label": heat.label, "probability": round(heat.probability, 6), "plot": str(plot)}))
        else:
            print(f"wrote {plot}: {heat.label}, {100 * heat.probability:.1f} % on average over the photo")
        return 0
    if label is not None:
        raise ValueError(f"--label {label} needs a photo in which to look for it")
    result = verbs.explain(model, size, parse_options(option))
    if plot is not None:
        write_png(plot, lambda path: plots.explanation(result, path))
    if as_json:
        print(json.dumps(report.explanation_record(result)))
        return 0
    show_table(report.explanation_table(result))
    if result.auxiliary_parameters:
        print(f"and {result.auxiliary_parameters:,} parameters in auxiliary heads, which exist in training only")
    for deviation in result.deviations:
        print(f"not as in the paper: {deviation}")
    return 0


@app.command()
def models(as_json: Json = False) -> int:
    """List networks and weights."""
    from fourfold import report, verbs

    records = report.model_records(*verbs.models())
    if as_json:
        print(json.dumps(records))
    else:
        for table in report.model_tables(records):
            show_table(table)
    return 0
