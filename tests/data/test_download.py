"""Downloads, from mirrors that are servers on this machine."""

import dataclasses
import hashlib
import http.server
import os
import socket
import threading
import time

import numpy as np
import pooch
import pytest

from tinyvit.data import download as module
from tinyvit.data import load_data
from tinyvit.data.download import download
from tinyvit.data.sources import FILES, SOURCES
from tinyvit.errors import DataError

CONTENT = b"the very bytes" * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def mirror(monkeypatch):
    """Start a server on 127.0.0.1 that serves a dictionary of files, or a status; returns its URL."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    servers = []

    def start(answer):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                visits.append(self.path)
                body = b"" if isinstance(answer, int) else answer.get(self.path.lstrip("/"))
                self.send_response(answer if isinstance(answer, int) else 404 if body is None else 200)
                self.send_header("Content-Length", str(len(body or b"")))
                self.end_headers()
                self.wfile.write(body or b"")

            def log_message(self, *arguments):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/"

    visits = start.visits = []
    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def closed_port():
    """A URL at which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/"


def host(url):
    return url.removeprefix("http://").rstrip("/")


def test_the_second_mirror_serves_where_the_first_refuses(mirror, tmp_path, capfd, monkeypatch):
    refusing, serving = mirror(403), mirror({"file": CONTENT})
    logger, said = pooch.get_logger(), []
    logger.setLevel("INFO")  # as pooch leaves it
    monkeypatch.setattr(logger, "handle", said.append)
    path = download("file", [refusing, serving], SHA256, tmp_path / "new" / "folder")
    assert path == tmp_path / "new" / "folder" / "file" and path.read_bytes() == CONTENT
    assert mirror.visits == ["/file", "/file"]
    assert capfd.readouterr().out == ""  # the bar is progress: standard error
    assert said == []


def test_what_is_there_is_not_fetched_again_and_what_is_damaged_is(mirror, tmp_path):
    serving = mirror({"file": CONTENT})
    (tmp_path / "file").write_bytes(CONTENT)
    download("file", [serving], SHA256, tmp_path)
    assert mirror.visits == []
    (tmp_path / "file").write_bytes(CONTENT[:-1])
    assert download("file", [serving], SHA256, tmp_path).read_bytes() == CONTENT
    assert mirror.visits == ["/file"]


def test_another_kind_of_checksum(mirror, tmp_path):
    md5 = hashlib.md5(CONTENT).hexdigest()
    assert download("file", [mirror({"file": CONTENT})], f"md5:{md5}", tmp_path).read_bytes() == CONTENT
    with pytest.raises(DataError, match="wrong checksum"):
        download("other", [mirror({"other": CONTENT + b"!"})], f"md5:{md5}", tmp_path)


def test_an_altered_file_is_not_kept(mirror, tmp_path):
    altered, serving = mirror({"file": b"<html>log in first</html>"}), mirror({"file": CONTENT})
    assert download("file", [altered, serving], SHA256, tmp_path).read_bytes() == CONTENT
    with pytest.raises(DataError) as caught:
        download("other", [mirror({"other": b"<html>"})], SHA256, tmp_path)
    assert str(caught.value).endswith(": wrong checksum)")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]  # nothing in part, nothing unchecked


def test_every_mirror_fails_in_its_own_way(mirror, tmp_path):
    mirrors = [mirror(403), mirror({}), mirror({"file": b"no"}), closed_port()]
    with pytest.raises(DataError) as caught:
        download("file", mirrors, SHA256, tmp_path)
    a, b, c, d = map(host, mirrors)
    reasons = f"{a}: HTTP 403; {b}: HTTP 404; {c}: wrong checksum; {d}: ConnectionError"
    assert str(caught.value) == f"cannot download file ({reasons})"
    assert not list(tmp_path.iterdir())


def test_a_mirror_that_never_answers_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "TIMEOUT", 0.1)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        start = time.monotonic()
        with pytest.raises(DataError) as caught:
            download("file", [url], SHA256, tmp_path)
        assert time.monotonic() - start < 1.5
    assert str(caught.value) == f"cannot download file ({host(url)}: ReadTimeout)"


def test_a_folder_that_cannot_be_made(mirror, tmp_path):
    (tmp_path / "taken").write_bytes(b"")
    with pytest.raises(DataError) as caught:
        download("file", [mirror({"file": CONTENT})], SHA256, tmp_path / "taken" / "folder")
    assert str(caught.value) == f"cannot write to {tmp_path / 'taken' / 'folder'}: Not a directory"
    assert mirror.visits == []


@pytest.fixture
def published(mirror, tmp_path, write_set, monkeypatch, no_sets):
    """A small set on a local mirror, entered as Fashion-MNIST; returns its arrays and the files served."""
    arrays = write_set(tmp_path / "server")
    files = {f"{file}.gz": (tmp_path / "server" / f"{file}.gz").read_bytes() for file in FILES}
    sums = tuple(hashlib.sha256(data).hexdigest() for data in files.values())
    source = dataclasses.replace(SOURCES["fashion-mnist"], sha256=sums, mirrors=(mirror(403), mirror(files)))
    monkeypatch.setitem(SOURCES, "fashion-mnist", source)
    return arrays, files


def test_a_set_is_downloaded_once(published, mirror, no_sets):
    (images, labels, _, _), files = published
    for _ in range(2):
        (x, y), _ = load_data("fashion-mnist")
        np.testing.assert_array_equal(np.rint((x[..., 0] + 1) * 127.5), images)
        np.testing.assert_array_equal(y, labels)
        assert len(mirror.visits) == 8  # four files, from two mirrors each, the first time
    assert sorted(path.name for path in (no_sets / "fashion-mnist").iterdir()) == sorted(files)


def test_a_set_that_no_mirror_serves(published, no_sets):
    _, files = published
    del files[f"{FILES[2]}.gz"]
    with pytest.raises(DataError) as caught:
        load_data("fashion-mnist")
    refusing, lacking = map(host, SOURCES["fashion-mnist"].mirrors)
    assert str(caught.value) == (
        f"Fashion-MNIST was not found on this machine: cannot download {FILES[2]}.gz "
        f"({refusing}: HTTP 403; {lacking}: HTTP 404); put its four .gz files into {no_sets}/fashion-mnist by hand, "
        "or name a folder that holds its four .gz files with --data-dir or $TINYVIT_DATA"
    )


def test_a_cache_that_cannot_be_written(published, mirror, no_sets, tmp_path, monkeypatch):
    (tmp_path / "cache").write_bytes(b"")
    monkeypatch.setenv("TINYVIT_DATA", "/in/vain")
    with pytest.raises(DataError) as caught:
        load_data("fashion-mnist")
    assert str(caught.value) == (
        "Fashion-MNIST was not found on this machine, nor in $TINYVIT_DATA, which is /in/vain: "
        f"cannot write to {no_sets}/fashion-mnist: Not a directory; "
        "name a folder that holds its four .gz files with --data-dir or $TINYVIT_DATA"
    )
    assert mirror.visits == []


def test_what_a_killed_download_left_is_removed(mirror, tmp_path):
    names = ["tmpabcd_123", "tmpabcd_124", "tmpnotes.txt", "tmp12345678"]
    for name in names:
        (tmp_path / name).write_bytes(b"half")
        os.utime(tmp_path / name, (time.time() - 3600,) * 2)
    os.utime(tmp_path / names[1])  # another process writes to it
    (tmp_path / names[3]).unlink()
    (tmp_path / names[3]).mkdir()
    download("file", [mirror({"file": CONTENT})], SHA256, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["file", *names[1:]])


@pytest.mark.parametrize("damage", [lambda data: data[:-9], lambda data: b"<html>", lambda data: b""])
def test_a_cached_file_that_was_damaged_is_fetched_again(published, mirror, no_sets, damage):
    load_data("fashion-mnist")
    before, path = len(mirror.visits), no_sets / "fashion-mnist" / f"{FILES[2]}.gz"
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    load_data("fashion-mnist")
    assert path.read_bytes() == whole
    assert set(mirror.visits[before:]) == {f"/{FILES[2]}.gz"}


def test_where_it_cannot_be_fetched_the_damage_is_said(published, no_sets):
    _, files = published
    load_data("fashion-mnist")
    files.clear()
    (no_sets / "fashion-mnist" / f"{FILES[2]}.gz").write_bytes(b"<html>")
    with pytest.raises(DataError, match=f"{FILES[2]}.gz: not an idx file"):
        load_data("fashion-mnist")


def test_a_set_of_ones_own_is_never_replaced(published, no_sets, mirror, write_set):
    write_set(no_sets / "fashion-mnist", seed=7)
    path = no_sets / "fashion-mnist" / f"{FILES[2]}.gz"
    path.write_bytes(b"<html>")
    with pytest.raises(DataError, match="not an idx file"):
        load_data("fashion-mnist")
    assert path.read_bytes() == b"<html>" and mirror.visits == []
