"""lib.datasets: the data are those of their source, a readout is the least-squares readout."""

import gzip
import hashlib
import os
import struct
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pooch
import pytest
import scipy.ndimage
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits, load_sample_image
from strategies import condition, populations, seeds

from lib import datasets
from lib.datasets import digits, image_patches, mnist, readout


def test_digits_are_those_of_scikit_learn_in_unit_range():
    bunch, raw = digits(), load_digits()
    assert bunch.data.shape == (1797, 64) and bunch.data.dtype == np.float64
    np.testing.assert_array_equal(16 * bunch.data, raw.data)
    assert bunch.data.min() == 0 and bunch.data.max() == 1
    np.testing.assert_array_equal(bunch.target, raw.target)
    np.testing.assert_array_equal(16 * bunch["images"], raw.images)
    assert np.shares_memory(bunch.images, bunch.data)
    # Nobody's changes reach the next caller.
    bunch.data[:] = 0
    assert digits().data.max() == 1


def grey(image):
    """Return the luminance of a photograph, in [0, 1]."""
    red, green, blue = np.moveaxis(load_sample_image(f"{image}.jpg") / 255, -1, 0)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@given(st.sampled_from(("china", "flower")), st.integers(2, 15), st.integers(15, 500), st.data())
@example("china", 4, 4, None)  # the default
@example("flower", 213, 300, None)  # a single patch, as high as the photograph
@settings(max_examples=20)
def test_patches_are_the_pixels_of_the_photograph(image, margin, stride, data):
    size = 2 * margin + 1
    hole = 3 if data is None else 2 * data.draw(st.integers(1, margin - 1)) + 1
    bunch, photo = image_patches(image, size=size, hole=hole, stride=stride), grey(image)
    tops, lefts = (range(0, length - size + 1, stride) for length in photo.shape)
    corners = [(top, left) for top in tops for left in lefts]
    row, column = np.indices((size, size)) - margin
    visible = np.maximum(abs(row), abs(column)) > hole // 2

    assert bunch.patches.shape == (len(corners), size, size)
    assert bunch.data.shape == (len(corners), size**2 - hole**2)
    assert bunch.mask.dtype == bool
    assert bunch.patches.flags.c_contiguous and bunch.patches.flags.writeable
    np.testing.assert_array_equal(bunch.mask, visible)
    for patch, x, (top, left) in zip(bunch.patches, bunch.data, corners, strict=True):
        window = photo[top : top + size, left : left + size]
        assert abs(patch - window).max() < 1e-14
        assert (x == patch[visible]).all()

    # Every task is a filter over the whole photograph, read off where the patches have their centre
    mean = scipy.ndimage.uniform_filter(photo, hole)
    edges = [scipy.ndimage.sobel(photo, axis) for axis in (0, 1)]
    variance = scipy.ndimage.uniform_filter(photo**2, hole) - mean**2
    filtered = {
        "centre": photo,
        "mean": mean,
        "horizontal edge": edges[0],
        "vertical edge": edges[1],
        "edge strength": np.sqrt(edges[0] ** 2 + edges[1] ** 2),
        "contrast": np.sqrt(np.maximum(variance, 0)),
    }
    assert bunch.target_names == list(filtered)
    centres = tuple(np.transpose(corners) + margin)
    for name, values, expected in zip(filtered, bunch.target.T, filtered.values(), strict=True):
        # The variance is a difference of nearly equal numbers, known to 1e-13.
        atol = 1e-6 if name == "contrast" else 1e-11
        np.testing.assert_allclose(values, expected[centres], rtol=0, atol=atol, err_msg=name)


@pytest.mark.parametrize("image", ["china", "flower"])
def test_patches_are_deterministic_and_shared_with_nobody(image):
    first, second = image_patches(image), image_patches(image)
    assert first.data.shape == (16590, 72) and first.target.shape == (16590, 6)
    assert 0 <= first.data.min() < 0.1 and 0.8 < first.data.max() <= 1
    arrays = ("data", "target", "patches", "mask")
    for name in arrays:
        np.testing.assert_array_equal(first[name], second[name])
        assert first[name].flags.c_contiguous and first[name].flags.writeable
        assert not any(np.shares_memory(first[name], second[other]) for other in arrays)
        assert not any(np.shares_memory(first[name], first[o]) for o in arrays if o != name)
        first[name][:] = 0
    np.testing.assert_array_equal(image_patches(image).data, second.data)


def test_patches_of_china_are_the_default():
    np.testing.assert_array_equal(image_patches().data, image_patches("china").data)


@pytest.mark.parametrize(
    ("arguments", "argument", "error"),
    [
        ({"image": "cat"}, "image", ValueError),
        ({"image": 1}, "image", ValueError),
        ({"size": 3}, "size", ValueError),
        ({"size": 8}, "size", ValueError),
        ({"size": 429}, "size", ValueError),
        ({"size": 9.0}, "size", TypeError),
        ({"hole": 1}, "hole", ValueError),
        ({"hole": 4}, "hole", ValueError),
        ({"hole": 9}, "hole", ValueError),
        ({"hole": "3"}, "hole", TypeError),
        ({"stride": 0}, "stride", ValueError),
        ({"stride": 1.5}, "stride", TypeError),
    ],
)
def test_bad_patches_are_named(arguments, argument, error):
    with pytest.raises(error, match=rf"^{argument} must"):
        image_patches(**arguments)


# requests leaves the socket of a refused connection to the garbage collector.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in.*socket:pytest.PytestUnraisableExceptionWarning"
)
FILES = {
    "train": ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
    "test": ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
}


def idx(array):
    """Return the compressed idx file of an array of bytes."""
    head = struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return gzip.compress(head + array.tobytes())


class Mirror:
    """A server on this machine with a data set in the format of MNIST, but tiny."""

    def __init__(self, monkeypatch):
        rng = np.random.default_rng(0)
        self.monkeypatch, self.files, self.requests, self.cut = monkeypatch, {}, [], None
        self.images, self.labels = {}, {}
        for subset, n in (("train", 5), ("test", 3)):
            self.images[subset] = rng.integers(0, 256, (n, 28, 28), np.uint8)
            self.labels[subset] = rng.integers(0, 10, n, np.uint8)
            self.publish(FILES[subset][0], idx(self.images[subset]))
            self.publish(FILES[subset][1], idx(self.labels[subset]))
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                name = self.path.removeprefix("/mnist/")
                mirror.requests.append(name)
                if name not in mirror.files:
                    return self.send_error(404)
                self.send_response(200)
                self.send_header("Content-Length", str(len(mirror.files[name])))
                self.end_headers()
                self.wfile.write(mirror.files[name][: mirror.cut])

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/mnist/"
        self.thread = Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def publish(self, name, content):
        """Serve this as the content of a file, and have it expected."""
        self.files[name] = content
        sha256 = hashlib.sha256(content).hexdigest()
        self.monkeypatch.setitem(datasets.MNIST_SHA256, name.removesuffix(".gz"), sha256)

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def mirror(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    mirror = Mirror(monkeypatch)
    yield mirror
    mirror.close()


def check_mnist(bunch, mirror, subset="train"):
    """Check that these are the digits of the mirror."""
    n = len(mirror.images[subset])
    assert bunch.data.shape == (n, 784) and bunch.data.dtype == np.float64
    np.testing.assert_allclose(255 * bunch.images, mirror.images[subset], rtol=0, atol=1e-12)
    assert 0 <= bunch.data.min() < 0.01 and 0.99 < bunch.data.max() <= 1
    assert np.shares_memory(bunch.images, bunch.data) and bunch.data.flags.c_contiguous
    np.testing.assert_array_equal(bunch.target, mirror.labels[subset])
    assert bunch.target.dtype == int
    bunch.data[:] = bunch.target[:] = 0  # writable, and nobody else's


def test_the_expected_files_are_the_published_ones():
    assert list(datasets.MNIST_SHA256) == [n.removesuffix(".gz") for f in FILES.values() for n in f]
    # The SHA-256 sums that other libraries record, by their first digits.
    known = ["440fcabf73cc", "3552534a0a55", "8d422c7b0a1c", "f7ae60f92e00"]
    assert [value[:12] for value in datasets.MNIST_SHA256.values()] == known
    assert all(len(bytes.fromhex(value)) == 32 for value in datasets.MNIST_SHA256.values())


@pytest.mark.parametrize("subset", ["train", "test"])
def test_mnist_is_downloaded_once(subset, mirror, tmp_path):
    check_mnist(mnist(subset, folder=tmp_path / "new" / "folder", url=mirror.url), mirror, subset)
    assert mirror.requests == list(FILES[subset])
    again = mnist(subset, folder=str(tmp_path / "new" / "folder"), url=mirror.url)
    check_mnist(again, mirror, subset)
    assert len(mirror.requests) == 2
    mirror.close()
    check_mnist(mnist(subset, folder=tmp_path / "new" / "folder", url=mirror.url), mirror, subset)


def test_mnist_keeps_its_files_in_the_cache_of_the_user(mirror, tmp_path, monkeypatch):
    monkeypatch.setattr(pooch, "os_cache", lambda project: tmp_path / project)
    check_mnist(mnist(url=mirror.url.rstrip("/")), mirror)
    names = {path.name for path in (tmp_path / "finetuning-linear-teachers").iterdir()}
    assert names == set(FILES["train"])


def test_mnist_takes_the_files_that_are_there(mirror, tmp_path):
    for name in FILES["test"]:
        (tmp_path / name).write_bytes(mirror.files[name])
    check_mnist(mnist("test", folder=tmp_path, url=mirror.url), mirror, "test")
    assert mirror.requests == []


@pytest.mark.parametrize("failure", ["truncated", "another file", "not found", "refused"])
def test_a_failed_download_is_explained_and_leaves_nothing(failure, mirror, tmp_path):
    files, (name, _) = dict(mirror.files), FILES["train"]
    match failure:
        case "truncated":
            mirror.cut = 100
        case "another file":
            mirror.files[name] = idx(mirror.images["test"])
        case "not found":
            del mirror.files[name]
        case "refused":
            mirror.close()
    with pytest.raises(OSError) as caught:
        mnist(folder=tmp_path, url=mirror.url)
    message = str(caught.value)
    assert message.startswith(f"{mirror.url}{name} could not be downloaded; try again, or put ")
    assert f"{datasets.MNIST_SHA256[name[:-3]]} into {tmp_path} yourself. " in message
    assert list(tmp_path.iterdir()) == []
    if failure != "refused":
        mirror.files, mirror.cut = files, None
        check_mnist(mnist(folder=tmp_path, url=mirror.url), mirror)


def test_a_file_that_went_bad_is_downloaded_again(mirror, tmp_path):
    mnist(folder=tmp_path, url=mirror.url)
    labels = tmp_path / FILES["train"][1]
    labels.write_bytes(labels.read_bytes()[:-1])
    check_mnist(mnist(folder=tmp_path, url=mirror.url), mirror)
    assert mirror.requests == [*FILES["train"], labels.name]
    labels.write_bytes(b"")
    mirror.close()
    with pytest.raises(OSError, match=f"{labels.name} could not be downloaded"):
        mnist(folder=tmp_path, url=mirror.url)


@pytest.mark.parametrize(
    ("file", "head", "size", "message"),
    [
        (0, (0, 0, 8, 1, 5), 5, "must begin with 00000803"),  # labels for images
        (1, (0, 0, 8, 3, 5, 28, 28), 5 * 784, "must begin with 00000801"),
        (1, (0, 0, 9, 1, 5), 5, "must begin with 00000801"),  # signed bytes
        (1, (0, 0, 8, 1), 0, "must begin with 00000801 and 1 lengths"),
        (1, (), 0, "must begin with 00000801"),
        (0, (0, 0, 8, 3, 5, 28), 0, "must begin with 00000803 and 3 lengths"),
        (1, (0, 0, 8, 1, 0), 0, "images must be 0 of 28 × 28"),  # a whole file, of no labels
        (0, (0, 0, 8, 3, 5, 28, 28), 5 * 784 - 1, r"must hold \[5, 28, 28\] bytes .* got 3919"),
        (1, (0, 0, 8, 1, 5), 6, r"must hold \[5\] bytes .* got 6"),
        (1, (0, 0, 8, 1, 4), 4, "images must be 4 of 28 × 28"),
        (0, (0, 0, 8, 3, 5, 28, 27), 5 * 28 * 27, "images must be 5 of 28 × 28"),
    ],
)
def test_a_file_of_another_format_is_refused(file, head, size, message, mirror, tmp_path):
    head = struct.pack(f">4B{len(head) - 4}I", *head) if head else b""
    mirror.publish(FILES["train"][file], gzip.compress(head + bytes(size)))
    with pytest.raises(ValueError, match=message):
        mnist(folder=tmp_path, url=mirror.url)


DOWNLOAD = """
import sys
from lib import datasets
folder, url, *hashes = sys.argv[1:]
datasets.MNIST_SHA256 = dict(pair.split("=") for pair in hashes)
for _ in range(2):
    datasets.mnist(folder=folder, url=url)
    print("done", file=sys.stderr)
"""


@pytest.mark.parametrize("disable", ["", "1"])
def test_a_download_shows_a_bar_unless_told_not_to(disable, mirror, tmp_path):
    environment = {k: v for k, v in os.environ.items() if k != "TQDM_DISABLE"}
    hashes = [f"{name}={value}" for name, value in datasets.MNIST_SHA256.items()]
    run = subprocess.run(
        [sys.executable, "-c", DOWNLOAD, tmp_path, mirror.url, *hashes],
        cwd=Path(datasets.__file__).parents[1],
        env=environment | ({"TQDM_DISABLE": disable} if disable else {}),
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout == ""
    first, second, _ = run.stderr.split("done\n")
    assert second == ""  # nothing to download
    if disable:
        assert first == ""
    else:
        for name in FILES["train"]:  # out of how many bytes, or it would not move
            assert f"{name[:-3]}: " in first and f" 0/{len(mirror.files[name])} [" in first
        assert first.splitlines()[-1].strip() == ""  # wiped when done


@pytest.mark.parametrize(
    ("arguments", "argument", "error"),
    [
        ({"subset": "validation"}, "subset", ValueError),
        ({"subset": None}, "subset", ValueError),
        ({"folder": 1}, "folder", TypeError),
        ({"folder": b"here"}, "folder", TypeError),
        ({"url": "ftp://127.0.0.1/"}, "url", ValueError),
        ({"url": ""}, "url", ValueError),
        ({"url": None}, "url", TypeError),
    ],
)
def test_bad_addresses_are_named(arguments, argument, error, mirror, tmp_path):
    with pytest.raises(error, match=rf"^{argument} must"):
        mnist(**{"folder": tmp_path, "url": mirror.url} | arguments)
    assert mirror.requests == []


@given(populations(), seeds)
def test_readout_is_the_smallest_least_squares_solution(population, seed):
    rng = np.random.default_rng(seed)
    X = population.sample(int(rng.integers(1, 20)), rng)
    labels = rng.choice([-1.0, 1.0], (len(X), 3))
    theta = readout(X, labels)
    assert theta.shape == (3, population.dim)
    # Backward stable least squares: ε cond² relative to the labels.
    s = np.linalg.svd(X, compute_uv=False)
    atol = 1e3 * 1e-16 * condition(X) * np.linalg.norm(labels) / s[s > 1e-13 * s[0]].min()
    np.testing.assert_allclose(
        theta, (np.linalg.pinv(X, rcond=1e-13) @ labels).T, rtol=0, atol=atol
    )
    np.testing.assert_allclose(readout(X, labels[:, 0]), theta[0], rtol=0, atol=atol)


def test_readout_of_digits_tells_them_apart():
    bunch = digits()
    labels = np.where(bunch.target[:, None] == np.arange(10), 1, -1)
    theta = readout(bunch.data, labels)
    # The normal equations hold, and most digits are read right: 95 % is known for this data.
    gradient = bunch.data.T @ (bunch.data @ theta.T - labels)
    np.testing.assert_allclose(gradient, 0, atol=1e-8)
    accuracy = ((bunch.data @ theta.T).argmax(axis=1) == bunch.target).mean()
    assert accuracy > 0.9
    assert np.abs(theta[:, [0, 32, 39]]).max() < 1e-12  # pixels that are never inked


@pytest.mark.parametrize(
    ("X", "labels", "argument", "error"),
    [
        (np.ones(2), np.ones(2), "X", ValueError),
        (np.ones((0, 2)), np.ones(0), "X", ValueError),
        ([[1, np.inf]], [1], "X", ValueError),
        ("ab", [1], "X", TypeError),
        (np.eye(2), np.ones(3), "labels", ValueError),
        (np.eye(2), 1.0, "labels", ValueError),
        (np.eye(2), np.ones((3, 2)), "labels", ValueError),
        (np.eye(2), np.ones((2, 2, 2)), "labels", ValueError),
        (np.eye(2), [1, np.nan], "labels", ValueError),
        (np.eye(2), ["yes", "no"], "labels", TypeError),
    ],
)
def test_bad_input_is_named(X, labels, argument, error):
    with pytest.raises(error, match=rf"^{argument} must"):
        readout(X, labels)
