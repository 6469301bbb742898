"""What users do with single objects, as functions: localize, train_localizer, evaluate_localizer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from fourfold.catalog import DEFAULT, Network
from fourfold.data.annotated import Annotations
from fourfold.data.boxed import boxed_test
from fourfold.detector_training import Watch
from fourfold.localization_files import write_localization
from fourfold.localize.summary import LocalizationEvaluation
from fourfold.localizer_files import Opened, is_localizer, open_localizer
from fourfold.localizer_jobs import LocalizerArguments, run_localizer_training
from fourfold.localizer_training import TrainedLocalizer
from fourfold.localizing import ALL, Located, System, evaluate_system, localize_each, protocols_of, system_of
from fourfold.sources import Failure, Source, find
from fourfold.verbs import Model, load

LocalizerLike = str | Path | Model | Network | Opened
Localizers = LocalizerLike | Sequence[LocalizerLike]


def train_localizer(
    data: str | Path | None = None,
    *,
    run: str | Path,
    method: str | None = None,
    start: str | None = None,
    options: Mapping[str, object] | None = None,
    epochs: float | None = None,
    scale: int | None = None,
    steps: int | None = None,
    rate: float | None = None,
    batch_size: int | None = None,
    seed: int | None = None,
    resume: bool = False,
    watch: Watch = Watch(),  # noqa: B008 (frozen)
) -> TrainedLocalizer:
    """Teach a network where the largest object of a photo is, in the folder `run`, which `localize` opens afterwards.

    data: what `find_boxed` takes: a folder in the layout of VOC, COCO or YOLO, or a CSV file of boxes. start: weights by
    name or a run folder; a classifier with just the data's classes is taken as it is, others learn the classes first, for
    `epochs` with the network's `options`. method: a name of `LOCALIZERS`, "modern" or VGG's. scale: the shorter side of
    photos in pixels. steps, rate, batch_size: of the boxes' training. `resume` goes on with the run in `run`, whose
    arguments it has kept. Raises ValueError for data, names or numbers that will not do; KeyboardInterrupt once Ctrl-C has
    been answered, with everything saved for `resume`.
    """
    given = LocalizerArguments(
        data=None if data is None else str(data),
        method=method,
        start=start,
        options=dict(options or {}),
        epochs=epochs,
        scale=scale,
        steps=steps,
        rate=rate,
        batch_size=batch_size,
        seed=seed,
    )
    return run_localizer_training(given, Path(run), resume=resume, watch=watch)


def load_localizer(
    models: Localizers = DEFAULT, *, protocol: str | None = None, scales: Sequence[int] | None = None
) -> System:
    """A localizer, several as one, or any classifier, as it is asked under a protocol; see `system_of`.

    models: run folders of `train_localizer`, or what `load` takes. Raises ValueError for what does not go together.
    """
    return system_of(_parts(models), protocol, scales)


def localize(
    sources: Source | Iterable[Source],
    model: Localizers | System = DEFAULT,
    *,
    protocol: str | None = None,
    scales: Sequence[int] | None = None,
    top: int = 1,
    with_heat: bool = False,
) -> list[Located | Failure]:
    """Say what is in images and where: one Located or Failure for each, in order.

    sources: as for `classify`. model, protocol, scales: see `load_localizer`; a System has the last two already. top: how
    many classes, 1 to 5, each with its box. with_heat: whether `plot` draws the class map of the likeliest.
    """
    if isinstance(model, System):
        if protocol is not None or scales is not None:
            raise ValueError("a localizer that is loaded already has its protocol; give its folder to change it")
        asked = model
    else:
        asked = load_localizer(model, protocol=protocol, scales=scales)
    many = [sources] if isinstance(sources, Source) else list(sources)
    return list(localize_each(asked, find(many), top, with_heat=with_heat))


def evaluate_localizer(
    model: Localizers,
    data: str | Path,
    *,
    protocol: str | None = None,
    scales: Sequence[int] | None = None,
    split: str | None = None,
    out: str | Path | None = None,
    watch: Callable[[int, int], None] = lambda _done, _all: None,
) -> LocalizationEvaluation:
    """How well the largest object of each image is located; see `evaluate_localizer_each`."""
    found = evaluate_localizer_each(
        model, data, protocol, scales=scales, split=split, out=out, watch=lambda _name, done, total: watch(done, total)
    )
    return found[0][1]


def evaluate_localizer_each(
    model: Localizers,
    data: str | Path,
    protocols: str | None = ALL,
    *,
    scales: Sequence[int] | None = None,
    split: str | None = None,
    out: str | Path | None = None,
    watch: Callable[[str, int, int], None] = lambda _name, _done, _all: None,
) -> list[tuple[str, LocalizationEvaluation]]:
    """The same under several protocols (VGG Tables 8 and 9): (name, LocalizationEvaluation) of each.

    data: as for `train_localizer`; `split` names the part, by default test, or else val, or else all. protocols: names with
    commas between, "all", or None for the usual one. out: a folder for report.html, result.json, per_class.csv and
    boxes.csv. Raises ValueError for data, names or numbers that will not do, and where no image can be used.
    """
    parts = _parts(model)
    names = protocols_of(parts, protocols)
    asked = [(name, system_of(parts, name, _scales_of(name, names, scales))) for name in names]
    images, part = boxed_test(data, split)
    place = f"{data}{f' ({part})' if part else ''}"
    found = [(name, _evaluated(system, images, place, name, watch)) for name, system in asked]
    if out is not None:
        write_localization(found, images, Path(out))
    return found


def _evaluated(
    system: System, images: Annotations, place: str, name: str, watch: Callable[[str, int, int], None]
) -> LocalizationEvaluation:
    found = evaluate_system(system, images, lambda done, total: watch(name, done, total))
    return replace(found, protocol=f"{found.protocol}; on {place}")


def _scales_of(name: str, names: Sequence[str], scales: Sequence[int] | None) -> Sequence[int] | None:
    """Those given for one protocol, or of several for dense alone: the others have one scale, their own."""
    return scales if len(names) == 1 or name == "dense" else None


def _parts(models: Localizers) -> list[Opened | Network]:
    many = [models] if isinstance(models, LocalizerLike) else list(models)
    if not many:
        raise ValueError("no model is given; name one or several")
    return [_part(each) for each in many]


def _part(model: LocalizerLike) -> Opened | Network:
    if isinstance(model, Opened | Network):
        return model
    if isinstance(model, Model):
        return model.network
    return open_localizer(model) if is_localizer(model) else load(model).network
