"""Fine-tuning with linear teachers: the models and the measures, one module per chapter of theory.

Import the module you need, ``from lib import linear_regression``; only ``networks`` and
``training`` load torch.
"""

import warnings

# Where processes cannot share a lock, joblib says on being imported, by scikit-learn or by a sweep,
# that calls run one by one. So they do.
warnings.filterwarnings("ignore", message=".*joblib will operate in serial mode")
