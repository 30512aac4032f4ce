"""Headless Chromium, driven over chromedriver's HTTP interface (the W3C WebDriver standard), and pages to look at."""

import base64
import json
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from showtell.gallery.contents import Caption, Entry, Page, Prediction, Word
from showtell.text import NLTK

HOSTILE = "</script><script>document.title = 'x'</script><img src=x onerror=\"document.title='x'\"> & 'q' \u2028"


class Browser:
    """One window of a browser."""

    def __init__(self, profile: Path, width: int, height: int, *, phone: bool = False) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"http://127.0.0.1:{free.getsockname()[1]}"
        port = self.address.rpartition(":")[2]
        self.driver = subprocess.Popen(["chromedriver", f"--port={port}"], stdout=subprocess.DEVNULL)
        self.session = ""
        self._await_driver()
        flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
        flags += [f"--user-data-dir={profile}", f"--window-size={width},{height}"]
        options: dict[str, Any] = {"args": flags}
        if phone:
            metrics = {"width": width, "height": height, "pixelRatio": 2, "touch": True}
            options["mobileEmulation"] = {"deviceMetrics": metrics}
        wanted = {"capabilities": {"alwaysMatch": {"browserName": "chrome", "goog:chromeOptions": options}}}
        self.session = f"/session/{self.call('POST', '/session', wanted)['sessionId']}"

    def _await_driver(self) -> None:
        for _ in range(300):
            try:
                if self.call("GET", "/status")["ready"]:
                    return
            except OSError:
                time.sleep(0.1)

    def call(self, method: str, path: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.address}{self.session}{path}", method=method, data=data)
        # the browser is on this machine, so no proxy is asked
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=120) as answer:
            return json.load(answer)["value"]

    def open(self, page: Path, fragment: str = "") -> None:
        self.call("POST", "/url", {"url": "about:blank"})
        self.call("POST", "/url", {"url": page.as_uri() + fragment})

    def run(self, script: str) -> Any:
        return self.call("POST", "/execute/sync", {"script": script, "args": []})

    def set(self, field: str, value: str, event: str) -> None:
        self.run(
            f"const e = document.getElementById({field!r}); e.value = {value!r}; e.dispatchEvent(new Event({event!r}))"
        )

    def point_at(self, selector: str, kind: str = "mouse") -> None:
        """Moves the mouse over an element, or taps it."""
        self.run(f"document.querySelector({selector!r}).scrollIntoView({{block: 'center'}})")
        element = self.call("POST", "/element", {"using": "css selector", "value": selector})
        steps: list[dict[str, Any]] = [{"type": "pointerMove", "duration": 0, "x": 0, "y": 0, "origin": element}]
        if kind == "touch":
            steps += [{"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0}]
        pointer = {"type": "pointer", "id": kind, "parameters": {"pointerType": kind}, "actions": steps}
        self.call("POST", "/actions", {"actions": [pointer]})

    def texts(self, selector: str) -> list[str]:
        found: list[str] = self.run(f"return [...document.querySelectorAll({selector!r})].map(e => e.textContent)")
        return found

    def screenshot(self, path: Path) -> Path:
        path.write_bytes(base64.b64decode(self.call("GET", "/screenshot")))
        return path

    def close(self) -> None:
        try:
            if self.session:
                self.call("DELETE", "")
        finally:
            self.driver.terminate()
            self.driver.wait()


def start(profile: Path, width: int, height: int, *, phone: bool) -> Iterator[Browser]:
    if not shutil.which("chromedriver"):
        pytest.skip("Chromium and its chromedriver are not installed")
    browser = Browser(profile, width, height, phone=phone)
    try:
        yield browser
    finally:
        browser.close()


@pytest.fixture(scope="session")
def desktop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    yield from start(tmp_path_factory.mktemp("desktop"), 1300, 900, phone=False)


@pytest.fixture(scope="session")
def phone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    yield from start(tmp_path_factory.mktemp("phone"), 400, 900, phone=True)


def caption(text: str, p: float = 0.5, map: list[float] | None = None) -> Caption:
    pieces = NLTK.pieces(text.split(" "))
    words = [Word(piece.lstrip(), p, map, glued=piece[:1] != " ") for piece in pieces]
    return Caption(words, end=0.9, grid=(2, 2) if map else None)


def entry(path: Path, texts: list[str], ciders: list[float], references: tuple[str, ...] = ("a ref",)) -> Entry:
    told = [Prediction([caption(text)], {"cider": c}) for text, c in zip(texts, ciders, strict=True)]
    return Entry(path, references, told)


@pytest.fixture
def picture(tmp_path: Path) -> Callable[..., Path]:
    """Draws a picture: left half dark, right half light."""

    def draw(name: str, width: int = 60, height: int = 40) -> Path:
        image = Image.new("RGB", (width, height), (40, 60, 90))
        image.paste((230, 220, 200), (width // 2, 0, width, height))
        image.save(tmp_path / name, format="JPEG")
        return tmp_path / name

    return draw


def page_of(entries: list[Entry], count: int = 1, **fields: Any) -> Page:
    names = [(f"system{i}", f"runs/{i} · greedy") for i in range(count)]
    figures = [["CIDEr", *(f"0.{i}" for i in range(count))]]
    content: dict[str, Any] = {
        "title": "T",
        "systems": names,
        "figures": figures,
        "subject": f"{len(entries)} pictures",
        **fields,
    }
    return Page(entries=entries, **content)
