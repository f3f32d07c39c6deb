"""A chapter's runs and facts: what its cells show, computed and tested here."""

from helpers.chapters import (
    baseline,
    batchnorm,
    beyond,
    elsewhere,
    finetune,
    forgetting,
    growth,
    images,
    mixup,
    tta,
    verdict,
)
