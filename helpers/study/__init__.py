"""What the original study claimed, and what was tried to test it."""

from helpers.study import experiments
