"""A chapter's runs and facts: what its cells show, computed and tested here."""

from helpers.chapters import (
    baseline,
    batchnorm,
    beginnings,
    beyond,
    differences,
    elsewhere,
    findings,
    finetune,
    forgetting,
    growth,
    images,
    mixup,
    people,
    tta,
    verdict,
)
