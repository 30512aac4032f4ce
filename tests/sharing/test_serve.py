"""`predict.py RUN --serve`: what is answered, and to whom; limits; hostile uploads."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from tests.conftest import REPOSITORY, wait_until
from tests.data.test_bad_pictures import CONTENTS
from tests.sharing.conftest import ask, options, serving
from tests.sharing.naughty import naughty

import showtell
from showtell.config import ConfigError, DecodingConfig
from showtell.data.images import PictureError
from showtell.prediction.pictures import Look
from showtell.sharing import server as module
from showtell.sharing.readers import Reader, read_picture


def picture(color: str, size: tuple[int, int] = (90, 60)) -> bytes:
    buffer = BytesIO()
    Image.new("RGB", size, color).save(buffer, "PNG")
    return buffer.getvalue()


def line(content: bytes) -> str:
    """The one line of a refusal."""
    assert content.count(b"\n") == 1
    (pair,) = json.loads(content).items()
    assert pair[0] == "error" and "\n" not in pair[1]
    return str(pair[1])


def test_captions_are_those_of_the_captioner(server, shapes_run):
    status, headers, content = ask(server, body=picture("red"))
    assert (status, headers["Content-Type"]) == (200, "application/json")
    found = json.loads(content)
    decoding = DecodingConfig(method="beam", beam_size=3, num_captions=2)
    captioner = showtell.load(shapes_run, "cpu")
    (expected,) = captioner.caption(picture("red"), decoding)
    assert [one["text"] for one in found["captions"]] == list(expected.captions)
    for rank, (one, hypothesis) in enumerate(zip(found["captions"], expected.hypotheses, strict=True)):
        assert one["logprob"] == pytest.approx(hypothesis.log_prob, abs=1e-5)
        maps = captioner.look(expected, rank)
        assert maps is not None and len(one["words"]) == len(maps) and maps[0].shape == tuple(found["grid"])
        for word, weights in zip(one["words"], maps, strict=True):
            assert 0 < word["p"] <= 1 and word["map"] == pytest.approx(weights.flatten().tolist(), abs=1e-4)
    assert found["view"] == [0, 0, 1, 1]


def test_captions_and_maps_share_the_features(server, monkeypatch):
    captioner, encoded = server.desk._captioner, []
    encoder = captioner.encoder
    monkeypatch.setattr(captioner, "encoder", lambda pixels: encoded.append(len(pixels)) or encoder(pixels))
    assert "grid" in json.loads(ask(server, body=picture("red"))[2])
    assert encoded == [1]


def test_several_models_and_views_are_served_as_one(tiny_run, tiny_pack):
    with serving(tiny_run, tiny_pack, "--views", 2) as running:
        status, _, content = ask(running, body=picture("blue"))
    found = json.loads(content)
    assert status == 200 and found["captions"][0]["text"] and "grid" not in found


def start(*words: object) -> tuple[subprocess.Popen[str], str]:
    """The real command, and its address once it listens."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONWARNINGS": "error"}
    command = [sys.executable, "predict.py", *map(str, words), "--serve", "0"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, cwd=REPOSITORY
    )
    assert process.stdout is not None
    return process, process.stdout.readline().split()[0]


def peak(pid: int) -> int:
    """The most memory that a process and those below it ever had, in kB."""
    text = Path(f"/proc/{pid}/status").read_text()
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(text.partition("VmHWM:")[2].split()[0]) + sum(peak(int(child)) for child in children)


def hundred_uploads() -> list[tuple[bytes, bool]]:
    """60 pictures and 40 hostile files, mixed; and whether each is good."""
    good = [picture(color, size) for color in ("red", "green", "blue") for size in ((200, 300), (900, 700))] * 10
    bad = [content for content, _ in (*CONTENTS.values(), *CONTENTS.values()) if content][:40]
    uploads = [(upload, True) for upload in good]
    for place, upload in enumerate(bad):
        uploads.insert(place * 2, (upload, False))
    return uploads


def all_at_once(url: str) -> None:
    """Sends them, and looks at the answers: 60 captions, 40 lines, each where it belongs."""
    uploads = hundred_uploads()
    with ThreadPoolExecutor(len(uploads)) as pool:
        answers = list(pool.map(lambda upload: send(url, upload[0]), uploads))
    for answer, (_, is_good) in zip(answers, uploads, strict=True):
        assert json.loads(answer)["captions"] if is_good else line(answer).startswith("the upload: ")


def test_a_hundred_uploads_at_once(server):
    all_at_once(server.url)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_a_hundred_uploads_take_little_memory(shapes_run):
    """Of the real command; which Ctrl-C ends by one line."""
    process, url = start(shapes_run)
    try:
        send(url, picture("red"))
        before = peak(process.pid)
        all_at_once(url)
        grown = peak(process.pid) - before
    finally:
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "stopped\n")
    assert grown < 300_000


def send(url: str, upload: bytes) -> bytes:
    try:
        with urllib.request.urlopen(urllib.request.Request(f"{url}/caption", upload), timeout=120) as answer:
            return bytes(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return bytes(error.read())


@pytest.mark.parametrize("name", [name for name, (content, _) in CONTENTS.items() if content][::4])
def test_a_hostile_upload_is_one_line(server, name):
    status, _, content = ask(server, body=CONTENTS[name][0])
    assert status == 422 and CONTENTS[name][1] in line(content)


@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd",
        "//etc/passwd",
        "/page.js/..",
        "/%2e%2e/predict.py",
        "/..%5cx",
        "/server.py",
        "/caption",
        "/\0",
    ],
)
def test_only_its_files_are_served(server, path):
    connection = socket.create_connection(("127.0.0.1", server.port))
    with connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost:{server.port}\r\n\r\n".encode())
        head, _, content = b"".join(iter(lambda: connection.recv(1 << 16), b"")).partition(b"\r\n\r\n")
    assert head.startswith((b"HTTP/1.1 404", b"HTTP/1.1 400")) and line(content)


def test_the_page_lets_no_other_page_in(server):
    status, headers, content = ask(server, "/")
    assert status == 200 and b"<script" in content and b"{{" not in content
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"] and headers["X-Content-Type-Options"]
    assert "Access-Control-Allow-Origin" not in headers
    assert ask(server, "/", method="HEAD")[2] == b""


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (421, {"Host": "evil.example"}),
        (421, {"Host": "127.0.0.1.evil.example:80"}),
        (421, {"Host": "192.168.0.1"}),
        (421, {"Host": "localhost.evil.example"}),
        (403, {"Origin": "http://evil.example"}),
        (403, {"Origin": "null"}),
        (403, {"Origin": "http://localhost:1"}),
        (403, {"Sec_Fetch_Site": "cross-site"}),
        (403, {"Sec_Fetch_Site": "same-site"}),
        (200, {"Host": "localhost", "Origin": "http://localhost"}),
        (200, {"Host": "[::1]:7"}),
    ],
)
def test_other_sites_are_refused(server, status, headers):
    """By the name that they gave this address, and as the origin of the question."""
    found, _, content = ask(server, body=picture("red"), **headers)
    assert found == status
    assert status == 200 or server.url in line(content)


@pytest.mark.parametrize(
    ("status", "head"),
    [
        (411, "POST /caption HTTP/1.1"),
        (411, "POST /caption HTTP/1.1\r\nTransfer-Encoding: chunked"),
        (411, "POST /caption HTTP/1.1\r\nContent-Length: -5"),
        (411, "POST /caption HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6"),
        (413, "POST /caption HTTP/1.1\r\nContent-Length: 99999999999"),
        (404, "POST /elsewhere HTTP/1.1\r\nContent-Length: 5"),
        (501, "PUT /caption HTTP/1.1\r\nContent-Length: 5"),
        (400, "nonsense"),
        (431, "GET / HTTP/1.1\r\n" + "\r\n".join(f"X-{i}: 1" for i in range(200))),
        (414, "GET /" + "x" * 70_000 + " HTTP/1.1"),
    ],
)
def test_what_is_no_proper_request_is_one_line(server, status, head):
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(f"{head}\r\nHost: localhost\r\n\r\n".encode())
        connection.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: connection.recv(1 << 16), b""))
    head, _, content = answer.partition(b"\r\n\r\n")
    assert (head.split()[1] if head.startswith(b"HTTP") else b"400") == str(status).encode() and line(content or head)


def test_who_does_not_send_on_is_told_and_left(server, monkeypatch):
    monkeypatch.setattr(module, "SECONDS_TO_ARRIVE", 0.3)
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(b"POST /caption HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n\r\nabc")
        answer = b"".join(iter(lambda: connection.recv(1 << 16), b""))
    assert b" 408 " in answer and "only 3 of 50 bytes came within 0.3 s" in line(answer.partition(b"\r\n\r\n")[2])
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(b"POST /capt")
        assert line(b"".join(iter(lambda: connection.recv(1 << 16), b"")))  # and then hung up
    wait_until(lambda: not server.deadlines)


def test_who_hangs_up_before_a_refusal_is_no_error(server):
    handler = object.__new__(module.Handler)
    handler.server, handler.rfile = server, BytesIO()
    with socket.socket() as handler.connection:  # of nobody
        handler._hear_out()
    assert not server.deadlines


def test_too_many_are_turned_away_by_a_line(server, monkeypatch):
    monkeypatch.setattr(server, "_places", threading.Semaphore(0))
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        answer = b"".join(iter(lambda: connection.recv(1 << 16), b""))
    assert b" 503 " in answer and "too many pictures" in line(answer.partition(b"\r\n\r\n")[2])


def test_uploads_wait_for_the_bytes_of_others():
    budget, order = module.Budget(10), []

    def second() -> None:
        with budget.taken(6):
            order.append("second")

    with budget.taken(5):
        thread = threading.Thread(target=second)
        thread.start()
        with budget.taken(5):
            order.append("first")
        thread.join(0.1)
        assert thread.is_alive()
    thread.join()
    assert order == ["first", "second"]


def test_a_model_that_fails_costs_one_answer(server, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        patch.setattr(server.desk._captioner, "start", lambda _: 1 / 0)
        status, _, content = ask(server, body=picture("red"))
    assert status == 500 and "the model failed" in line(content) and "ZeroDivisionError" in capsys.readouterr().err
    assert ask(server, body=picture("red"))[0] == 200


def test_a_decoder_that_hangs_or_dies_is_started_anew(server):
    looks = [Look(server.readers._all[0].transform)]
    reader = Reader(looks, 0.5, naughty)
    try:
        reader.wait_until_ready()
        with pytest.raises(PictureError, match=r"the upload: takes more than 0\.5 s to decode"):
            reader(b"hang")
        with pytest.raises(PictureError, match="the upload: ends the decoder"):
            reader(b"die")
        size, (inputs,) = reader(picture("red"))
    finally:
        reader.close()
    assert size == (90, 60) and inputs.equal(read_picture(picture("red"), looks).inputs[0])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--serve", "x"], "--serve x: must be a whole number"),
        (["--serve", "70000"], "--serve 70000: a port is a number from 0 to 65535"),
        (["--serve", "--host", "my host"], "--host my host: give an address"),
        (["--serve", "--host", "203.0.113.9"], "give an address of this machine to --host"),
        (["--host", "0.0.0.0"], "--host belongs to --serve"),
        (["--serve", "--output", "x.json"], "--output has no effect with --serve"),
        (["--serve", "--batch-size", "0"], "--batch-size 0 is out of range"),
        (["dog.jpg", "--serve"], "dog.jpg: with --serve pictures are dropped on its page"),
        (["--serve", "--pack", "x.zip"], "--pack has no effect with --serve"),
    ],
)
def test_what_makes_no_sense_is_one_line(call, tiny_run, words, message):
    with pytest.raises(ConfigError) as caught:
        call(tiny_run, *words)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_port_that_is_taken_is_one_line(call, tiny_run, server):
    with pytest.raises(ConfigError, match="another program has this port; choose another one, or 0"):
        call(tiny_run, "--serve", server.port)


def test_port_8000_and_this_machine_alone_are_usual():
    found = options("RUN", "--serve")
    assert (found.serve, found.host) == (8000, "127.0.0.1")
