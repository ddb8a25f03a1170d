# %% The price of a frozen input side, before training [markdown]
# The price is the mean risk minus that of training all weights, in the mean over
# an input side $B$ of independent normal entries. Write `price`, which estimates
# it from the samples and a table of unlabelled inputs. Then put into `paid` the price of $3n$ columns on *your* data.

# %% parameters
rng = np.random.default_rng([student, 12])
d, n = int(rng.integers(12, 20)), int(rng.integers(3, 6))
spread = 1 / np.sqrt(np.arange(1, d + 1))
X, unlabelled = (rng.standard_normal((m, d)) * spread for m in (n, 500))
source, target = rng.standard_normal((2, d))
y = X @ target


# %% solution
def price(X, y, source, unlabelled, columns):
    """Return the mean of the risk that is added to training all weights.

    X and y are the samples, `unlabelled` has an input in each row, and the
    input side of the adapter has so many columns, more than len(y) + 1.
    """
    # BEGIN SOLUTION
    back = np.linalg.pinv(X)
    change = back @ (y - X @ source)
    unseen = unlabelled - unlabelled @ back @ X
    size = np.mean(np.sum(unseen**2, axis=1))
    return size * (change @ change) / (columns - len(y) - 1)
    # END SOLUTION


paid = price(X, y, source, unlabelled, 3 * n)  # SOLUTION


# %% check points=1
def check_nothing_unseen(price):
    X, y = np.array([[1.0, 0]]), np.array([2.0])
    found = price(X, y, np.zeros(2), np.array([[3.0, 0], [1, 0]]), 5)
    assert np.shape(found) == (), "return one number"
    assert abs(found) < 1e-8, "these inputs have no part that the sample misses"


# %% check points=1 hidden=true
def check_columns(price):
    rng = np.random.default_rng(2021)
    X, Z = rng.standard_normal((2, 7)), rng.standard_normal((30, 7))
    y, source = rng.standard_normal(2), rng.standard_normal(7)
    prices = [price(X, y, source, Z, columns) for columns in (4, 5, 13)]
    assert np.allclose(np.array(prices) / prices[0], [1, 1 / 2, 1 / 10])


# %% check points=2 hidden=true
def check_drawn_adapters(price):
    rng = np.random.default_rng(2021)
    X, Z = rng.standard_normal((2, 6)), rng.standard_normal((40, 6))
    y, source = rng.standard_normal(2), rng.standard_normal(6)
    h = 12
    blind = np.eye(6) - np.linalg.pinv(X) @ X
    B = rng.standard_normal((10_000, 6, h))
    # From A = 0 gradient flow finds the shortest A that fits.
    moved = B @ np.linalg.pinv(X @ B) @ (y - X @ source)
    added = np.mean((moved @ (Z @ blind).T) ** 2, axis=1)
    # Six standard errors of the mean, which is known to a tenth.
    error = np.std(added) / np.sqrt(len(added))
    found = price(X, y, source, Z, h)
    assert abs(found - np.mean(added)) < 6 * error < 0.1 * found


# %% check points=1 hidden=true
def check_your_number(paid, student):
    left = np.linalg.svd(X)[2][n:]  # rows span the blind spot
    size = np.sum((unlabelled @ left.T) ** 2) / len(unlabelled)
    change = np.linalg.lstsq(X, X @ (target - source))[0]
    assert np.isclose(paid, size * (change @ change) / (2 * n - 1), rtol=1e-6)


# %% wrong marks=1 because="Counts all that the inputs vary, not only what the sample misses"
def price(X, y, source, unlabelled, columns):
    change = np.linalg.pinv(X) @ (y - X @ source)
    size = np.mean(np.sum(unlabelled**2, axis=1))
    return size * (change @ change) / (columns - len(y) - 1)


# %% wrong marks=1 because="Forgets that the mean of an inverse takes one degree of freedom more"
def price(X, y, source, unlabelled, columns):
    back = np.linalg.pinv(X)
    change = back @ (y - X @ source)
    unseen = unlabelled - unlabelled @ back @ X
    size = np.mean(np.sum(unseen**2, axis=1))
    return size * (change @ change) / (columns - len(y))


# %% wrong marks=2 because="Takes what the labels are for what must be changed: forgets the source"
def price(X, y, source, unlabelled, columns):
    back = np.linalg.pinv(X)
    change = back @ y
    unseen = unlabelled - unlabelled @ back @ X
    size = np.mean(np.sum(unseen**2, axis=1))
    return size * (change @ change) / (columns - len(y) - 1)
