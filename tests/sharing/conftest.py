"""A run on the embedded scenes whose encoder installs with Showtell, and packs."""

import argparse
import http.client
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import predict
import pytest
from tests.conftest import merged
from tests.gallery.conftest import desktop as desktop  # the fixtures
from tests.gallery.conftest import phone as phone
from tests.prediction.conftest import call as call

from showtell.config import parse
from showtell.sharing.server import CaptionServer


@pytest.fixture(scope="session")
def shapes_run(tiny_overrides: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Attention over EfficientNet-Lite0's regions, trained for an epoch on a few drawn scenes."""
    from showtell.training.train import train

    root = tmp_path_factory.mktemp("scenes") / "shapes"
    drawn = {"format": "shapes", "root": str(root), "shapes": {"train_pictures": 24, "val_pictures": 8}}
    changes: dict[str, Any] = {
        "data": {"name": "shapes", "num_workers": 0, **drawn},
        "encoder": {"name": "efficientnet_lite0", "weights": "imagenet", "pooling": "grid:3"},
        "decoder": {"name": "attention", "region_size": 12, "attention_size": 12},
        "training": {"max_epochs": 1},
    }
    settings = {key: value for key, value in tiny_overrides.items() if key != "data"}
    run_dir = tmp_path_factory.mktemp("runs") / "shapes"
    train(parse(merged(settings, **changes)), run_dir)
    return run_dir


@pytest.fixture(scope="session")
def shapes_pack(shapes_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nobody may write into it."""
    from showtell.sharing.pack import pack

    file = tmp_path_factory.mktemp("packs") / "shapes.zip"
    pack(shapes_run, file)
    return file


@pytest.fixture(scope="session")
def tiny_pack(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a run whose encoder has weights of its own; nobody may write into it."""
    from showtell.sharing.pack import pack

    file = tmp_path_factory.mktemp("packs") / "tiny.zip"
    pack(tiny_run, file)
    return file


def options(*words: object) -> argparse.Namespace:
    """Of predict.py's command line."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["predict.py", *map(str, words)])
        found = predict.arguments()
    found.host = found.host or "127.0.0.1"
    return found


@contextmanager
def serving(*words: object) -> Iterator[CaptionServer]:
    """A block in which the models that a command line names are served in this process."""
    from showtell.prediction.inputs import load_models, split_arguments
    from showtell.sharing.serve import start

    given = options(*words, "--serve", "0", "--device", "cpu")
    (model,) = load_models(split_arguments(given.words)[0], given)
    server = start(model, given)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        server.readers.close()


def ask(
    server: CaptionServer, path: str = "/caption", body: bytes | None = None, method: str = "", **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and content of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method or ("GET" if body is None else "POST"), path, body, named)
        answer = connection.getresponse()
        return answer.status, dict(answer.headers), answer.read()
    finally:
        connection.close()


@pytest.fixture(scope="module")
def server(shapes_run: Path) -> Iterator[CaptionServer]:
    """Of a model that attends, with two captions for each picture."""
    with serving(shapes_run, "--beam", 3, "--num-captions", 2) as running:
        yield running
