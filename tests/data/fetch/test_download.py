"""Whatever a server does, the file is right or there is one clear line, and nothing else is left."""

import hashlib
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from tests.data.fetch.conftest import Handler, Server

from showtell.data.fetch.download import ATTEMPTS, FetchError, Remote, download
from showtell.files import size


def remote(server: Server, **changes) -> Remote:
    content = server.files["data.zip"]
    given = {"url": f"{server.url}/data.zip", "num_bytes": len(content), "checksum": f"md5:{md5(content)}"}
    return Remote(**{**given, **changes})


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def fetch(server: Server, file: Path, **changes) -> list[str]:
    """Downloads without waiting between requests; the notes."""
    notes: list[str] = []
    download(remote(server, **changes), file, note=notes.append, wait=lambda seconds: None, timeout=0.2)
    return notes


def is_whole(server: Server, file: Path) -> bool:
    return file.read_bytes() == server.files["data.zip"] and list(file.parent.iterdir()) == [file]


def test_a_file_comes_whole(server, tmp_path):
    heard: list[int] = []
    download(remote(server), tmp_path / "new" / "data.zip", heard.append)
    assert is_whole(server, tmp_path / "new" / "data.zip")
    assert heard[0] == 0 and heard[-1] == 200_000 and heard == sorted(heard)


@pytest.mark.parametrize("seed", range(40))
def test_forty_interrupted_downloads(server, tmp_path, seed):
    """Each is cut, stalled or refused several times at random places, half of them without ranges at times."""
    rng = random.Random(seed)
    trouble = rng.randint(1, 8)

    def behave(handler: Handler) -> None:
        if len(server.requests) > trouble:
            handler.honest(ranges=seed % 4 != 3)
        elif (kind := rng.choice(["cut", "cut", "cut", "stall", "busy", "bare"])) == "busy":
            handler.head(503, 0)
        else:
            start = handler.start if seed % 2 else 0
            handler.honest(until=rng.randint(start, len(handler.content) - 1), ranges=bool(seed % 2))
            if kind == "stall":
                handler.stall()

    server.behaviour = behave
    file = tmp_path / "data.zip"
    try:
        fetch(server, file)
    except FetchError as error:  # six in a row: the same command goes on
        assert str(ATTEMPTS) in str(error)
        assert {one.name for one in tmp_path.iterdir()} <= {"data.zip.part"}
        server.behaviour = Handler.honest
        fetch(server, file)
    assert is_whole(server, file)


def test_what_is_there_is_not_asked_for_again(server, tmp_path):
    server.behaviour = lambda handler: handler.honest(until=150_000 if len(server.requests) == 1 else None)
    notes = fetch(server, tmp_path / "data.zip")
    assert server.requests == ["", "bytes=150000-"]
    assert notes == ["the connection was cut at 150 kB; going on"]


def test_a_killed_download_goes_on_behind_its_last_byte(server, tmp_path):
    sent = threading.Event()

    def behave(handler: Handler) -> None:
        handler.honest(until=100_000)
        sent.set()
        handler.stall()

    server.behaviour = behave
    file = tmp_path / "data.zip"
    wanted = remote(server)
    code = (
        "from pathlib import Path; from showtell.data.fetch.download import *; "
        f"download(Remote({wanted.url!r}, {wanted.num_bytes}, {wanted.checksum!r}), Path({str(file)!r}), print)"
    )
    client = subprocess.Popen([sys.executable, "-uc", code], stdout=subprocess.PIPE, text=True)
    while int(client.stdout.readline()) < 100_000:
        pass
    client.send_signal(signal.SIGKILL)
    client.wait()
    client.stdout.close()
    server.behaviour = Handler.honest
    fetch(server, file)
    assert is_whole(server, file) and server.requests == ["", "bytes=100000-"]


def test_a_part_of_another_version_is_fetched_anew(server, tmp_path):
    (tmp_path / "data.zip.part").write_bytes(b"older" * 1000)
    notes = fetch(server, tmp_path / "data.zip")
    assert is_whole(server, tmp_path / "data.zip")
    assert notes == ["the pieces do not fit together; from the beginning"]


LIES = {
    "another file": (lambda h: (h.head(200, 5), h.send(b"hello")), "5 bytes that are not this file"),
    "a longer file": (lambda h: (h.head(200, None), h.send(h.content * 20)), "more than the 200 kB expected"),
    "a page for everything": (lambda h: (h.head(200, 13), h.send(b"<html></html>")), "perhaps a proxy's page"),
    "too short a length": (lambda h: (h.head(200, 1000), h.send(h.content)), "1 kB that are not this file"),
    "too great a length": (lambda h: (h.head(200, 999_999), h.send(h.content)), f"cut, {ATTEMPTS} times in a row"),
    "nothing at all": (lambda h: None, "the connection was cut"),
    "no ranges, and cuts": (lambda h: h.honest(until=9_000, ranges=False), f"cut, {ATTEMPTS} times in a row"),
    "forbidden": (lambda h: h.head(403, 0), "HTTP 403 Forbidden"),
    "gone": (lambda h: h.head(404, 0), "HTTP 404 Not Found"),
    "to itself": (lambda h: h.head(302, 0, Location="/data.zip"), "HTTP 302 The HTTP server returned a redirect"),
    "always busy": (lambda h: h.head(503, 0), "HTTP 503"),
    "no number": (lambda h: (h.head(200, None, Content_Length="many"), h.send(b"x" * 100)), "100 bytes that are not"),
    "broken chunks": (
        lambda h: (h.head(200, None, Transfer_Encoding="chunked"), h.send(b"zz\r\nno chunk")),
        "the connection was cut",
    ),
    "silence": (Handler.stall, "does not answer"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lying_server_is_one_line_and_leaves_nothing(server, tmp_path, lie):
    server.behaviour, told = LIES[lie]
    with pytest.raises(FetchError) as error:
        fetch(server, tmp_path / "data.zip")
    line = str(error.value)
    assert told in line and line.startswith(server.url) and "\n" not in line
    assert "--from FOLDER" in line or "goes on from" in line or "is there a network" in line
    kept = [one.stat().st_size for one in tmp_path.iterdir()]
    assert not kept or (len(kept) == 1 and "goes on from" in line and size(kept[0]) in line)


@pytest.mark.parametrize("wrong", ["bytes 0-199999/200000", "bytes 150001-199999/200000", "nonsense", ""])
def test_a_wrong_range_is_never_appended(server, tmp_path, wrong):
    def behave(handler: Handler) -> None:
        if not handler.start:
            handler.honest(until=150_000 if len(server.requests) == 1 else None)
            return
        handler.head(206, 50_000, Content_Range=wrong)
        handler.send(handler.content[-50_000:])

    server.behaviour = behave
    fetch(server, tmp_path / "data.zip")
    assert is_whole(server, tmp_path / "data.zip")


def test_an_early_end_of_ranges_is_not_believed(server, tmp_path):
    def behave(handler: Handler) -> None:
        if handler.start:
            handler.head(416, 0)
        else:
            handler.honest(until=150_000 if len(server.requests) == 1 else None)

    server.behaviour = behave
    fetch(server, tmp_path / "data.zip")
    assert is_whole(server, tmp_path / "data.zip")


def test_no_server_is_one_line_at_once(tmp_path):
    with pytest.raises(FetchError, match=r"refused; is there a network\? If not, get it elsewhere"):
        download(Remote("http://127.0.0.1:9/data.zip", 10, "md5:0"), tmp_path / "data.zip", wait=lambda _: 1 / 0)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_one_line(server, tmp_path):
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(OSError, match="cannot write"):
        fetch(server, tmp_path / "taken" / "data.zip")
