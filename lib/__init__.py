"""Fine-tuning with linear teachers: the models and the measures, one module per chapter of theory.

Import the module you need, ``from lib import linear_regression``; only ``networks`` and
``training`` load torch.
"""
