"""The house rules of ARCHITECTURE.md, read from the syntax trees: imports, sizes, names, and the mirror of tests."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "fourfold"
FILES = sorted(path for path in SOURCE.rglob("*.py"))
ORDER = re.findall(r"^\| `([\w/]+\.py)` \|", (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8"), re.MULTILINE)
EMPTY = [path for path in FILES if path.name == "__init__.py" and path.parent != SOURCE and path.parent.name != "papers"]
BANNED = {"utils", "util", "helpers", "common", "misc"}
ONLY_USERS = {
    "torchvision": (),
    "PIL": (
        "images.py",
        "draw.py",
        "heat.py",
        "sources.py",
        "data/annotated.py",
        "data/headers.py",
        "data/check_picture.py",
        "data/duplicates.py",
        "evaluate/views_picture.py",
        "detect/boxes_picture.py",
    ),
    "matplotlib": (
        "plots.py",
        "data/check_picture.py",
        "evaluate/figures.py",
        "detect/figures.py",
        "detect/recall_picture.py",
    ),
    "sklearn": ("detect/svm.py", "features/probe.py", "features/estimator.py"),
    "pyarrow": ("features/files.py",),
    "usearch": ("features/search.py",),
    "scipy": ("detect/multibox_loss.py",),
    "cv2": ("data/video.py",),
    "numba": ("models/lrn_kernels.py", "compiled.py"),
    "urllib": ("catalog.py",),
    "huggingface_hub": ("catalog.py",),
    "typer": (
        "cli.py",
        "cli_train.py",
        "cli_data.py",
        "cli_evaluate.py",
        "cli_models.py",
        "cli_detect.py",
        "cli_features.py",
        "cli_reproduce.py",
        "cli_localize.py",
        "terminal.py",
    ),
    "rich": ("terminal.py", "report.py", "cli_data.py"),
    "pickle": ("weights.py", "data/cifar.py"),
    "datasets": ("data/hub.py",),
    "imagehash": ("data/duplicates.py",),
    "simplejpeg": ("jpeg.py",),
    "tensorboardX": ("train/tracking.py",),
    "wandb": ("train/tracking.py",),
    "mlflow": ("train/tracking.py",),
    "ray": ("cluster.py",),
    "pycocotools": ("detect/coco_ap.py",),
    "yaml": ("data/yolo.py",),
}


def name_of(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imports_of(path: Path) -> list[str]:
    """Dotted names of everything imported, also inside functions; names imported from a package count as its modules."""
    names = []
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import in {name_of(path)}"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


@cache
def own_imports(path: Path) -> set[str]:
    """Files of ours that a file imports."""
    found = set()
    for name in imports_of(path):
        parts = name.split(".")
        if parts[0] != "fourfold":
            continue
        for end in (len(parts), len(parts) - 1):
            file = Path(*parts[1:end]).with_suffix(".py") if end > 1 else Path("__init__.py")
            package = Path(*parts[1:end], "__init__.py")
            known = next((f for f in (file, package) if (SOURCE / f).is_file()), None)
            if known:
                found.add(known.as_posix())
                break
    return found


@cache
def typing_only(path: Path) -> set[str]:
    """Imports under TYPE_CHECKING, which never run."""
    tree = tree_of(path)
    blocks = [node for node in ast.walk(tree) if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    return {
        f"{node.module}.{alias.name}"
        for block in blocks
        for node in ast.walk(block)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def functions_of(path: Path) -> list[ast.FunctionDef]:
    return [node for node in ast.walk(tree_of(path)) if isinstance(node, ast.FunctionDef)]


def test_the_listing_names_every_file_once() -> None:
    have = [name_of(path) for path in FILES if path not in EMPTY]
    assert sorted(ORDER) == sorted(have)
    assert len(have) > 30


@pytest.mark.parametrize("path", [path for path in FILES if path not in EMPTY], ids=name_of)
def test_a_file_imports_only_files_listed_above_it(path: Path) -> None:
    below = set(ORDER[ORDER.index(name_of(path)) :])
    lazily = {"__init__.py", "report.py"}  # these name what lies below them in types alone, or import it when asked
    assert name_of(path) in lazily or not own_imports(path) & below


@pytest.mark.parametrize("library", ONLY_USERS)
def test_a_library_has_only_the_users_that_the_house_allows(library: str) -> None:
    users = {name_of(p) for p in FILES if any(n.split(".")[0] == library for n in set(imports_of(p)) - typing_only(p))}
    assert users <= set(ONLY_USERS[library])


def test_models_import_nothing_but_shapes_and_each_other() -> None:
    for path in (SOURCE / "models").glob("*.py"):
        assert all(name == "shapes.py" or name.startswith("models/") for name in own_imports(path))


def test_only_the_command_line_prints() -> None:
    for path in FILES:
        calls = [n for n in ast.walk(tree_of(path)) if isinstance(n, ast.Call)]
        prints = [n for n in calls if isinstance(n.func, ast.Name) and n.func.id == "print"]
        assert not prints or path.name.startswith("cli") or path.name == "terminal.py"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_files_and_functions_stay_small_and_well_named(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400
    assert path.stem not in BANNED
    for function in functions_of(path):
        assert (function.end_lineno or 0) - function.lineno < 62, function.name


def test_files_and_functions_are_short_as_a_rule() -> None:
    lines = sorted(len(path.read_text(encoding="utf-8").splitlines()) for path in FILES if path not in EMPTY)
    assert lines[len(lines) // 2] <= 170
    lengths = sorted((f.end_lineno or 0) - f.lineno + 1 for path in FILES for f in functions_of(path))
    assert lengths[len(lengths) // 2] <= 14


@pytest.mark.parametrize("path", EMPTY, ids=name_of)
def test_a_package_holds_nothing_itself(path: Path) -> None:
    assert path.read_text(encoding="utf-8").strip() == ""


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_every_public_thing_says_what_it_is(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert path in EMPTY or ast.get_docstring(tree)
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node), node.name


MIRRORED_ELSEWHERE = {  # these are tested where their use is: contracts, facts and the command line
    "models/lrn_kernels.py": "models/test_lrn.py",
    "models/vgg.py": "models/test_families.py",
    "models/googlenet.py": "models/test_families.py",
    "models/sppnet.py": "models/test_families.py",
    "models/alexnet.py": "models/test_families.py",
    "papers/__init__.py": "papers/test_resnet.py",
    "explain.py": "test_papers.py",
    "__init__.py": "test_verbs.py",
    "__main__.py": "test_cli.py",
    "sources.py": "test_verbs.py",
    "terminal.py": "test_cli.py",
    "runs.py": "test_jobs.py",
    "jpeg.py": "test_windows.py",
    "resample.py": "test_windows.py",
    "reproduce/effort.py": "reproduce/test_run.py",
    "reproduce/claim.py": "reproduce/test_verdict.py",
    "reproduce/claims_vgg.py": "reproduce/test_claims.py",
    "reproduce/claims_resnet.py": "reproduce/test_claims.py",
    "reproduce/claims_googlenet.py": "reproduce/test_claims.py",
    "reproduce/claims_sppnet.py": "reproduce/test_claims.py",
    "reproduce/claims_background.py": "reproduce/test_claims.py",
}


@pytest.mark.parametrize("path", [path for path in FILES if path not in EMPTY], ids=name_of)
def test_every_file_has_its_test(path: Path) -> None:
    name = name_of(path)
    mirror = MIRRORED_ELSEWHERE.get(name, (Path(name).parent / f"test_{Path(name).name}").as_posix())
    assert (ROOT / "tests" / mirror).is_file()
