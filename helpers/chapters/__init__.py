"""A chapter's runs and facts: what its cells show, computed and tested here."""

from helpers.chapters import baseline as baseline
from helpers.chapters import beginnings as beginnings
from helpers.chapters import beyond as beyond
from helpers.chapters import common as common
from helpers.chapters import finetune as finetune
from helpers.chapters import forgetting as forgetting
from helpers.chapters import images as images
from helpers.chapters import mixup as mixup
from helpers.chapters import tta as tta
from helpers.chapters import verdict as verdict
