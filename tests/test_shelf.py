"""lib.shelf: risks, errors and choices are those of refitting, on inputs that no choice saw."""

import math

import numpy as np
import pytest
from scipy.stats import kendalltau

from lib import datasets, exact_risk, linear_regression, selection, shelf, transferability
from lib.problem import Population, TransferProblem


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.fixture(scope="module", params=["outside", "inside", "vertical edge"])
def draw(request):
    if request.param in shelf.SETTINGS:
        task = shelf.digit_task(request.param, rng(7))
    else:
        task = shelf.flower_task(request.param)
    return task.draw(12, rng(8))


def refitted(draw, source, ridge, left_out=None):
    """Fine-tuned without a sample, by solving the normal equations."""
    kept = np.arange(len(draw.y)) != (-1 if left_out is None else left_out)
    if math.isinf(ridge):
        return source
    X, y = draw.X[kept], draw.y[kept]
    A = X.T @ X + ridge * np.eye(X.shape[1])
    return source + np.linalg.solve(A, X.T @ (y - X @ source))


def test_risks_and_errors_are_those_of_refitting(draw):
    starts = [*draw.task.sources, np.zeros(draw.X.shape[1])]
    assert draw.risk.shape == draw.scores.shape == (10, len(starts))
    np.testing.assert_allclose(
        draw.ridges[:-1],
        [10**k * np.trace(draw.X @ draw.X.T) / 12 for k in np.arange(-2, 2.1, 0.5)],
    )
    assert draw.ridges[-1] == math.inf
    for r, k in [(0, 0), (4, 2), (8, -1), (9, 3), (9, -1), (3, -1)]:
        end = refitted(draw, starts[k], draw.ridges[r])
        assert draw.risk[r, k] == pytest.approx(np.mean((draw.Z @ end - draw.z) ** 2), rel=1e-7)
        left = [
            draw.y[i] - draw.X[i] @ refitted(draw, starts[k], draw.ridges[r], i) for i in range(12)
        ]
        np.testing.assert_allclose(draw.errors[r, :, k], left, rtol=1e-6, atol=1e-9)
        assert draw.scores[r, k] == pytest.approx(np.mean(np.square(left)), rel=1e-6)


def test_samples_and_rest_make_up_the_task(draw):
    task = draw.task
    every = np.vstack([draw.X, draw.Z])
    assert len(every) == len(task.inputs)
    np.testing.assert_array_equal(
        every[np.lexsort(every.T)], task.inputs[np.lexsort(task.inputs.T)]
    )
    order = rng(8).permutation(len(task.inputs))
    np.testing.assert_array_equal(draw.y, task.labels[order[:12]])
    np.testing.assert_array_equal(draw.z, task.labels[order[12:]])


def test_choices_are_the_least_errors(draw):
    scores = draw.errors**2
    table = {(r, k): scores[r, :, k].mean() for r in range(10) for k in range(draw.risk.shape[1])}
    assert draw.one == min(table, key=table.get)
    last = draw.risk.shape[1] - 1
    assert draw.safe == min((key for key in table if key[1] == last), key=table.get)
    methods = draw.methods()
    untouched = min((key for key in table if key[0] == 9), key=table.get)
    assert methods["best untouched"] == draw.risk[untouched]
    assert methods["choose one"] == draw.risk[draw.one]
    gain = scores[draw.safe[0], :, -1] - scores[draw.one[0], :, draw.one[1]]
    sure = gain.mean() > math.sqrt(np.sum((gain - gain.mean()) ** 2) / 11 / 12)
    expected = draw.risk[draw.one] if sure else draw.risk[draw.safe]
    assert methods["one, cautious"] == expected


def test_caution_goes_both_ways():
    """In some draws the choice is believed, in others it is not; and zero gain is not believed."""
    seen = set()
    for seed in range(12):
        draw = shelf.digit_task("inside", rng(seed)).draw(20, rng(seed))
        errors, even = draw.evenly()
        believed = draw.believed(errors)
        seen.add(believed)
        expected = even if believed else draw.risk[draw.safe]
        assert draw.methods()["evenly, cautious"] == expected
        safe = draw.errors[draw.safe[0], :, -1]
        assert not draw.believed(safe)
        for share in np.linspace(0, 1, 11):
            some = share * safe + (1 - share) * errors
            gain = safe**2 - some**2
            error = math.sqrt(np.sum((gain - gain.mean()) ** 2) / 19 / 20)
            assert draw.believed(some) == (gain.mean() > error)
    assert seen == {True, False}


def test_other_starts_are_refitted(draw):
    """The mean of the sources; a scale, by search; the combinations, by their own features."""
    methods = draw.methods()
    starts = draw.task.sources

    def honest(source):
        errors = [
            [draw.y[i] - draw.X[i] @ refitted(draw, source, d, i) for i in range(12)]
            for d in draw.ridges
        ]
        scores = np.mean(np.square(errors), axis=1)
        return scores.min(), draw.ridges[scores.argmin()]

    def risk(theta):
        return np.mean((draw.Z @ theta - draw.z) ** 2)

    mean = starts.mean(axis=0)
    _, ridge = honest(mean)
    assert methods["average"] == pytest.approx(risk(refitted(draw, mean, ridge)), rel=1e-7)
    t = np.trace(draw.X @ draw.X.T) / np.trace(draw.X @ starts.T @ starts @ draw.X.T)
    assert shelf.even_strength(draw.X, starts) == pytest.approx(t)
    options = {"ridges": draw.ridges[:-1]}
    found = selection.combine(draw.X, draw.y, starts, strengths=[t], **options)
    errors, even = draw.evenly()
    if np.mean(errors**2) < np.mean(draw.y**2) * 0.9:  # else the infinite ridge may be chosen
        assert even == pytest.approx(risk(found.theta), rel=1e-6)
        assert np.mean(errors**2) == pytest.approx(found.score, rel=1e-6)
    options["strengths"] = t * np.array([0, *(10 ** (k / 2) for k in range(-4, 5))])
    found = selection.combine(draw.X, draw.y, starts, **options)
    assert methods["combine"] == pytest.approx(risk(found.theta), rel=1e-9)


def test_a_scale_is_found_where_there_is_one():
    """Labels are exactly 0.3 of a source: it is left as it is but for its length."""
    task = shelf.digit_task("inside", rng(2))
    scaled = shelf.Task(task.inputs, 0.3 * task.inputs @ task.sources[4], task.sources)
    draw = scaled.draw(20, rng(3))
    assert draw.methods()["scale"] < 1e-12 < draw.methods()["choose one"] / 1e6
    # Three ways at three ridges: the best scale is the minimum of a parabola through three points.
    draw = task.draw(15, rng(4))
    best = math.inf
    for r in range(10):
        for k in range(10):
            points = []
            for a in (-1.0, 0.0, 1.0):
                start = a * task.sources[k]
                left = [
                    draw.y[i] - draw.X[i] @ refitted(draw, start, draw.ridges[r], i)
                    for i in range(15)
                ]
                points.append(np.mean(np.square(left)))
            square, slope, level = np.polyfit((-1, 0, 1), points, 2)
            if level - slope**2 / (4 * square) < best - 1e-12:
                best = level - slope**2 / (4 * square)
                end = refitted(draw, -slope / (2 * square) * task.sources[k], draw.ridges[r])
    risk = np.mean((draw.Z @ end - draw.z) ** 2)
    assert draw.scaled() == pytest.approx(risk, rel=1e-5)


def test_oracles_know_more(draw):
    oracles, starts = draw.oracles(), draw.task.sources
    assert oracles["best one"] == draw.risk.min()
    w = np.linalg.pinv(draw.Z @ starts.T) @ draw.z
    risks = [np.mean((draw.Z @ refitted(draw, w @ starts, d) - draw.z) ** 2) for d in draw.ridges]
    assert oracles["best mixture"] == pytest.approx(min(risks), rel=1e-5)
    task = draw.task
    population = Population.from_samples(task.inputs)
    target = np.linalg.lstsq(task.inputs, task.labels, rcond=None)[0]
    misfit = np.std(task.inputs @ target - task.labels - 0)
    misfit = math.hypot(misfit, np.mean(task.inputs @ target - task.labels))
    trace = np.mean(np.sum(task.inputs**2, axis=1))
    known = draw.exact_risk()
    for r, k in [(0, 0), (5, 3), (7, -1), (9, 2)]:
        source = np.zeros(len(target)) if k == -1 else starts[k]
        ridge = math.inf if r == 9 else shelf.LEVELS[r] * trace
        one = TransferProblem(population, source, target)
        assert known[r, k] == pytest.approx(
            exact_risk.linear_risk(one, 12, ridge, misfit), rel=1e-6
        )
    at = np.unravel_index(known.argmin(), known.shape)
    assert oracles["exact risk"] == draw.risk[at]


def test_orders_are_kendalls(draw):
    risk = [draw.risk[draw.scores[:, k].argmin(), k] for k in range(draw.risk.shape[1])]
    expected = {
        "leave-one-out": draw.scores.min(axis=0),
        "before fine-tuning": np.append(
            np.mean((draw.X @ draw.task.sources.T - draw.y[:, None]) ** 2, axis=0),
            np.mean(draw.y**2),
        ),
        "exact risk": draw.exact_risk().min(axis=0),
    }
    orders = draw.orders()
    assert list(orders) == list(expected)
    for name, score in expected.items():
        assert orders[name] == pytest.approx(kendalltau(score, risk).statistic)


@pytest.mark.parametrize("setting", shelf.SETTINGS)
def test_teachers_and_task_have_no_image_in_common(setting):
    """The images of the task, and those that reproduce the teachers, make up the whole set."""
    data = datasets.digits()
    for seed in range(10):
        task = shelf.digit_task(setting, rng(seed))
        generator = rng(seed)
        order, shuffled = generator.permutation(1797), generator.permutation(10)
        ours, theirs = order[:898], order[898:]
        np.testing.assert_array_equal(task.inputs, data.data[ours])
        yes = set(data.target[ours][task.labels > 0])
        assert not yes & set(data.target[ours][task.labels < 0])
        known = shuffled if setting == "inside" else shuffled[4:]
        assert len(yes) in ((3, 4, 5) if setting == "inside" else (1, 2, 3))
        assert setting == "inside" or not yes & set(known)
        rows = theirs[np.isin(data.target[theirs], known)]
        answers = [np.where(data.target[rows] == k, 1.0, -1.0) for k in known]
        teachers = datasets.readout(data.data[rows], np.transpose(answers))
        distances = np.abs(task.sources[:, None] - teachers).max(axis=2)
        assert len(task.sources) == len(known)
        assert (distances.min(axis=0) < 1e-9).all() and (distances.min(axis=1) < 1e-9).all()


def test_the_flower_has_the_teachers_of_the_palace():
    task = shelf.flower_task("contrast")
    flower, palace = (datasets.image_patches(name, stride=9) for name in ("flower", "china"))
    np.testing.assert_array_equal(task.inputs, flower.data)
    np.testing.assert_array_equal(task.labels, flower.target[:, 5])
    for k in range(6):
        theta = np.linalg.lstsq(palace.data, palace.target[:, k], rcond=None)[0]
        np.testing.assert_allclose(task.sources[k], theta, atol=1e-8)


def test_the_share_explained_is_that_of_a_projection(draw):
    """As angles in the metric of Σ: one minus the squared distance to the span."""
    task = draw.task
    theta, S = datasets.readout(task.inputs, task.labels), task.sources
    second = task.inputs.T @ task.inputs
    w = np.linalg.solve(S @ second @ S.T, S @ second @ theta)
    rest = theta - w @ S
    share = 1 - rest @ second @ rest / (theta @ second @ theta)
    assert task.explained == pytest.approx(share, rel=1e-6)
    everything = shelf.Task(task.inputs, task.labels, np.eye(task.inputs.shape[1]))
    assert everything.explained == pytest.approx(1)


def test_the_contest_counts_the_same_samples_at_every_n():
    rows = shelf.compete("outside", rng(5))
    generator = rng(5)
    task = shelf.digit_task("outside", generator)
    order = generator.permutation(len(task.inputs))
    for n in shelf.SIZES:
        draw = shelf.Draw(task, order[:n], order[200:])
        scratch = draw.risk[draw.scores[:, -1].argmin(), -1]
        for key, expected, unit in [
            ("risk", draw.methods() | draw.oracles(), scratch),
            ("Kendall", draw.orders(), 1),
        ]:
            these = {row["method"]: row[key] for row in rows if row["n"] == n and key in row}
            assert list(these) == list(expected)
            for name, value in expected.items():
                assert these[name] == pytest.approx(value / unit)
    assert {row["explained"] for row in rows} == {task.explained}
    assert {row["n"] for row in shelf.compete("mean", rng(1))} == set(shelf.SIZES)


def test_decoys_look_like_teachers_and_know_nothing():
    row = shelf.curse(30, 15, rng(6))
    generator = rng(6)
    task = shelf.digit_task("inside", generator)
    noise = generator.standard_normal((30, 64))
    sizes = np.mean((task.inputs @ task.sources.T) ** 2)
    noise *= np.sqrt(sizes / np.mean((task.inputs @ noise.T) ** 2, axis=0))[:, None]
    more = shelf.Task(task.inputs, task.labels, np.vstack([task.sources, noise]))
    draw = more.draw(15, generator)
    scratch = draw.risk[draw.safe]
    assert row["promised"] == pytest.approx((draw.errors**2).mean(axis=1).min() / scratch)
    assert row["true"] == pytest.approx(draw.risk[draw.one] / scratch)
    assert row["combine evenly"] == pytest.approx(draw.evenly()[1] / scratch)
    # Nested, by hand: choose without sample i, then test on it.
    nested = []
    for i in range(15):
        others = shelf.Draw(more, np.delete(draw.chosen, i), draw.rest)
        r, k = np.unravel_index(selection_scores(others, draw.ridges).argmin(), draw.risk.shape)
        start = np.vstack([more.sources, np.zeros(64)])[k]
        end = refitted(draw, start, draw.ridges[r], i)
        nested.append((draw.y[i] - draw.X[i] @ end) ** 2)
    assert row["nested"] == pytest.approx(np.mean(nested) / scratch, rel=1e-6)


def selection_scores(draw, ridges):
    """Leave-one-out with the given ridges, by ``selection.leave_one_out``."""
    starts = np.vstack([draw.task.sources, np.zeros(draw.X.shape[1])])
    residual = draw.y[:, None] - draw.X @ starts.T
    K = draw.X @ draw.X.T
    rows = [np.mean(selection.leave_one_out(K, residual, d) ** 2, axis=0) for d in ridges[:-1]]
    return np.array([*rows, np.mean(residual**2, axis=0)])


def test_extractors_are_what_they_are_called():
    data = datasets.digits()
    images, others = data.data[:40], data.data[40:400]
    features = shelf.extractors(images, others, rng(1))
    sizes = {name: F.shape[1] for name, F in features.items()}
    assert sizes == {
        "pixels": 64,
        "coarse": 16,
        "PCA 5": 5,
        "PCA 10": 10,
        "PCA 20": 20,
        "PCA 40": 40,
        "ReLU 30": 30,
        "ReLU 100": 100,
        "ReLU 300": 300,
        "ReLU of PCA 5": 400,
        "gradients": 128,
    }
    picture = images[3].reshape(8, 8)
    expected = [picture[i : i + 2, j : j + 2].sum() for i in (0, 2, 4, 6) for j in (0, 2, 4, 6)]
    np.testing.assert_allclose(features["coarse"][3], expected)
    values, vectors = np.linalg.eigh(others.T @ others)
    top = vectors[:, -10:]
    F = features["PCA 10"]
    np.testing.assert_allclose(F @ F.T, images @ top @ top.T @ images.T, atol=1e-8)
    assert min(features["ReLU 300"].min(), features["gradients"].min()) == 0
    # Opposite directions differ by the gradient itself.
    down = np.gradient(picture)[0]
    sums = [down[i : i + 2, j : j + 2].sum() for i in (0, 2, 4, 6) for j in (0, 2, 4, 6)]
    along, against = features["gradients"][3].reshape(8, 16)[[2, 6]]
    np.testing.assert_allclose(along - against, sums, atol=1e-12)
    turned = images.reshape(-1, 8, 8).transpose(0, 2, 1).reshape(-1, 64)
    across = shelf.extractors(turned, others, rng(1))["gradients"][3].reshape(8, 4, 4)
    kept = features["gradients"][3].reshape(8, 4, 4)
    np.testing.assert_allclose(across[0], kept[2].T, atol=1e-12)


def test_extractors_are_chosen_by_their_scores():
    """At n = 20, from the definitions; and with more features than labels the H-score ties."""
    rows = {(row["n"], row["method"]): row for row in shelf.choose_extractor(rng(9))}
    generator = rng(9)
    data = datasets.digits()
    order = generator.permutation(1797)
    ours, theirs = order[:898], order[898:]
    yes = generator.permutation(10)[: generator.integers(3, 6)]
    y = np.where(np.isin(data.target[ours], yes), 1.0, -1.0)
    features = shelf.extractors(data.data[ours], data.data[theirs], generator)
    risk, scores = [], {"leave-one-out": [], "five folds": [], "LogME": [], "H-score": []}
    for F in features.values():
        ridges = shelf.LEVELS * np.mean(np.sum(F[:20] ** 2, axis=1))
        K = F[:20] @ F[:20].T
        left = [np.mean(selection.leave_one_out(K, y[:20], d) ** 2) for d in ridges]
        zero = np.zeros(F.shape[1])
        theta = linear_regression.finetune(F[:20], y[:20], zero, ridge=ridges[np.argmin(left)])
        risk.append(np.mean((F[200:] @ theta - y[200:]) ** 2))
        scores["leave-one-out"].append(min(left))
        folds = []
        for d in ridges:
            held = []
            for k in range(5):
                test = np.arange(20) % 5 == k
                end = linear_regression.finetune(F[:20][~test], y[:20][~test], zero, ridge=d)
                held.append(np.mean((F[:20][test] @ end - y[:20][test]) ** 2))
            folds.append(np.mean(held))
        scores["five folds"].append(min(folds))
        scores["LogME"].append(-transferability.logme(F[:20], y[:20]))
        scores["H-score"].append(-transferability.h_score(F[:20], y[:20] > 0))
    risk = np.array(risk)
    for method, score in scores.items():
        first = np.round(score, 9) == np.round(min(score), 9)
        assert rows[20, method]["tied"] == first.sum()
        assert rows[20, method]["risk"] == pytest.approx(risk[first].mean() / risk.min(), rel=1e-6)
    assert rows[20, "largest"]["risk"] == pytest.approx(risk[9] / risk.min(), rel=1e-6)
    assert rows[20, "at random"]["risk"] == pytest.approx(risk.mean() / risk.min(), rel=1e-6)
    assert rows[5, "H-score"]["tied"] == 11


@pytest.mark.parametrize(
    ("call", "name", "error"),
    [
        (lambda: shelf.digit_task("beside", rng()), "setting", ValueError),
        (lambda: shelf.digit_task("inside", 0), "rng", TypeError),
        (lambda: shelf.flower_task("petals"), "name", ValueError),
        (lambda: shelf.compete("petals", rng()), "setting", ValueError),
        (lambda: shelf.compete("inside", 0), "rng", TypeError),
        (lambda: shelf.Task(np.eye(3), np.ones(2), np.eye(3)), "labels", ValueError),
        (lambda: shelf.Task(np.eye(3), np.ones(3), np.ones((2, 4))), "sources", ValueError),
        (lambda: shelf.Task(np.eye(3), np.ones(3), np.ones((0, 3))), "sources", ValueError),
        (lambda: shelf.Task(np.eye(3), np.ones(3), np.eye(3)).draw(1, rng()), "n", ValueError),
        (lambda: shelf.Task(np.eye(3), np.ones(3), np.eye(3)).draw(3, rng()), "n", ValueError),
        (lambda: shelf.even_strength(np.eye(3), np.zeros((2, 3))), "sources", ValueError),
        (lambda: shelf.even_strength(np.eye(3), np.zeros((2, 4))), "sources", ValueError),
        (lambda: shelf.curse(-1, 5, rng()), "decoys", ValueError),
        (lambda: shelf.curse(0, 2, rng()), "n", ValueError),
        (lambda: shelf.extractors(np.ones((3, 63)), np.ones((3, 64)), rng()), "images", ValueError),
        (
            lambda: shelf.extractors(np.ones((3, 64)), np.ones((3, 9)), rng()),
            "unlabelled",
            ValueError,
        ),
        (lambda: shelf.choose_extractor(0), "rng", TypeError),
    ],
)
def test_what_is_refused(call, name, error):
    with pytest.raises(error, match=name):
        call()
