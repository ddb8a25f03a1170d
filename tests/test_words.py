"""The words: lib.datasets.words says what the file says, and the file what its sources say."""

import hashlib
import runpy
import shutil
import socket
import zipfile
from collections import Counter
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import torch

from conftest import ROOT
from lib import datasets

FILE = ROOT / "lib" / "words.npz"
RATED = ("ratings", "polarity", "subjectivity", "valence")
# Mean and standard deviation in VADER's list; valence in AFINN's; senses in the other's.
KNOWN = {
    "excellent": (2.7, 0.64031, 3, 1.0),
    "terrible": (-2.1, 0.9434, -3, -1.0),
    "good": (1.9, 0.9434, 3, 0.7),
    "war": (-2.9, 1.13578, -2, np.nan),
}


@pytest.fixture(scope="module")
def bunch():
    return datasets.words()


@pytest.fixture(scope="module")
def script():
    """Return the functions that make the file."""
    return runpy.run_path(str(ROOT / "data" / "make_words.py"))


@pytest.fixture(scope="module")
def splits():
    """Return the numbers of the tokens of each word, in order."""
    with np.load(FILE) as raw:
        return np.split(raw["pieces"], np.cumsum(raw["lengths"])[:-1])


# ------------------------------------------------------------------------------ what is loaded


def test_words_are_distinct_plain_and_in_order(bunch):
    assert bunch.words == sorted(set(bunch.words)) and len(bunch.words) == 8771
    assert all(len(w) >= 3 and w.isascii() and w.isalpha() and w.islower() for w in bunch.words)
    assert len(set(bunch.tokens)) == len(bunch.tokens) == 5285


def test_everything_is_float64_of_the_documented_shape(bunch):
    N, T = len(bunch.words), len(bunch.tokens)
    shapes = {"vectors": (T, 384), "shares": (N, T), "data": (N, 384), "ratings": (N, 10)}
    shapes |= {"sentence": (N, 384)} | dict.fromkeys(("polarity", "subjectivity", "valence"), (N,))
    assert {name: bunch[name].shape for name in shapes} == shapes
    assert all(bunch[name].dtype == np.float64 for name in shapes)
    assert bunch.stems.shape == (N,) and bunch.stems.dtype == int
    assert set(bunch) == {*shapes, "words", "tokens", "stems"}


def test_a_word_is_spelt_by_its_tokens_and_its_row_holds_their_shares(bunch, splits):
    assert bunch.shares.has_canonical_format and (bunch.shares.data > 0).all()
    for word, split, row in zip(bunch.words, splits, bunch.shares, strict=True):
        pieces = [bunch.tokens[piece] for piece in split]
        assert [piece.startswith("##") for piece in pieces] == [False] + [True] * (len(pieces) - 1)
        assert "".join(piece.removeprefix("##") for piece in pieces) == word
        shares = {bunch.tokens[j]: share for j, share in zip(row.indices, row.data, strict=True)}
        assert shares == pytest.approx({p: k / len(split) for p, k in Counter(pieces).items()})


def test_shares_sum_to_one_and_average_the_vectors(bunch, splits):
    np.testing.assert_allclose(bunch.shares.sum(axis=1), 1, rtol=0, atol=1e-15)
    assert (bunch.shares.sum(axis=0) > 0).all()  # no token that no word has
    means = [bunch.vectors[split].mean(axis=0) for split in splits]
    np.testing.assert_allclose(bunch.data, means, rtol=0, atol=1e-14)
    i = bunch.words.index("excellent")  # a token of its own
    np.testing.assert_array_equal(bunch.data[i], bunch.vectors[bunch.tokens.index("excellent")])


def test_ratings_are_in_their_range_and_every_word_has_one(bunch):
    missing = np.isnan(bunch.ratings)
    assert (missing.all(axis=1) == missing.any(axis=1)).all()
    given = bunch.ratings[~missing]
    assert set(given) == set(range(-4, 5))
    assert np.nanmin(bunch.polarity) == -1 and np.nanmax(bunch.polarity) == 1
    assert np.nanmin(bunch.subjectivity) == 0 and np.nanmax(bunch.subjectivity) == 1
    assert set(bunch.valence[~np.isnan(bunch.valence)]) == set(range(-5, 6)) - {0}
    np.testing.assert_array_equal(np.isnan(bunch.polarity), np.isnan(bunch.subjectivity))
    assert not np.all([np.isnan(np.c_[bunch[name]]).any(axis=1) for name in RATED], axis=0).any()


@pytest.mark.parametrize("word", KNOWN)
def test_known_words_are_rated_as_published(word, bunch):
    i = bunch.words.index(word)
    mean, deviation, valence, polarity = KNOWN[word]
    assert bunch.ratings[i].mean() == pytest.approx(mean, abs=1e-12)
    assert bunch.ratings[i].std() == pytest.approx(deviation, abs=5e-6)
    assert bunch.valence[i] == valence
    assert bunch.polarity[i] == pytest.approx(polarity, abs=1e-7, nan_ok=True)


def test_inflections_share_a_stem_and_other_words_do_not(bunch):
    stem = dict(zip(bunch.words, bunch.stems, strict=True))
    assert stem["abandon"] == stem["abandons"] == stem["abandoned"]
    assert stem["happy"] == stem["happiness"] and stem["happy"] != stem["unhappy"]
    assert set(bunch.stems) == set(range(bunch.stems.max() + 1))
    first = [word[0] for word in bunch.words]
    assert len(set(zip(bunch.stems, first, strict=True))) == bunch.stems.max() + 1


def test_sentence_vectors_are_unit_and_only_of_rated_words(bunch):
    rated = ~np.isnan(bunch.ratings[:, 0])
    np.testing.assert_array_equal(np.isnan(bunch.sentence).any(axis=1), ~rated)
    np.testing.assert_array_equal(np.isnan(bunch.sentence).all(axis=1), ~rated)
    np.testing.assert_allclose(np.linalg.norm(bunch.sentence[rated], axis=1), 1, atol=0.01)
    # Words that mean the same are nearer than words that do not.
    good, great, war = (bunch.sentence[bunch.words.index(w)] for w in ("good", "great", "war"))
    assert good @ great > 0.5 > good @ war


def test_words_are_deterministic_and_shared_with_nobody(bunch):
    other = datasets.words()
    arrays = ("vectors", "data", *RATED, "stems", "sentence")
    for name in arrays:
        np.testing.assert_array_equal(bunch[name], other[name])
        assert not any(np.shares_memory(other[name], other[o]) for o in arrays if o != name)
        other[name][:] = 0
    assert np.abs(datasets.words().vectors).max() > 0.1


# ------------------------------------------------------------------------------------ the file


def test_nothing_is_downloaded(monkeypatch):
    def refuse(*arguments, **options):
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    datasets.words()


def test_the_file_is_the_expected_one_and_goes_with_the_library():
    assert hashlib.sha256(FILE.read_bytes()).hexdigest() == datasets.WORDS_SHA256
    assert FILE.stat().st_size < 6.5e6
    assert 'lib = ["words.npz"]' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize("failure", ["missing", "another", "cut"])
def test_a_bad_file_is_named(failure, tmp_path, monkeypatch):
    monkeypatch.setattr(datasets, "__file__", str(tmp_path / "datasets.py"))
    path, message = (
        tmp_path / "words.npz",
        f"has SHA-256 [0-9a-f]{{64}}, not {datasets.WORDS_SHA256}",
    )
    match failure:
        case "missing":
            message = "could not be read"
        case "another":
            content = bytearray(FILE.read_bytes())
            content[1000] ^= 1
            path.write_bytes(content)
        case "cut":
            path.write_bytes(FILE.read_bytes()[:-1])
    with pytest.raises(OSError, match=f"{path} {message}; install the library again, or put the"):
        datasets.words()
    shutil.copy(FILE, path)
    assert len(datasets.words().words) == 8771


# ---------------------------------------------------------------------------------- its sources


def test_the_transformer_is_that_of_torch(script):
    rng, d, inner, layers = np.random.default_rng(3), 24, 40, script["LAYERS"]
    encoder = torch.nn.TransformerEncoder(
        torch.nn.TransformerEncoderLayer(
            d, script["HEADS"], inner, 0, "gelu", script["EPSILON"], True, dtype=torch.float64
        ),
        layers,
        enable_nested_tensor=False,
    )
    tables = {"word": (50, d), "position": (9, d), "token_type": (2, d)}
    weights = {
        f"embeddings.{name}_embeddings.weight": rng.standard_normal(shape)
        for name, shape in tables.items()
    }
    weights |= {f"embeddings.LayerNorm.{part}": rng.standard_normal(d) for part in PARTS}
    weights["embeddings.position_ids"] = np.arange(9)
    for layer, module in enumerate(encoder.layers):
        for parameter in module.parameters():
            parameter.data = torch.from_numpy(rng.standard_normal(parameter.shape))
        weights |= bert_names(f"encoder.layer.{layer}", module)

    sentences = [rng.integers(0, 50, length).tolist() for length in (3, 5, 3, 9, 4, 3)]
    ours = script["sentence_vectors"](weights, sentences, batch=2)
    for vector, ids in zip(ours, sentences, strict=True):
        word, position, kind = (weights[f"embeddings.{name}_embeddings.weight"] for name in tables)
        hidden = torch.nn.functional.layer_norm(
            torch.from_numpy(word[ids] + position[: len(ids)] + kind[0]),
            (d,),
            *(torch.from_numpy(weights[f"embeddings.LayerNorm.{part}"]) for part in PARTS),
            script["EPSILON"],
        )
        mean = encoder(hidden[None])[0].mean(dim=0).detach().numpy()
        np.testing.assert_allclose(vector, mean / np.linalg.norm(mean), rtol=0, atol=1e-10)


PARTS = ("weight", "bias")


def bert_names(layer, module):
    """Return the weights of one of torch's layers under the names that BERT gives them."""
    state = {name: value.numpy() for name, value in module.state_dict().items()}
    names = {
        "self_attn.out_proj": "attention.output.dense",
        "norm1": "attention.output.LayerNorm",
        "linear1": "intermediate.dense",
        "linear2": "output.dense",
        "norm2": "output.LayerNorm",
    }
    found = {}
    for part in PARTS:
        thirds = np.split(state[f"self_attn.in_proj_{part}"], 3)
        for name, third in zip(("query", "key", "value"), thirds, strict=True):
            found[f"{layer}.attention.self.{name}.{part}"] = third
        for theirs, name in names.items():
            found[f"{layer}.{name}.{part}"] = state[f"{theirs}.{part}"]
    return found


def test_another_version_or_none_is_named(script, monkeypatch):
    def version(name):
        if name == "textblob":
            raise metadata.PackageNotFoundError(name)
        return "0.0"

    monkeypatch.setattr(metadata, "version", version)
    with pytest.raises(RuntimeError) as caught:
        script["make"]()
    assert "afinn 0.1 is needed, and 0.0 is installed." in str(caught.value)
    assert "textblob 0.20.1 is needed, and none is installed." in str(caught.value)
    assert str(caught.value).count("needed") == 9


@pytest.mark.parametrize("read", ["vader", "textblob", "afinn", "word_tokenizer", "model_weights"])
def test_another_source_file_or_none_is_named(read, script, tmp_path, monkeypatch):
    class Package:
        def locate_file(self, path):
            return tmp_path / Path(path).name

    monkeypatch.setattr(metadata, "distribution", lambda name: Package())
    with pytest.raises(RuntimeError, match=r"^\S+ has no \S+: "):
        script[read]()
    with zipfile.ZipFile(tmp_path / "model.zip", "w") as archive:
        archive.writestr("another.txt", "good\t3\n")
    if read in ("word_tokenizer", "model_weights"):
        with pytest.raises(RuntimeError, match=r"^\S+ has no \S+: "):
            script[read]()
    with zipfile.ZipFile(tmp_path / "model.zip", "w") as archive:
        for name in script["SHA256"]:
            archive.writestr(name, "good\t3\n")
            (tmp_path / name).write_text("good\t3\n")
    with pytest.raises(RuntimeError, match=r"^\S+ of \S+ has SHA-256 \w{64}, not \w{64}$"):
        script[read]()


def test_the_file_is_what_the_script_makes(script):
    wrong = script["wrong_packages"]()
    if wrong:
        pytest.skip(" ".join(wrong))
    made = script["make"]()
    with np.load(FILE) as archive:
        raw = dict(archive)
    assert {name: (a.dtype, a.shape) for name, a in raw.items()} == {
        name: (a.dtype, a.shape) for name, a in made.items()
    }
    for name in raw.keys() - {"sentence", "scale"}:
        np.testing.assert_array_equal(raw[name], made[name], err_msg=name)
    np.testing.assert_allclose(raw["scale"], made["scale"], rtol=1e-6)
    assert np.abs(raw["sentence"].astype(int) - made["sentence"]).max() <= 1


def test_means_and_deviations_are_those_that_vader_lists(script, bunch):
    wrong = script["wrong_packages"]()
    if wrong:
        pytest.skip(" ".join(wrong))
    text = script["read"]("vaderSentiment", "vaderSentiment/vader_lexicon.txt").decode()
    listed = {row[0]: row[1:3] for row in (line.split("\t") for line in text.splitlines())}
    rated = [i for i in range(len(bunch.words)) if not np.isnan(bunch.ratings[i, 0])]
    assert len(rated) == sum(map(bool, map(script["WORD"].fullmatch, listed)))
    means, deviations = set(), set()  # the words for which the list says something else
    for i in rated:
        word, ratings = bunch.words[i], bunch.ratings[i]
        mean, deviation = map(float, listed[word])
        if abs(ratings.mean() - mean) > 1e-9:
            means.add(word)
        if abs(ratings.std() - deviation) > 6e-6:
            deviations.add(word)
    # Slips of the list: of four words it has the deviation with n − 1, of one a tenth of it, and of
    # one the digits cut off.
    assert means == {"lmfao"}
    assert deviations == {
        "lmfao",
        "heart",
        "hearts",
        "badass",
        "flawed",
        "repetitive",
        "compelling",
    }
