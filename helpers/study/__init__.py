"""What the original study claimed, and what was tried to test it."""

from helpers.study import claims as claims
from helpers.study import experiments as experiments
from helpers.study import rules as rules
from helpers.study import verdict as verdict
