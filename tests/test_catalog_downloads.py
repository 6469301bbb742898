"""Published weights fetched from a server on the loopback address: cached once, and only if their hash is right."""

from __future__ import annotations

import gc
import hashlib
import io
import socket
import warnings
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import torch

from fourfold import catalog
from fourfold.models.base import Classifier
from fourfold.networks import build
from fourfold.weights import load_into

TABLE = """
[small-weights]
network = "resnet20"
options = {{ classes = 2, width = 0.25 }}
pixels = "cifar10"
labels = "pets"
url = "{url}"
sha256 = "{sha256}"
megabytes = 1
licence = "CC0"
recipe = "made up"
protocol = "none"
published = {{ top1 = 12.5 }}
"""


class Server(ThreadingHTTPServer):
    """Serves `content` under every path and counts the requests; `garbage` answers with something that is not HTTP."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.content = b""
        self.requests = 0
        self.is_garbage = False


class Answer(BaseHTTPRequestHandler):
    """One request to Server."""

    server: Server  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_GET(self) -> None:
        self.server.requests += 1
        if self.server.is_garbage:
            self.wfile.write(b"this is not a status line\r\n\r\n")
        elif not self.server.content:
            self.send_error(404)
        else:
            self.send_response(200)
            self.send_header("Content-Length", str(len(self.server.content)))
            self.end_headers()
            self.wfile.write(self.server.content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the standard library's name)
        """Keep quiet."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def network() -> Classifier:
    network = build("resnet20", classes=2, width=0.25)
    generator = torch.Generator().manual_seed(0)
    for value in network.state_dict().values():
        if value.is_floating_point():
            value.uniform_(0.1, 0.9, generator=generator)
    return network.eval()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Server, network: Classifier) -> Path:
    """A table of one model, whose right file the server has; gives the cache folder, which is not there yet."""
    file = io.BytesIO()
    torch.save({"state_dict": network.state_dict()}, file)
    server.content = file.getvalue()
    url = f"http://127.0.0.1:{server.server_port}/models/small.pth"
    digest = hashlib.sha256(server.content).hexdigest()[:8]
    package = tmp_path / "package"
    (package / "labels").mkdir(parents=True)
    (package / "labels" / "pets.txt").write_text("cat\ndog\n", encoding="utf-8")
    (package / "weights.toml").write_text(TABLE.format(url=url, sha256=digest), encoding="utf-8")
    monkeypatch.setattr(catalog, "HERE", package)
    monkeypatch.setenv("FOURFOLD_CACHE", str(tmp_path / "cache" / "fourfold"))
    return tmp_path / "cache" / "fourfold"


def refusal() -> str:
    with pytest.raises(ValueError, match=r".") as refused:
        catalog.load("small-weights")
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_the_right_file_is_cached_and_gives_the_network(cache: Path, server: Server, network: Classifier) -> None:
    loaded = catalog.load("small-weights")
    for key, value in network.state_dict().items():
        assert torch.equal(loaded.classifier.state_dict()[key], value), key
    assert [path.name for path in cache.iterdir()] == ["small.pth"]
    assert (cache / "small.pth").read_bytes() == server.content
    assert loaded.labels == ("cat", "dog")
    assert loaded.pixels.mean == (125.307, 122.95, 113.865)
    assert (loaded.entry.name, loaded.entry.licence, loaded.entry.accuracy["top1"]) == ("small-weights", "CC0", 12.5)
    assert loaded.entry.accuracy["by"] == "the publisher, not measured here"


@pytest.mark.usefixtures("cache")
def test_the_second_time_nothing_is_asked_of_the_server(server: Server) -> None:
    catalog.load("small-weights")
    assert server.requests == 1
    server.content = b""
    catalog.load("small-weights")
    assert server.requests == 1


def test_a_file_with_another_hash_is_refused_and_not_kept(cache: Path, server: Server) -> None:
    right = server.content
    server.content = right[:-1] + bytes([right[-1] ^ 1])
    message = refusal()
    assert "arrived damaged: its SHA-256 does not begin with " in message
    assert list(cache.iterdir()) == []
    server.content = right
    catalog.load("small-weights")
    assert server.requests == 2


def test_a_server_without_the_file_is_one_line(cache: Path, server: Server) -> None:
    server.content = b""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        message = refusal()
        gc.collect()
    assert not [each for each in told if each.category is ResourceWarning]  # the connection is closed
    assert message.startswith(f"cannot download http://127.0.0.1:{server.server_port}/models/small.pth (HTTP Error 404")
    assert message.endswith(f"; check the network, or put the file at {cache / 'small.pth'}")
    assert list(cache.iterdir()) == []


def test_an_answer_that_is_not_http_is_one_line(cache: Path, server: Server) -> None:
    server.is_garbage = True
    assert refusal().startswith("cannot download ")
    assert list(cache.iterdir()) == []


def test_a_server_that_is_not_there_is_one_line(cache: Path, server: Server) -> None:
    table = catalog.HERE / "weights.toml"
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))  # it does not listen, so whoever calls is turned away
        port = str(silent.getsockname()[1])
        table.write_text(table.read_text(encoding="utf-8").replace(str(server.server_port), port), encoding="utf-8")
        assert refusal().startswith(f"cannot download http://127.0.0.1:{port}/models/small.pth (")
    assert list(cache.iterdir()) == []


def test_a_file_put_into_the_cache_by_hand_is_taken(cache: Path, server: Server) -> None:
    cache.mkdir(parents=True)
    (cache / "small.pth").write_bytes(server.content)
    assert catalog.load("small-weights").labels == ("cat", "dog")
    assert server.requests == 0


def test_a_cache_folder_that_cannot_be_made_is_one_line(cache: Path) -> None:
    cache.parent.write_text("a file where a folder should be", encoding="utf-8")
    assert refusal().startswith(f"cannot write to {cache} (")


def test_the_cache_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("FOURFOLD_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert catalog.cache_folder() == Path.home() / ".cache" / "fourfold"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert catalog.cache_folder() == tmp_path / "fourfold"
    monkeypatch.setenv("FOURFOLD_CACHE", str(tmp_path / "here"))
    assert catalog.cache_folder() == tmp_path / "here"


def test_a_weights_file_of_somebody_else_goes_into_a_network_of_ours(tmp_path: Path, network: Classifier) -> None:
    torch.save(network.state_dict(), tmp_path / "theirs.pth")
    pixels = catalog.parse_pixels("half")
    loaded = catalog.load_file(tmp_path / "theirs.pth", "resnet20", ("cat", "dog"), pixels, {"width": 0.25})
    assert (loaded.labels, loaded.pixels, loaded.entry.name) == (("cat", "dog"), pixels, "theirs.pth")
    other = build("resnet20", classes=2, width=0.25)
    load_into(other, loaded.classifier.state_dict(), name="loaded")
    assert all(torch.equal(value, network.state_dict()[key]) for key, value in other.state_dict().items())
    with pytest.raises(ValueError, match=r"head.fc.fc.weight is \(2, 16\) and should be \(3, 16\)"):
        catalog.load_file(tmp_path / "theirs.pth", "resnet20", ("cat", "dog", "cow"), pixels, {"width": 0.25})


@pytest.mark.parametrize(
    ("text", "mean", "std"),
    [
        ("imagenet", (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),  # 255 x (0.485 0.456 0.406), (0.229 0.224 0.225)
        ("half", (127.5,) * 3, (127.5,) * 3),
        ("mean=1,2.5,-3,std=4,5,6e1", (1.0, 2.5, -3.0), (4.0, 5.0, 60.0)),
        ("std=4,5,6, mean = 1, 2, 3", (1.0, 2.0, 3.0), (4.0, 5.0, 6.0)),
        ("mean=1,2,3", (1.0, 2.0, 3.0), (1.0, 1.0, 1.0)),
    ],
)
def test_pixels_are_named_or_spelled_out(text: str, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
    pixels = catalog.parse_pixels(text)
    assert pixels.mean == pytest.approx(mean)
    assert pixels.std == pytest.approx(std)
    assert (pixels.order, pixels.mean_image) == ("RGB", None)


WRONG = ["", "imagenets", "1,2,3", "mean=", "mean=1,2", "mean=1,2,3,4", "std=1,2,3", "mean=1,2,x", "mean=1,2,3,std=1,2"]
WRONG += ["mean=1,2,3,std=1,0,1", "mean=1,2,3,std=1,-1,1", "mean=1,2,3,var=1,1,1", "mean=nan,1,1", "mean=1,2,3,std=1,1,inf"]
WRONG += ["mean=1,2,3;std=1,2,3", "mean=1;2;3", "mean==1,2,3"]


@pytest.mark.parametrize("text", WRONG)
def test_pixels_that_are_neither_are_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"not understood; give imagenet, cifar10, half, or \"mean=123\.7,") as refused:
        catalog.parse_pixels(text)
    assert repr(text) in str(refused.value)
