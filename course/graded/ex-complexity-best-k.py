# %% The best rank [markdown]
# The bound is $R \le 2e\bigl(e^2\sum_{i\le k}u_i^2/\lambda_i^2 + \sum_{i>k}
# u_i^2\bigr)$, for every rank $k = 0, \dots, d$, with the largest eigenvalues
# first. Write `best_bound`, which finds the best rank and the bound with it,
# for eigenvalues in any order. Then put into `lowest` the best bound for *your*
# numbers.

# %% parameters
rng = np.random.default_rng([student, 2])
d = int(rng.integers(20, 40))
eigenvalues = 1 / np.arange(1, d + 1) ** rng.uniform(0.8, 1.6)
gap = rng.standard_normal(d)  # the coordinates u_i along the eigenvectors
error = float(eigenvalues[rng.integers(5, 15)] * 1.02)  # e


# %% solution
def best_bound(eigenvalues, gap, error):
    """Return the best k and the bound on the risk with it.

    eigenvalues[i] is the variance along an eigenvector, gap[i] the coordinate
    of the gap along it, error the size e of the covariance's error.
    """
    # BEGIN SOLUTION
    inside = eigenvalues > error
    price = np.where(inside, (error / eigenvalues) ** 2, 1)
    return int(inside.sum()), 2 * error * np.sum(price * gap**2)
    # END SOLUTION


lowest = best_bound(eigenvalues, gap, error)[1]  # SOLUTION


# %% check points=1
def check_all_inside(best_bound):
    k, bound = best_bound(np.array([4.0, 2.0]), np.array([0.0, 0.0]), 0.5)
    assert k == 2, "both eigenvalues are above the error: k = 2"
    assert bound == 0, "there is no gap: the bound is zero"


# %% check points=1 hidden=true
def check_rank(best_bound):
    rng = np.random.default_rng(2021)
    for d in (3, 30):
        values = np.sort(rng.exponential(size=d))[::-1]
        values[0] += 1
        k, _ = best_bound(values, rng.standard_normal(d), float(values[1:3].mean()))
        assert k == 2


# %% check points=2 hidden=true
def check_bound(best_bound):
    rng = np.random.default_rng(2021)
    for d in (1, 4, 30):
        values, gap = rng.exponential(size=d) + 0.01, rng.standard_normal(d)
        order = np.argsort(values)[::-1]
        for error in (0.02, 0.3, 1.0, 50.0):
            inside = (error * gap / values)[order] ** 2
            outside = gap[order] ** 2
            tried = [inside[:k].sum() + outside[k:].sum() for k in range(d + 1)]
            # The same sums in another order: all but a few of sixteen digits.
            _, bound = best_bound(values, gap, error)
            assert np.isclose(bound, 2 * error * min(tried), rtol=1e-8)


# %% check points=1 hidden=true
def check_your_number(lowest, student):
    tried = [
        np.sum((error * gap / eigenvalues)[:k] ** 2) + np.sum(gap[k:] ** 2) for k in range(d + 1)
    ]
    assert np.isclose(lowest, 2 * error * min(tried), rtol=1e-6)


# %% wrong marks=2 because="Forgets the factor 2e in front of both parts"
def best_bound(eigenvalues, gap, error):
    price = np.minimum(1, (error / eigenvalues) ** 2)
    return int(np.sum(eigenvalues > error)), np.sum(price * gap**2)


# %% wrong marks=1 because="Lets all counted directions pay the price of the worst one"
def best_bound(eigenvalues, gap, error):
    order = np.argsort(eigenvalues)[::-1]
    values, squares = eigenvalues[order], gap[order] ** 2
    bounds = [2 * error * squares.sum()]
    for k in range(1, len(values) + 1):
        inside = (error / values[k - 1]) ** 2 * squares[:k].sum()
        bounds.append(2 * error * (inside + squares[k:].sum()))
    k = max(k for k in range(len(bounds)) if bounds[k] == min(bounds))
    return k, bounds[k]


# %% wrong marks=1 because="Counts every direction: more inside is always better"
def best_bound(eigenvalues, gap, error):
    return len(gap), 2 * error * np.sum((error * gap / eigenvalues) ** 2)
