"""Experiments: what is refused and how it is said, and which choices make a different one."""

import dataclasses
import math
import subprocess
import sys
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest

from helpers.apps import cli
from helpers.experiment import SCALES, Experiment, ExperimentError

FIELDS = dataclasses.fields(Experiment)
HINTS = get_type_hints(Experiment)
WEIGHTS_FILE = "elsewhere/another.weights.h5"


# ---------------------------------------------------------------------------- what is refused


def bad_values(spec: dataclasses.Field) -> list[tuple[Any, str]]:
    """Values that a field must not take, each with what the error has to say."""
    hint = HINTS[spec.name]
    if get_origin(hint) is Literal:
        allowed = f": allowed are {', '.join(map(repr, get_args(hint)))}"
        return [(value, allowed) for value in ("", "Frozen", 1, None, ["frozen"])]
    mistyped: dict[Any, list[Any]] = {
        int: ["1", 1.0, True, None, [1]],
        float: ["a tenth", True, None, 1j],
        str: [1, None, True],
        bool: [1, 0.0, "True", None],
    }
    pairs = [(value, f" is of type {type(value).__name__}, not {hint.__name__}") for value in mistyped[hint]]
    if "low" not in spec.metadata:
        return pairs
    low, high = spec.metadata["low"], spec.metadata["high"]
    outside = [low - 1, high + 1, 10**400]
    if hint is float:
        outside += [math.nextafter(low, -math.inf), math.nextafter(high, math.inf)]
        outside += [math.nan, math.inf, -math.inf]
    return pairs + [(value, f" is outside {low} to {high}") for value in outside]


@pytest.mark.parametrize("spec", FIELDS, ids=lambda spec: spec.name)
def test_a_bad_value_is_refused_by_name_value_and_what_is_allowed(spec: dataclasses.Field) -> None:
    for value, allowed in bad_values(spec):
        with pytest.raises(ExperimentError) as refusal:
            Experiment(**{spec.name: value})
        assert str(refusal.value) == f"{spec.name}={value!r}{allowed}"


def test_weights_have_a_name() -> None:
    with pytest.raises(ExperimentError, match="backbone_weights=''"):
        Experiment(backbone_weights="")


@pytest.mark.parametrize(
    "spec", [spec for spec in FIELDS if "low" in spec.metadata], ids=lambda spec: spec.name
)
def test_both_ends_of_a_range_are_allowed(spec: dataclasses.Field) -> None:
    for value in (spec.metadata["low"], spec.metadata["high"]):
        assert getattr(Experiment(**{spec.name: value}), spec.name) == value


def test_every_number_has_a_range() -> None:
    assert [spec.name for spec in FIELDS if HINTS[spec.name] in (int, float) and not spec.metadata] == []


def test_a_whole_number_is_as_good_as_a_float() -> None:
    whole, point = Experiment(learning_rate=1), Experiment(learning_rate=1.0)
    assert isinstance(whole.learning_rate, float) and (whole, whole.key) == (point, point.key)


@pytest.mark.parametrize(
    ("name", "meant"),
    [("learning_rat", "learning_rate"), ("unfreeze", "n_unfreeze"), ("stage1_epoch", "stage1_epochs")],
)
def test_an_unknown_field_is_refused_with_the_nearest_one(name: str, meant: str) -> None:
    with pytest.raises(ExperimentError, match=f"unknown field '{name}'; did you mean '{meant}'"):
        Experiment.from_mapping({name: 1})
    with pytest.raises(ExperimentError, match=f"did you mean '{meant}'"):
        Experiment().replace(**{name: 1})


def test_a_field_like_no_other_is_refused_with_all_of_them() -> None:
    with pytest.raises(ExperimentError) as refusal:
        Experiment.from_mapping({"zzz": 1})
    assert all(spec.name in str(refusal.value) for spec in FIELDS)


@pytest.mark.parametrize(
    "mixed",
    [
        {"dataset": "miniature"},
        {"backbone_weights": "miniature"},
        {"dataset": "miniature", "backbone_weights": WEIGHTS_FILE},
    ],
)
def test_the_miniature_mixes_with_nothing_else(mixed: dict[str, str]) -> None:
    with pytest.raises(ExperimentError, match="set both to 'miniature', or neither"):
        Experiment(**mixed)  # type: ignore[arg-type]
    Experiment(dataset="miniature", backbone_weights="miniature")


def test_the_miniatures_weights_are_no_other_networks() -> None:
    with pytest.raises(ExperimentError, match="backbone='resnet50_v2' with backbone_weights='miniature'"):
        Experiment(dataset="miniature", backbone_weights="miniature", backbone="resnet50_v2")


def test_a_replacement_is_checked_and_the_original_kept() -> None:
    experiment = Experiment()
    with pytest.raises(ExperimentError, match="dropout=2"):
        experiment.replace(dropout=2)
    assert experiment.replace(dropout=0.5).dropout == 0.5
    assert experiment == Experiment()


# ---------------------------------------------------------------------------- scales


def test_a_scale_limits_but_never_adds() -> None:
    quick, limits = Experiment(scale="quick"), SCALES["quick"]
    assert (quick.stage1_epochs_run, quick.epochs_run) == (limits.stage1_epochs, limits.epochs)
    assert quick.views_run == limits.views
    assert quick.replace(epochs=1, stage1_epochs=1).epochs_run == 1
    full = Experiment()
    assert (full.stage1_epochs_run, full.epochs_run, full.views_run) == (10, 28, 4)
    assert full.replace(n_unfreeze=0).epochs_run == 0
    assert (SCALES["full"].train, SCALES["full"].val, SCALES["full"].test) == (45000, 5000, 10000)


@pytest.mark.parametrize(
    ("augmentation", "epochs", "expected"),
    [("none", 28, 1), ("flip", 28, 2), ("flip", 1, 1), ("standard", 28, 4), ("standard", 3, 3)],
)
def test_no_more_views_than_exist_or_epochs_can_use(augmentation: Any, epochs: int, expected: int) -> None:
    assert Experiment(augmentation=augmentation, epochs=epochs).views_run == expected


# ---------------------------------------------------------------------------- identity


ANOTHER: dict[str, Any] = {
    "scale": "quick", "seed": 43, "image_size": 96, "n_unfreeze": 10, "backbone_bn": "train",
    "head_norm": "layer", "head_momentum": 0.9, "head_units": 64, "dropout": 0.4,
    "label_smoothing": 0.1, "optimizer": "sgd",
    "learning_rate": 3e-4, "weight_decay": 1e-3, "schedule": "cosine", "batch_size": 32,
    "stage1_optimizer": "adamw", "stage1_learning_rate": 1e-2, "stage1_batch_size": 64,
    "stage1_epochs": 9, "stage1_patience": 5, "epochs": 27, "patience": 9, "augmentation": "flip",
    "views": 8, "precision": "bfloat16",
    "head_norm_epochs": 20, "norm_evaluation": "re-estimated", "backbone": "resnet50_v2",
}  # fmt: skip
"""For every field that the key depends on by itself, a value that is not the default."""
NO_MATTER = {"backbone_weights": WEIGHTS_FILE, "mixup_alpha": 1.0, "class_weights": "none", "head_epochs": 10}
"""For every field that it does not: mixup's parameter where nothing is mixed, weights of equal classes, the
head's own passes where a part of the backbone is unfrozen."""
ONLY_STAGE_2 = """backbone_bn optimizer learning_rate weight_decay schedule precision batch_size epochs
    patience augmentation views head_norm_epochs norm_evaluation""".split()
CURRENT_KEY = "8d001f482a4c"
SOFTMAX_KEY = "7b6e1d1918c8"


def test_every_choice_makes_another_key() -> None:
    assert ANOTHER.keys() | NO_MATTER.keys() | {"dataset"} == {spec.name for spec in FIELDS}
    variants = [Experiment(**{name: value}) for name, value in ANOTHER.items()]
    variants += [Experiment(), Experiment(dataset="miniature", backbone_weights="miniature")]
    assert len({variant.key for variant in variants}) == len(variants)


@pytest.mark.parametrize(("name", "value"), NO_MATTER.items())
def test_what_cannot_change_a_result_leaves_the_key(name: str, value: Any) -> None:
    assert Experiment(**{name: value}).key == Experiment().key


def test_a_folders_place_leaves_the_key_and_how_its_classes_weigh_does_not() -> None:
    here, there = (Experiment(dataset=f"folder:{place}/pets") for place in ("here", "there"))
    assert here.key == there.key != Experiment().key
    assert here.replace(class_weights="none").key != here.key


@pytest.mark.parametrize("dataset", ["folder:", "folders:pets", "pets"])
def test_a_dataset_that_is_none_is_refused_with_those_that_are(dataset: str) -> None:
    with pytest.raises(ExperimentError, match="allowed are 'cifar10', 'miniature' and 'folder:PATH'"):
        Experiment(dataset=dataset)


def test_mixups_parameter_matters_where_images_are_mixed() -> None:
    mixed = Experiment(augmentation="standard+mixup")
    assert mixed.replace(mixup_alpha=1.0).key != mixed.key


@pytest.mark.parametrize("norm", ["layer", "none"])
def test_momentum_matters_only_where_statistics_move(norm: Any) -> None:
    without = Experiment(head_norm=norm)
    assert without.replace(head_momentum=0.9).key == without.key


def test_a_second_stage_of_the_head_makes_another_baseline() -> None:
    twice = Experiment(n_unfreeze=0, head_epochs=10)
    assert (twice.epochs_run, twice.replace(scale="smoke").epochs_run) == (10, 2)
    assert len({twice.key, twice.replace(learning_rate=3e-4).key, Experiment(n_unfreeze=0).key}) == 3
    assert twice.replace(epochs=3).key == twice.key


@pytest.mark.parametrize(
    "changes",
    [
        {"head_norm": "frozen", "norm_evaluation": "re-estimated"},
        {"head_norm": "none", "head_norm_epochs": 5},
        {"norm_evaluation": "re-estimated", "head_norm_epochs": 5},
    ],
)
def test_statistics_that_training_uses_are_not_re_estimated(changes: dict[str, Any]) -> None:
    with pytest.raises(ExperimentError, match="norm_evaluation=.*head_norm_epochs=.*leave out all but one"):
        Experiment(**changes)


def test_bfloat16_needs_a_norm_that_is_frozen() -> None:
    with pytest.raises(ExperimentError, match="backbone_bn='train'.*set backbone_bn='frozen'"):
        Experiment(precision="bfloat16", backbone_bn="train")


def test_views_that_no_epoch_can_use_leave_the_key() -> None:
    assert Experiment(epochs=3, views=4).key == Experiment(epochs=3, views=3).key
    assert Experiment(augmentation="none", views=4).key == Experiment(augmentation="none", views=1).key


@pytest.mark.parametrize("name", ONLY_STAGE_2)
def test_where_nothing_is_unfrozen_stage_2_leaves_the_key(name: str) -> None:
    baseline = Experiment(n_unfreeze=0)
    assert baseline.replace(**{name: ANOTHER[name]}).key == baseline.key
    assert Experiment(n_unfreeze=30, epochs=0).key == baseline.key


@pytest.mark.parametrize("name", sorted(ANOTHER.keys() - {"n_unfreeze", *ONLY_STAGE_2}))
def test_where_nothing_is_unfrozen_stage_1_still_makes_the_key(name: str) -> None:
    baseline = Experiment(n_unfreeze=0)
    assert baseline.replace(**{name: ANOTHER[name]}).key != baseline.key


def test_the_key_is_pinned() -> None:
    """A key that changes orphans every stored record: then PROTOCOL has to rise too."""
    assert Experiment().key == CURRENT_KEY


def test_the_key_of_a_softmax_alone_is_pinned() -> None:
    """It starts at zero: a key that went back to the one of a random start would find withdrawn records."""
    assert Experiment(head_units=0).key == SOFTMAX_KEY


def test_the_command_lines_experiment_has_the_same_key() -> None:
    assert cli.Choices().key == CURRENT_KEY


def test_the_key_is_the_same_in_another_process() -> None:
    code = "from helpers.experiment import Experiment; print(Experiment().key)"
    command = [sys.executable, "-c", code]
    environment = {"PYTHONHASHSEED": "1", "PYTHONPATH": ":".join(sys.path)}
    output = subprocess.run(command, capture_output=True, text=True, env=environment, check=True).stdout
    assert output.strip() == Experiment().key


def test_the_identity_adds_the_data_and_the_weights() -> None:
    prints = {"data": "d", "weights": "w"}
    identity = Experiment().identity(prints)
    assert identity == Experiment().identity(dict(reversed(prints.items())))
    assert len({identity, Experiment().identity({**prints, "weights": "v"}), Experiment().key}) == 3
    assert Experiment(seed=1).identity(prints) != identity


def test_the_slug_is_readable_and_fit_for_a_file_name() -> None:
    assert Experiment().slug == "n30_standard_adamw_lr1e-05_b64_s42"
    assert Experiment(n_unfreeze=0, seed=3).slug == "n0_s3"
    assert Experiment(backbone="resnet50_v2", n_unfreeze=0).slug == "resnet50_v2_n0_s42"
    mixed = Experiment(augmentation="standard+mixup").slug
    assert mixed == "n30_standard-mixup_adamw_lr1e-05_b64_s42"


def test_experiments_need_neither_keras_nor_numpy() -> None:
    code = (
        "import sys; from helpers.experiment import Experiment; Experiment().key; "
        "sys.exit(bool({'numpy', 'keras', 'tensorflow'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_number_that_yaml_took_for_text_is_that_number() -> None:
    assert Experiment(learning_rate="1e-5") == Experiment(learning_rate=1e-5)  # type: ignore[arg-type]
    with pytest.raises(ExperimentError, match="learning_rate='fast' is of type str"):
        Experiment(learning_rate="fast")  # type: ignore[arg-type]
