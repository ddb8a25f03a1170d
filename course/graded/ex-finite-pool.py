# %% Transfer or pool [markdown]
# Inputs are isotropic and normal with $\Sigma = \lambda I$, without noise and
# ridge, and now the two tasks may differ. A model that is trained from zero on
# $n_S$ source samples, and fine-tuned on $n$ target samples, has the mean risk
# $\lambda(1 - \frac nd)\bigl(\lVert\theta_T\rVert^2 -
# \frac{n_S}d(2\theta_S^\top\theta_T - \lVert\theta_S\rVert^2)\bigr)$ for $n, n_S
# < d$ (from the chapter). Write `labels_needed`: the least $n$ with which this
# risk, as a share of that of the model zero, is at most `share`, for two ways:
# with pretraining on the source task, and from zero, without. Then put into
# `left` which share is left at the first of the two, for *your* numbers.

# %% parameters
rng = np.random.default_rng([student, 7])
d = int(rng.integers(80, 120))
n_S = int(rng.integers(30, 70))
share = float(rng.uniform(0.1, 0.4))
target = rng.standard_normal(d)
source = target + 0.4 * rng.standard_normal(d)


# %% solution
def labels_needed(source, target, n_S, share):
    """Return the least n with pretraining, and the least n from zero.

    Two whole numbers. The share is at least 1/d and at most 1.
    """
    # BEGIN SOLUTION
    d = len(target)
    kept = (2 * source @ target - source @ source) / (target @ target)
    start = 1 - n_S / d * kept
    n = np.arange(d + 1)
    with_source = np.argmax((1 - n / d) * start <= share + 1e-12)
    from_zero = np.argmax(1 - n / d <= share + 1e-12)
    return int(with_source), int(from_zero)
    # END SOLUTION


# BEGIN SOLUTION NO PROMPT
n = labels_needed(source, target, n_S, share)[0]
kept = (2 * source @ target - source @ source) / (target @ target)
# END SOLUTION
left = (1 - n / d) * (1 - n_S / d * kept)  # SOLUTION


# %% check points=1
def check_no_pretraining(labels_needed):
    target = np.ones(10)
    found = labels_needed(target, target, 0, 0.45)
    assert len(found) == 2, "return two numbers"
    assert tuple(found) == (6, 6), "without source samples both ways are the same"


# %% check points=1 hidden=true
def check_the_same_task(labels_needed):
    target = np.random.default_rng(2021).standard_normal(50)
    for n_S, share in [(20, 0.31), (40, 0.11), (40, 0.33)]:
        start = 1 - n_S / 50
        truth = max(0, int(np.ceil(50 * (1 - share / start))))
        assert labels_needed(target, target, n_S, share)[0] == truth


# %% check points=2 hidden=true
def check_other_tasks(labels_needed):
    rng = np.random.default_rng(2021)
    for _ in range(20):
        d, n_S, share = int(rng.integers(5, 90)), int(rng.integers(1, 5)), rng.uniform(0.05, 0.9)
        source, target = rng.standard_normal((2, d))
        start = (1 - n_S / d) * (target @ target) + n_S / d * np.sum((target - source) ** 2)
        n = 0
        while (1 - n / d) * start > share * (target @ target):
            n += 1
        zero = int(np.ceil(d * (1 - share)))
        assert tuple(labels_needed(source, target, n_S, share)) == (n, zero)


# %% check points=1 hidden=true
def check_your_number(left, student):
    gap = target - source
    start = (1 - n_S / d) * (target @ target) + n_S / d * (gap @ gap)
    shares = (1 - np.arange(d + 1) / d) * start / (target @ target)
    assert np.isclose(left, max(shares[shares <= share]), rtol=1e-6)


# %% wrong marks=1 because="Adds the samples up, as if one trained on all at once"
def labels_needed(source, target, n_S, share):
    n = int(np.ceil(len(target) * (1 - share)))
    return max(0, n - n_S), n


# %% wrong marks=2 because="Takes the two tasks for the same"
def labels_needed(source, target, n_S, share):
    d = len(target)
    start = 1 - n_S / d
    first = max(0, int(np.ceil(d * (1 - share / start))))
    return first, int(np.ceil(d * (1 - share)))


# %% wrong marks=3 because="Says that pretraining never costs labels: cuts off what it costs"
def labels_needed(source, target, n_S, share):
    d = len(target)
    kept = (2 * source @ target - source @ source) / (target @ target)
    start = min(1, 1 - n_S / d * kept)
    first = max(0, int(np.ceil(d * (1 - share / start))))
    return first, int(np.ceil(d * (1 - share)))
