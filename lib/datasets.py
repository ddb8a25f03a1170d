"""Real data for the chapters, as dict-like bunches; only ``mnist`` needs the network, and once.

Contract: a wrong type is a TypeError; a wrong shape, an entry that is not finite, or a number out
of its range a ValueError. Both name the argument.
"""

import gzip
import hashlib
import io
import math
from pathlib import Path

import numpy as np
import scipy.sparse
from sklearn.datasets import load_digits, load_sample_image
from sklearn.utils import Bunch

from lib import checks
from lib.progress import progress_bar

__all__ = [
    "MNIST_SHA256",
    "MNIST_URL",
    "WORDS_SHA256",
    "digits",
    "image_patches",
    "mnist",
    "readout",
    "words",
]

MNIST_URL = "https://ossci-datasets.s3.amazonaws.com/mnist/"
# Of the compressed files, <name>.gz.
MNIST_SHA256 = {
    "train-images-idx3-ubyte": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}
# Of words.npz, which lies beside this file; data/make_words.py makes it.
WORDS_SHA256 = "a07878156d575864f46e07de913786ca649f1ac5347c0acdda6dfce199819989"


def digits():
    """1797 handwritten digits of 8 × 8 pixels, which ship with scikit-learn.

    Returns
    -------
    sklearn.utils.Bunch
        ``data`` (1797, 64), pixels scaled from 0…16 to [0, 1], neither centred nor whitened;
        ``target`` (1797,), the digit, int; ``images`` (1797, 8, 8), a view of ``data``.

    Notes
    -----
    Cost: a fraction of a second. Source: the UCI optical recognition of handwritten digits set.
    """
    raw = load_digits()
    data = raw.data / 16.0
    return Bunch(data=data, target=raw.target, images=data.reshape(-1, 8, 8))


def image_patches(image="china", *, size=9, hole=3, stride=4):
    """Patches of a photograph with a hole: guess from the surroundings what is in the hole.

    Parameters
    ----------
    image : {"china", "flower"}
        A palace or a flower, 427 × 640 pixels; both ship with scikit-learn.
    size, hole : int
        Sides of the patch and of the hole in its centre, in pixels; odd, 3 ≤ hole < size ≤ 427.
    stride : int
        Pixels between the corners of neighbouring patches, down and across.

    Returns
    -------
    sklearn.utils.Bunch
        ``data`` (n, d), luminance in [0, 1] of the d = size² − hole² surrounding pixels, row by
        row, neither centred nor whitened; ``target`` (n, tasks), functions of the hidden pixels;
        ``target_names``, the tasks; ``patches`` (n, size, size), the patches without the hole, from
        the top left to the bottom right of the photograph; ``mask`` (size, size), where they show.

    Notes
    -----
    Luminance weighs red, green and blue by 0.2126, 0.7152 and 0.0722 (ITU-R BT.709). The tasks are
    the central pixel, the mean of the hole, the responses to horizontal and to vertical edges of
    its middle 3 × 3 pixels (the kernels of ``scipy.ndimage.sobel`` along axes 0 and 1), all four
    linear in the hidden pixels; and, not linear, the norm of the two responses and the standard
    deviation of the hole. Cost: O(n size²). Source: photographs by danielbuechele and vultilion on
    Flickr, CC BY 2.0.
    """
    checks.choice("image", image, ("china", "flower"))
    photo = load_sample_image(f"{image}.jpg")
    size = _odd("size", size, at_least=5, at_most=min(photo.shape[:2]))
    hole = _odd("hole", hole, at_least=3, at_most=size - 2)
    stride = checks.integer("stride", stride, at_least=1)

    grey = photo @ np.array([2126, 7152, 722]) / (255 * 10_000)
    windows = np.lib.stride_tricks.sliding_window_view(grey, (size, size))[::stride, ::stride]
    patches = np.array(windows, order="C").reshape(-1, size, size)
    hidden = _central(patches, hole)
    mask = np.ones((size, size), bool)
    _central(mask, hole)[:] = False

    smooth, slope = np.array([1, 2, 1]), np.array([-1, 0, 1])
    middle = _central(hidden, 3)
    horizontal, vertical = slope @ middle @ smooth, smooth @ middle @ slope
    tasks = {
        "centre": middle[:, 1, 1],
        "mean": hidden.mean(axis=(1, 2)),
        "horizontal edge": horizontal,
        "vertical edge": vertical,
        "edge strength": np.hypot(horizontal, vertical),
        "contrast": hidden.std(axis=(1, 2)),
    }
    return Bunch(
        data=np.compress(mask.ravel(), patches.reshape(-1, size**2), axis=1),
        target=np.column_stack(list(tasks.values())),
        target_names=list(tasks),
        patches=patches,
        mask=mask,
    )


def _odd(name, value, at_least, at_most):
    """``value`` as an odd int between the limits."""
    value = checks.integer(name, value, at_least=at_least, at_most=at_most)
    if value % 2 == 0:
        raise ValueError(f"{name} must be odd, got {value}")
    return value


def _central(squares, side):
    """A view of the central side × side pixels of squares (..., s, s)."""
    edge = (squares.shape[-1] - side) // 2
    return squares[..., edge : edge + side, edge : edge + side]


def mnist(subset="train", *, folder=None, url=MNIST_URL):
    """60 000 handwritten digits of 28 × 28 pixels, or the 10 000 to test on; downloaded once.

    Parameters
    ----------
    subset : {"train", "test"}
        Which of the two.
    folder : str or Path, optional
        Where the compressed files are kept, 11 MB for both subsets; by default, in the user's
        cache.
    url : str
        The folder to download from, if they are not there yet. Another mirror:
        https://storage.googleapis.com/cvdf-datasets/mnist/.

    Returns
    -------
    sklearn.utils.Bunch
        ``data`` (n, 784), pixels scaled from 0…255 to [0, 1], neither centred nor whitened;
        ``target`` (n,), the digit, int; ``images`` (n, 28, 28), a view of ``data``.

    Raises
    ------
    TypeError, ValueError
        If there is no such subset, the folder is no path, or the address not one of the web; also
        if a file does not hold such digits.
    OSError
        If a file can be neither found nor downloaded, or not the one with the known SHA-256; what
        has come by then is deleted.

    Notes
    -----
    Cost: seconds, and 376 MB of memory for the training set. Source: LeCun, Cortes and Burges, The
    MNIST database of handwritten digits.
    """
    prefix = {"train": "train", "test": "t10k"}[checks.choice("subset", subset, ("train", "test"))]
    if folder is not None and not isinstance(folder, Path):
        folder = Path(checks.instance("folder", folder, str))
    if not checks.instance("url", url, str).startswith(("http://", "https://")):
        raise ValueError(f"url must begin with http:// or https://, got {url!r}")

    images = _read_idx(_fetch(f"{prefix}-images-idx3-ubyte", folder, url), axes=3)
    labels = _read_idx(_fetch(f"{prefix}-labels-idx1-ubyte", folder, url), axes=1)
    if images.shape != (len(labels), 28, 28):
        raise ValueError(f"images must be {len(labels)} of 28 × 28 pixels, got {images.shape}")
    data = images.reshape(-1, 28 * 28) / 255.0
    return Bunch(data=data, target=labels.astype(int), images=data.reshape(-1, 28, 28))


def _fetch(name, folder, url):
    """The path of ``name``.gz in ``folder``, which is downloaded unless it is there, unharmed."""
    import pooch  # not above: in a notebook it warns where there are no widgets for its own bars

    def download(address, path, _):
        # pooch sets the total when it knows it, and would take a bar of total 0 for none.
        with progress_bar(1, name, shown=True) as bar:
            pooch.HTTPDownloader(progressbar=bar)(address, path, None)

    pooch.get_logger().setLevel("WARNING")  # the bar says the rest
    folder = folder or pooch.os_cache("finetuning-linear-teachers")
    file, sha256 = f"{name}.gz", MNIST_SHA256[name]
    address = f"{url.rstrip('/')}/{file}"
    try:
        return Path(pooch.retrieve(address, sha256, file, folder, downloader=download))
    except (OSError, ValueError) as error:  # a ValueError if the hash is another
        raise OSError(
            f"{address} could not be downloaded; try again, or put the {file} that has SHA-256 "
            f"{sha256} into {folder} yourself. {type(error).__name__}: {error}"
        ) from error


def _read_idx(path, axes):
    """The array in a compressed idx file of bytes.

    The file begins 0, 0, 8 (for bytes), ``axes``, and the length of each as a big-endian uint32.
    """
    raw = gzip.decompress(path.read_bytes())
    magic, start = bytes((0, 0, 8, axes)), 4 + 4 * axes
    if raw[:4] != magic or len(raw) < start:
        raise ValueError(f"{path} must begin with {magic.hex()} and {axes} lengths, 4 bytes each")
    shape = np.frombuffer(raw[4:start], ">u4").tolist()
    if len(raw) != start + math.prod(shape):
        raise ValueError(f"{path} must hold {shape} bytes after its head, got {len(raw) - start}")
    return np.frombuffer(raw, np.uint8, offset=start).reshape(shape)


def words():
    """8771 English words: pretrained vectors of their tokens, and the feelings they carry.

    Returns
    -------
    sklearn.utils.Bunch
        ``words``, N = 8771 of them, in alphabetical order, of at least three letters a–z each;
        ``tokens``, the T = 5285 word pieces that they are made of, those that continue a word
        behind ##; ``vectors`` (T, 384), the pretrained input vector of each token, E;
        ``shares`` (N, T), sparse CSR, the share of each token among those of a word, x: a row sums
        to 1; ``data`` (N, 384), the means x E of a word's token vectors, neither centred nor
        whitened; ``ratings`` (N, 10), by ten people from −4, negative, to 4, positive, or NaN;
        ``polarity``, from −1 to 1, and ``subjectivity``, from 0 to 1, both (N,) and the means over
        a word's senses, or NaN; ``valence`` (N,), by one author, from −5 to 5 but never 0, or NaN;
        ``stems`` (N,), the number of the word's stem, int: inflections of a word share it;
        ``sentence`` (N, 384), what the transformer of these token vectors makes of the word alone,
        of norm 1 up to rounding, for the words with ``ratings``; else NaN.

    Raises
    ------
    OSError
        If words.npz is missing, or not the file with the SHA-256 in ``WORDS_SHA256``.

    Notes
    -----
    A column of ``ratings`` is a place in a list, perhaps not the same person for all words. The
    words are those that the authors of the ratings chose, mostly words with a feeling. ``vectors``
    are rounded to 11 bits; ``sentence``, the mean of the transformer's last layer over the tokens
    and the two that mark begin and end, to 1/127 of the largest entry of its column. Cost: a
    fraction of a second and 80 MB of memory, without the network.

    Sources: vectors, tokens and sentence from the all-MiniLM-L6-v2 of sentence-transformers (N.
    Reimers; MiniLM by W. Wang and others), Apache-2.0; ratings from VADER 3.3.2, by C. J. Hutto and
    E. Gilbert, MIT; polarity and subjectivity from the lexicon in TextBlob 0.20.1, by T. De Smedt
    and W. Daelemans, PDDL; valence from AFINN-en-165, by F. Å. Nielsen, ODbL; stems by the English
    stemmer of Snowball 3.1.1.
    """
    raw = _read_words(Path(__file__).with_name("words.npz"))
    vectors = raw["vectors"].astype(float)
    weights = np.repeat(1 / raw["lengths"], raw["lengths"])
    ends = np.concatenate([[0], np.cumsum(raw["lengths"], dtype=int)])
    shape = len(ends) - 1, len(vectors)
    shares = scipy.sparse.csr_array((weights, raw["pieces"].astype(int), ends), shape=shape)
    shares.sum_duplicates()  # a token twice in a word

    ratings = np.where(raw["ratings"] == -128, np.nan, raw["ratings"])  # -128: not rated
    sentence = np.full((len(ratings), raw["sentence"].shape[1]), np.nan)
    sentence[~np.isnan(ratings[:, 0])] = raw["sentence"] * raw["scale"].astype(float)
    return Bunch(
        words=raw["words"].astype(str).tolist(),
        tokens=raw["tokens"].astype(str).tolist(),
        vectors=vectors,
        shares=shares,
        data=shares @ vectors,
        ratings=ratings,
        polarity=raw["polarity"].astype(float),
        subjectivity=raw["subjectivity"].astype(float),
        valence=raw["valence"].astype(float),
        stems=raw["stems"].astype(int),
        sentence=sentence,
    )


def _read_words(path):
    """The arrays in words.npz, by name; its SHA-256 is checked."""
    advice = f"install the library again, or put the {path.name} of its repository there"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise OSError(
            f"{path} could not be read; {advice}. {type(error).__name__}: {error}"
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if found != WORDS_SHA256:
        raise OSError(f"{path} has SHA-256 {found}, not {WORDS_SHA256}; {advice}")
    with np.load(io.BytesIO(content)) as archive:
        return dict(archive)


def readout(X, labels):
    """Least-squares readout: the smallest θ among those that minimise ‖Xθ − labels‖.

    Parameters
    ----------
    X : array (n, d)
        Inputs.
    labels : array (n,) or (n, tasks)
        One column per task; ±1 for a question with two answers.

    Returns
    -------
    array (d,) or (tasks, d)
        One teacher per task.

    Notes
    -----
    Cost: one least-squares solve, O(nd²), for all tasks together.
    """
    X = checks.samples(X)
    labels = checks.columns("labels", labels, len(X))
    return np.linalg.lstsq(X, labels, rcond=None)[0].T
