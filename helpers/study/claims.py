"""The claims of the original study: what it says, what it published, and the rule that decides it.

To add a claim, append it to CLAIMS and name its experiments in `experiments`. The verdict on it needs
full-scale runs on CIFAR-10; `verdict` finds them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from helpers.experiment import Experiment
from helpers.study import experiments, rules


@dataclass(frozen=True)
class Claim:
    """One claim of the original study and the rule that decides it."""

    id: str
    statement: str
    rule: rules.Rule
    experiments: Mapping[str, Experiment]
    """The experiments that the rule compares, by the names that it knows them by."""
    notebook: str
    """The notebook that shows it."""
    short: str
    """The statement in a few words, for a figure."""
    published: str = "–"
    """The study's figures; a dash where it gives none."""
    figure: str = ""
    """The same in a few words; empty where it gives none."""
    optional: Mapping[str, Experiment] = field(default_factory=dict)
    """Experiments that the rule also weighs where they have been run."""
    free: tuple[str, ...] = ("seed",)
    """Fields in which a run may differ from the experiment."""
    screening: bool = False
    """Whether SCREENING runs are taken where full ones are missing."""
    fair_rates: tuple[float, ...] = ()
    """Rates that each experiment is wanted at in whole runs; fewer, or short ones, are no fair test."""


TEST_ACCURACY = {
    "frozen network": 0.868,
    "ten layers": 0.888,
    "3e-4, as published": 0.14,
    "3e-4, as logged": 0.4162,
    "careful fine-tune": 0.916,
    "careful fine-tune + mixup": 0.910,
}
"""Test accuracies, 0 to 1, that the study published, by the names of TABLE."""
ONLY_FROZEN = {"frozen network": experiments.BASELINE}
ONLY_CAREFUL = {"careful fine-tune": experiments.CAREFUL}
FAILED = {
    "3e-4, as published": experiments.TABLE["3e-4, as published"],
    "3e-4, as logged": experiments.LOGGED,
}
CLAIMS: tuple[Claim, ...] = (
    Claim(
        id="C1",
        short="A frozen network reaches 87%",
        figure="86.8%",
        statement="A frozen backbone reaches the target of 87%.",
        published="val 87.3%, test 86.8% (in the text 87.4%)",
        rule=rules.target,
        experiments=ONLY_FROZEN,
        notebook="02_baseline",
    ),
    Claim(
        id="C2",
        short="The baseline overfits by 10 points",
        figure="over 10 points",
        statement="The baseline overfits.",
        published="train 98%, val 87%: a gap above 10 points",
        rule=rules.overfits,
        experiments={"frozen network": experiments.BASELINE_TWO_STAGES},
        notebook="02_baseline",
    ),
    Claim(
        id="C3",
        short="10 layers reach 88.8%",
        figure="88.8%",
        statement="Fine-tuning 10 layers at 1e-4 without augmentation reaches 88.8%.",
        published="val 89.5%, test 88.8%",
        rule=rules.reaches(val=0.895, test=0.888),
        experiments={"ten layers": experiments.TABLE["ten layers"]},
        notebook="04_finetune",
    ),
    Claim(
        id="C4a",
        short="At 3e-4 it collapses",
        figure="15%",
        statement="Fine-tuning 30 layers at 3e-4 collapses.",
        published="val ~15%, test ~14%",
        rule=rules.collapses,
        experiments=FAILED,
        notebook="03_forgetting",
    ),
    Claim(
        id="C4b",
        short="It stays collapsed",
        figure="14%",
        statement="It does not recover.",
        published="test ~14%, in its log 41.6%",
        rule=rules.stays_failed,
        experiments={"frozen network": experiments.BASELINE, **FAILED},
        notebook="03_forgetting",
    ),
    Claim(
        id="C4c",
        short="It forgot what it knew",
        statement="The pre-trained weights are destroyed: catastrophic forgetting.",
        rule=rules.forgets,
        experiments={"3e-4, as logged": experiments.LOGGED},
        notebook="03_forgetting",
    ),
    Claim(
        id="C5",
        short="30 layers reach 91.6%",
        figure="91.6%",
        statement="Fine-tuning 30 layers at 1e-5 with augmentation and AdamW reaches 91.6%.",
        published="val 92.3%, test 91.6% (said to be with the flip averaged in; likely without)",
        rule=rules.reaches(val=0.923, test=0.916),
        experiments=ONLY_CAREFUL,
        notebook="04_finetune",
    ),
    Claim(
        id="C6",
        short="Mixup slightly hurts",
        figure="-0.6 points",
        statement="Mixup on top slightly hurts.",
        published="val 91.7%, test 91.0%: -0.6 points",
        rule=rules.hurts_slightly,
        experiments={
            "careful fine-tune": experiments.NEW_VIEWS,
            "careful fine-tune + mixup": experiments.NEW_MIXES,
        },
        notebook="05_mixup",
    ),
    Claim(
        id="C7",
        short="The low rate made the difference",
        statement="The difference between failure and success was a 30 times lower learning rate.",
        rule=rules.rate_decides,
        experiments={
            "frozen network": experiments.BASELINE,
            "3e-4, as logged": experiments.LOGGED,
            "careful fine-tune": experiments.CAREFUL,
        },
        optional=experiments.FAILED_WITH_OTHER_NORM,
        notebook="03_forgetting",
    ),
    Claim(
        id="C8",
        short="Averaging over the flip gains",
        figure="+0.5 points",
        statement="Averaging over the flip gains about half a point.",
        published="+0.5 points",
        rule=rules.averaging_gains,
        experiments=ONLY_CAREFUL,
        notebook="06_tta",
    ),
    Claim(
        id="C9",
        short="More layers, step by step, help",
        statement="Unfreezing more layers helps progressively.",
        rule=rules.progressive,
        experiments=experiments.DEPTHS,
        screening=True,
        fair_rates=experiments.FAIR_RATES,
        notebook="04_finetune",
    ),
    Claim(
        id="C10",
        short="AdamW beats Adam and SGD",
        statement="AdamW is the best of SGD with Nesterov momentum, Adam and AdamW.",
        rule=rules.best_of("adamw", " Each at its best learning rate of those tried, by validation."),
        experiments=experiments.OPTIMIZERS,
        free=("seed", "learning_rate"),
        screening=True,
        notebook="04_finetune",
    ),
    Claim(
        id="C11",
        short="A batch of 64 beats 32 and 128",
        statement="A batch of 64 is the best of 32, 64 and 128.",
        rule=rules.best_of("64", " Whole runs, each at the best of three learning rates, by validation."),
        experiments=experiments.BATCH_SIZES,
        screening=True,
        fair_rates=experiments.FAIR_RATES,
        notebook="04_finetune",
    ),
    Claim(
        id="C12",
        short="It no longer overfits",
        figure="close",
        statement="Overfitting is under control in the final run.",
        published="train and validation closely aligned",
        rule=rules.close,
        experiments={"new views": experiments.NEW_VIEWS},
        notebook="04_finetune",
    ),
    Claim(
        id="C13",
        short="Smoothing explains the loss",
        figure="above 0.5",
        statement="A validation loss above 0.5 at 92% accuracy is a side effect of label smoothing.",
        published="val loss above 0.5",
        rule=rules.smoothing_explains,
        experiments=ONLY_CAREFUL,
        notebook="04_finetune",
    ),
    Claim(
        id="C14",
        short="Three pairs are confused most",
        figure="3 pairs",
        statement="The common confusions are cat and dog, truck and automobile, bird and airplane.",
        published="the three pairs",
        rule=rules.confusions,
        experiments=ONLY_CAREFUL,
        notebook="04_finetune",
    ),
    Claim(
        id="C15",
        short="Under 16 minutes on a GPU",
        figure="937 s",
        statement="The final training takes under 16 minutes on a GPU.",
        published="937 s",
        rule=rules.fast_enough,
        experiments=ONLY_CAREFUL,
        notebook="07_beyond",
    ),
    Claim(
        id="C16",
        short="Stored features make it fast",
        figure="57 and 37 s",
        statement="Computing the features beforehand makes stage 1 fast.",
        published="57 s features, 37 s head",
        rule=rules.storing_pays,
        experiments=ONLY_FROZEN,
        notebook="02_baseline",
    ),
    Claim(
        id="C17",
        short="Every regularizer helps",
        statement="The regularizers work together: augmentation, batch 64, dropout, weight decay, smoothing.",
        rule=rules.each_helps,
        experiments=experiments.REGULARIZERS,
        screening=True,
        fair_rates=experiments.FAIR_RATES,
        notebook="04_finetune",
    ),
)
