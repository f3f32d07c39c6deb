"""A transfer-learning report that can be run: see README.md, and experiment.py for where to begin.

Importing this package imports neither Keras nor TensorFlow; the modules that need them say so.
"""

import os

# TensorFlow reads both once, when it is imported. Its oneDNN kernels double the speed of training and
# prediction on processors where it leaves them off by default; its start-up lines are no news.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
