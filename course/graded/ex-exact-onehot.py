# %% Inputs of which one entry is not zero [markdown]
# Now let the entries have other probabilities and sizes: $x = s_iv_i$ with
# probability $p_i$, where the $v_i$ are the coordinate vectors. Write
# `onehot_risk`, the exact mean of the risk after $n$ samples without noise and
# ridge. Then put into `risk` what it is for *your* numbers after 20 samples.

# %% parameters
rng = np.random.default_rng([student, 5])
d = int(rng.integers(10, 20))
p = rng.dirichlet(np.full(d, 2.0))  # the probabilities
s = rng.uniform(0.5, 2, d)  # the sizes
gap = rng.standard_normal(d)


# %% solution
def onehot_risk(p, s, gap, n):
    """Return the mean of the risk after n samples.

    p, s and gap are arrays: probability, size and gap of each entry.
    """
    # BEGIN SOLUTION
    return np.sum(p * s**2 * gap**2 * (1 - p) ** n)
    # END SOLUTION


risk = onehot_risk(p, s, gap, 20)  # SOLUTION


# %% check points=1
def check_one_entry(onehot_risk):
    one, two = np.array([1.0]), np.array([2.0])
    before = onehot_risk(one, one, two, 0)
    assert np.shape(before) == (), "return one number"
    assert abs(before - 4) < 1e-8, "no samples: the risk of the source as it is"
    assert abs(onehot_risk(one, one, two, 1)) < 1e-8, "one sample shows it all"


# %% check points=1 hidden=true
def check_all_entries_alike(onehot_risk):
    rng = np.random.default_rng(2021)
    for d in (4, 25):
        gap, even = rng.standard_normal(d), np.full(d, 1 / d)
        for n in (1, d // 2, 2 * d):
            risk = onehot_risk(even, np.full(d, np.sqrt(d)), gap, n)
            assert np.isclose(risk, gap @ gap * (1 - 1 / d) ** n, rtol=1e-6)


# %% check points=2 hidden=true
def check_drawn_samples(onehot_risk):
    rng = np.random.default_rng(2021)
    p, s, gap = np.array([0.5, 0.3, 0.15, 0.05]), np.array([1.0, 3, 2, 0.5]), np.ones(4)
    for n in (2, 6):
        drawn = rng.choice(4, size=(50_000, n), p=p)
        unseen = np.all(drawn[:, :, None] != np.arange(4), axis=1)
        risks = unseen @ (p * s**2 * gap**2)
        # Six standard errors: false once in five hundred million.
        error = risks.std() / np.sqrt(len(risks))
        assert abs(onehot_risk(p, s, gap, n) - risks.mean()) < 6 * error


# %% check points=1 hidden=true
def check_your_number(risk, student):
    # The mean over samples, one drawn after the other.
    unseen = np.ones(d)
    for _ in range(20):
        unseen = unseen - p * unseen
    assert np.isclose(risk, (p * s**2 * gap**2) @ unseen, rtol=1e-6)


# %% wrong marks=1 because="Trusts the formula for isotropic normal inputs"
def onehot_risk(p, s, gap, n):
    left = max(0, 1 - n / len(gap))
    return np.sum(p * s**2 * gap**2) * left


# %% wrong marks=2 because="Takes all entries to be equally likely"
def onehot_risk(p, s, gap, n):
    return np.sum(p * s**2 * gap**2) * (1 - 1 / len(gap)) ** n


# %% wrong marks=2 because="Measures the gap in the weights: forgets how often and how long inputs are"
def onehot_risk(p, s, gap, n):
    return np.sum(gap**2 * (1 - p) ** n)
