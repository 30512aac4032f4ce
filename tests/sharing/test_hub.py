"""`--push USER/NAME`, against a hub of our own that speaks the real one's HTTP."""

import base64
import hashlib
import http.server
import json
import zipfile
from typing import Any

import pytest
from tests.loopback import serving

from showtell.errors import UserError

# huggingface_hub's own way with httpx
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


class Hub(http.server.BaseHTTPRequestHandler):
    """Keeps what is pushed: small files in the commit itself, zip files by git-lfs."""

    files: dict[str, bytes]
    asked: list[tuple[str, str]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.asked.append((self.path, self.headers["Authorization"]))
        address = f"http://{self.headers['Host']}"
        if self.headers["Authorization"] != "Bearer good":
            self.answer({"error": "Invalid username or password."}, 401)
        elif self.path == "/api/repos/create":
            assert json.loads(body)["visibility"] == "private"
            self.answer({"url": f"{address}/me/captioner", "name": "me/captioner"})
        elif self.path == "/api/validate-yaml":
            self.answer({"errors": [], "warnings": []})
        elif "/preupload/" in self.path:
            paths = [one["path"] for one in json.loads(body)["files"]]
            modes = [("lfs" if path.endswith(".zip") else "regular") for path in paths]
            files = [{"path": p, "uploadMode": m, "shouldIgnore": False} for p, m in zip(paths, modes, strict=True)]
            self.answer({"files": files})
        elif self.path.endswith("/info/lfs/objects/batch"):
            objects = json.loads(body)["objects"]
            told = [{**one, "actions": {"upload": {"href": f"{address}/lfs/{one['oid']}"}}} for one in objects]
            self.answer({"transfer": "basic", "objects": told})
        else:
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    self.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
                elif line["key"] == "lfsFile":
                    self.files[line["value"]["path"]] = self.files.pop(line["value"]["oid"])
            told = {"commitUrl": f"{address}/me/captioner/commit/{'0' * 40}", "commitOid": "0" * 40}
            self.answer({**told, "success": True})

    def do_PUT(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        self.files[hashlib.sha256(content).hexdigest()] = content
        self.answer({})

    def answer(self, content: Any, status: int = 200) -> None:
        text = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        """Tests are quiet."""


@pytest.fixture
def hub(monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setenv("HF_TOKEN", "good")
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
    monkeypatch.setattr(Hub, "files", {}, raising=False)
    monkeypatch.setattr(Hub, "asked", [], raising=False)
    with serving(Hub) as address:
        monkeypatch.setattr(constants, "ENDPOINT", address)
        yield Hub


def test_a_pack_its_card_and_its_examples_are_pushed(hub, call, shapes_pack):
    said = call(shapes_pack, "--push", "me/captioner")
    assert said.status == 0 and "pushed: http://127.0.0.1:" in said.out and "private" in said.out
    with zipfile.ZipFile(shapes_pack) as archive:
        card = archive.read("README.md")
    assert hub.files.keys() == {"captioner.zip", "README.md", *(f"examples/{i}.jpg" for i in range(1, 5))}
    assert hub.files["captioner.zip"] == shapes_pack.read_bytes() and hub.files["README.md"] == card


def test_a_run_is_packed_and_pushed(hub, call, tiny_run, tmp_path):
    call(tiny_run, "--pack", tmp_path / "x.zip", "--push", "me/captioner")
    assert hub.files["captioner.zip"] == (tmp_path / "x.zip").read_bytes()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["PACK", "--push", "captioner"], "--push captioner: name a repository as USER/NAME"),
        (["RUN", "--push", "me/x"], "--push me/x: a pack is pushed; add --pack FILE.zip"),
        (["PACK", "--push", "me/x"], "does not let you write there; log in by `hf auth login`"),
    ],
)
def test_refusals_are_one_line(hub, call, tiny_run, shapes_pack, monkeypatch, words, message):
    monkeypatch.setenv("HF_TOKEN", "bad")
    given = {"RUN": tiny_run, "PACK": shapes_pack}
    with pytest.raises(UserError) as caught:
        call(*(given.get(word, word) for word in words))
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_hub_that_is_not_there_is_one_line(call, shapes_pack, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UserError, match="the hub did not take it"):
        call(shapes_pack, "--push", "me/x")
