"""The page that captions in the browser, in Chromium."""

import base64
import functools
import hashlib
import http.server
import io
import json
import shutil
import tarfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.conftest import wait_until
from tests.gallery.conftest import Browser, start
from tests.sharing.test_onnx import joining, pieces_vocabulary

import showtell
from showtell.config import ConfigError, DecodingConfig, ImageTransform
from showtell.data.images import pixels_of, resized
from showtell.sharing.export import runtime, web


class Server:
    """Serves a folder, and remembers what was asked for."""

    def __init__(self, folder: Path) -> None:
        self.asked: list[str] = []
        asked = self.asked

        class Quiet(http.server.SimpleHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                asked.append(self.path)

        handler = functools.partial(Quiet, directory=str(folder))
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/"

    def close(self) -> None:
        if self.thread.is_alive():
            self.server.shutdown()
            self.thread.join()
            self.server.server_close()


@pytest.fixture
def serve() -> Iterator[Callable[[Path], Server]]:
    servers: list[Server] = []

    def begin(folder: Path) -> Server:
        servers.append(Server(folder))
        return servers[-1]

    yield begin
    for server in servers:
        server.close()


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    yield from start(tmp_path / "profile", 1300, 900, phone=False)


def visit(browser: Browser, url: str) -> None:
    browser.call("POST", "/url", {"url": url})


def blob(file: Path) -> str:
    """A picture's file as JavaScript."""
    data = base64.b64encode(file.read_bytes()).decode()
    return f"new File([Uint8Array.from(atob('{data}'), c => c.charCodeAt(0))], '{file.name}', {{type: 'image/png'}})"


def call(browser: Browser, module: str, expression: str) -> Any:
    return browser.run(f"return (async () => {{ const m = await import('./{module}'); return {expression}; }})()")


def test_the_browser_makes_the_same_bytes_of_a_picture(
    browser: Browser, serve: Callable[[Path], Server], tmp_path: Path
) -> None:
    """Sizes up and down, alpha, gray and turned ones; every fit, by torch's rules and by Pillow's."""
    shutil.copytree(str(files("showtell.sharing").joinpath("page")), tmp_path / "page")
    (tmp_path / "page/index.html").write_text("<!DOCTYPE html>")
    random = np.random.default_rng(0)
    noise = Image.fromarray(random.integers(0, 256, (61, 90, 3), dtype=np.uint8))
    glass = noise.convert("RGBA")
    glass.putalpha(Image.fromarray(random.choice([0, 255], (61, 90)).astype(np.uint8)))
    exif = Image.Exif()
    exif[0x0112] = 6
    for name, image, words in (
        ("wide.png", noise, {}), ("tall.png", noise.resize((33, 240)), {}), ("gray.png", noise.convert("L"), {}),
        ("glass.png", glass, {}), ("turned.jpg", noise.resize((300, 200)), {"exif": exif, "quality": 90}),
    ):  # fmt: skip
        image.save(tmp_path / name, **words)
    visit(browser, serve(tmp_path / "page").url)
    fits = [
        ("stretch", "bilinear"),
        ("stretch", "bicubic"),
        ("center", "bicubic"),
        ("squash", "lanczos"),
        ("pad", "bilinear"),
    ]
    for file in (*sorted(tmp_path.glob("*.png")), tmp_path / "turned.jpg"):
        for fit, interpolation in fits:
            transform = ImageTransform(size=48, fit=fit, crop=0.9, interpolation=interpolation)
            wanted = resized(pixels_of(file), transform).permute(1, 2, 0).numpy()
            told = json.dumps(asdict(transform))
            found = call(browser, "pixels.js", f"Array.from(m.fitted(await m.pixelsOf({blob(file)}), {told}).data)")
            assert np.array_equal(np.reshape(found, wanted.shape), wanted), (file.name, fit, interpolation)


def test_a_file_that_is_no_picture_is_one_line(
    browser: Browser, serve: Callable[[Path], Server], tmp_path: Path
) -> None:
    shutil.copytree(str(files("showtell.sharing").joinpath("page")), tmp_path / "page")
    (tmp_path / "page/index.html").write_text("<!DOCTYPE html>")
    visit(browser, serve(tmp_path / "page").url)
    said = call(browser, "pixels.js", "await m.pixelsOf(new File(['text'], 'a.jpg')).catch(error => error.message)")
    assert said == "a.jpg is no picture that this browser can read; save it as JPEG or PNG."


def test_words_are_joined_as_in_python(browser: Browser, serve: Callable[[Path], Server], tmp_path: Path) -> None:
    pytest.importorskip("tokenizers")
    shutil.copytree(str(files("showtell.sharing").joinpath("page")), tmp_path / "page")
    (tmp_path / "page/index.html").write_text("<!DOCTYPE html>")
    visit(browser, serve(tmp_path / "page").url)
    vocabulary, said = pieces_vocabulary()
    found = call(browser, "search.js", f"{said}.map(one => m.textOf(one, {json.dumps(joining(vocabulary))}))")
    assert found == [vocabulary.decode(tokens) for tokens in said]
    told = json.dumps({"bytes": {"Ġ": 32, "Ã": 0xC3, "©": 0xA9, "a": 97}, "words": ["Ġa", "Ã", "©"]})
    assert call(browser, "search.js", f"m.textOf([0, 0, 1, 2], {told})") == "a aé"


def test_the_page_always_searches_with_a_beam() -> None:
    greedy = web.on_the_page(DecodingConfig(block_ngram=3, max_length=9))
    assert (greedy.beam_size, greedy.num_captions, greedy.block_ngram, greedy.max_length) == (5, 5, 3, 9)
    beam = web.on_the_page(DecodingConfig(method="beam", beam_size=3, length_penalty=0.5))
    assert (beam.beam_size, beam.num_captions, beam.length_penalty) == (3, 3, 0.5)


def test_a_resizing_that_the_page_does_not_know_is_refused() -> None:
    with pytest.raises(ConfigError, match="--web: the encoder's pictures are resized by nearest"):
        web.check_transforms([ImageTransform(), ImageTransform(interpolation="nearest")])


def package(path: Path, **contents: bytes) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in contents.items():
            member = tarfile.TarInfo(f"package/dist/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def test_the_runtime_comes_from_a_package_or_a_folder_of_the_right_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "FILES", {"a.mjs": hashlib.sha256(b"good").hexdigest()})
    runtime.vendor_runtime(package(tmp_path / "good.tgz", **{"a.mjs": b"good"}), tmp_path / "one")
    runtime.vendor_runtime(tmp_path / "one", tmp_path / "two")
    assert (tmp_path / "two/a.mjs").read_bytes() == b"good"
    for name, content, reason in (("bad", {"a.mjs": b"bad"}, "has another a.mjs"), ("none", {}, "holds no a.mjs")):
        file = package(tmp_path / f"{name}.tgz", **content)
        with pytest.raises(ConfigError, match=f"--runtime {file}: it {reason} of onnxruntime-web@"):
            runtime.vendor_runtime(file, tmp_path / name)


def test_without_npm_the_line_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match=r"--web: npm, which fetches onnxruntime-web@\S+, is not installed; "):
        runtime.check_runtime(None)
    with pytest.raises(ConfigError, match=r"--runtime \S+/none: there is no such file or folder"):
        runtime.check_runtime(tmp_path / "none")


def ready(browser: Browser) -> None:
    wait_until(lambda: browser.run("return document.getElementById('state').textContent") == "Ready.")


def paste(browser: Browser, picture: Path) -> None:
    browser.run(
        f"const moved = new DataTransfer(); moved.items.add({blob(picture)});"
        "dispatchEvent(new ClipboardEvent('paste', { clipboardData: moved }));"
    )
    wait_until(lambda: "seconds" in browser.run("return document.getElementById('state').textContent"))


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("npm"), reason="npm is not installed")
def test_captions_in_chromium_with_and_without_a_network(
    shapes_run: Path, tmp_path: Path, browser: Browser, serve: Callable[[Path], Server], call: Callable[..., Any]
) -> None:
    assert call(shapes_run, "--web", tmp_path / "page").status == 0
    server = serve(tmp_path / "page")
    visit(browser, server.url)
    ready(browser)
    assert len(server.asked) == len(set(server.asked)) + 5  # the first five files once more, to be kept
    captioner = showtell.load(shapes_run)
    captioner.encoder.precision = "float32"
    pictures = sorted(Path(captioner.configs[0].data.root).glob("val/*.*g"))[:4]
    assert pictures
    decoding = web.on_the_page(captioner.configs[0].decoding)
    server.close()
    visit(browser, server.url)  # nobody is there any more
    ready(browser)
    for found in captioner.caption(pictures, decoding):
        paste(browser, found.path)
        shown = [text.partition("\n")[0] for text in browser.texts("#others span")]
        assert shown == list(found.captions)
    assert browser.run("return document.getElementById('picture').alt") == shown[0]
    browser.run("document.querySelector('button.w').focus()")
    assert browser.run("return document.getElementById('map').className") == "lit"
    browser.run("document.querySelectorAll('#others button')[1].click()")
    assert browser.run("return document.getElementById('picture').alt") == shown[1]
    log = browser.call("POST", "/se/log", {"type": "browser"})
    assert not [line for line in log if "Content Security Policy" in line["message"]]


def test_the_package_ships_the_page() -> None:
    folder = files("showtell.sharing").joinpath("page")
    assert {one.name for one in folder.iterdir()} == {*web.PAGE, web.WORKER}
