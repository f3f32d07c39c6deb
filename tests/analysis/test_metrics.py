"""Evaluation: each number against a published value, another library, or a case that can be done by hand."""

from pathlib import Path

import numpy as np
import pytest
from made import COUNTS, arrays_of, content_of, published_log, recomputed, softmax_outputs
from scipy import stats
from sklearn.metrics import log_loss

from helpers.analysis import batchnorm, intervals, metrics
from helpers.experiment import Experiment
from helpers.records import store
from helpers.records.run import RecordError
from helpers.text import scientific

RNG = np.random.default_rng(0)


def test_the_studys_accuracy_has_the_interval_that_the_binomial_gives() -> None:
    published = intervals.accuracy(np.arange(10000) < 9156)
    assert str(published) == "91.6% (91.0 to 92.1)"
    logged = intervals.proportion(0.9156000018119812, 10000)
    assert (logged.low, logged.high) == (published.low, published.high)


def test_wilson_against_scipy_and_at_the_ends() -> None:
    expected = stats.binomtest(81, 263).proportion_ci(method="wilson")
    assert intervals.wilson(81, 263) == pytest.approx((expected.low, expected.high))
    assert intervals.wilson(0, 50)[0] == pytest.approx(0, abs=1e-12)
    assert intervals.wilson(50, 50)[1] == pytest.approx(1)


def test_a_mean_over_seeds_has_students_interval_where_all_chance_lies_in_them() -> None:
    shares = np.array([0.871, 0.873, 0.872])
    expected = stats.t.interval(0.95, 2, shares.mean(), stats.sem(shares))
    found = intervals.mean_of_seeds(np.repeat(shares[:, None], 50, axis=1))
    assert found == pytest.approx((shares.mean(), *expected))
    with pytest.raises(ValueError, match="1 run"):
        intervals.mean_of_seeds(np.ones((1, 50)))


def test_seeds_that_answer_alike_leave_the_chance_in_the_images() -> None:
    one = np.arange(10000) < 9000
    found = intervals.mean_accuracy([one, one, one])
    half = 1.96 * np.sqrt(0.9 * 0.1 / 10000)
    assert (found.low, found.high) == pytest.approx((0.9 - half, 0.9 + half), abs=1e-5)
    assert str(found) == "90.0% (89.4 to 90.6; 3 seeds)"
    assert intervals.mean_accuracy(np.ones((3, 9), dtype=bool)).high == 1


def test_seeds_that_agree_by_luck_leave_the_chance_in_the_images() -> None:
    """Each seed's difference is zero, on other images: so it would be on no other test set."""
    differences = np.zeros((3, 1000))
    for seed, row in enumerate(differences):
        row[100 * seed : 100 * seed + 50], row[100 * seed + 50 : 100 * seed + 100] = 1, -1
    mean, low, high = intervals.mean_of_seeds(differences)
    half = 1.96 * differences.mean(axis=0).std(ddof=1) / np.sqrt(1000)
    assert (mean, low, high) == pytest.approx((0, -half, half), abs=1e-5)


def covered(seeds: int, spread: float, repeats: int = 600) -> tuple[float, float]:
    """How often the interval holds the truth, 0.9, in made-up tests of 1,000 images; and Student's does.

    Some images are hard for every seed, and the seeds' own accuracies vary by `spread`.
    """
    rng, held, students = np.random.default_rng(0), 0, 0
    for _ in range(repeats):
        right = rng.beta(0.9, 0.1, 1000) + rng.normal(0, spread, seeds)[:, None]
        answers = rng.random((seeds, 1000)) < right
        _, low, high = intervals.mean_of_seeds(answers)
        shares = answers.mean(axis=1)
        of_student = stats.t.ppf(0.975, seeds - 1) * stats.sem(shares)
        held += low <= 0.9 <= high
        students += abs(shares.mean() - 0.9) <= of_student
    return held / repeats, students / repeats


def test_a_mean_over_seeds_is_covered_as_often_as_its_interval_says() -> None:
    """Whichever chance is the larger one; Student's interval over the seeds forgets the images."""
    for seeds, spread in [(3, 0.0), (6, 0.0), (3, 0.01)]:
        assert covered(seeds, spread)[0] > 0.92
    assert covered(6, 0.0)[1] < 0.75


# ---------------------------------------------------------------------------- paired


@pytest.mark.parametrize(
    ("value", "written"), [(3e-4, "3e-4"), (3.76e-5, "3.8e-5"), (0.001, "1e-3"), (1e-9, "1e-9"), (0, "0")]
)
def test_a_rate_is_written_as_the_prose_writes_it(value: float, written: str) -> None:
    assert scientific(value) == written


def test_paired_counts_and_the_exact_test() -> None:
    first = np.array([True] * 900 + [False] * 100)
    second = np.array([True] * 890 + [False] * 10 + [True] * 40 + [False] * 60)
    test = intervals.paired(first, second)
    assert (test.only_first, test.only_second, test.n) == (10, 40, 1000)
    assert test.difference == pytest.approx(0.03)
    assert test.p_value == pytest.approx(stats.binomtest(10, 50).pvalue)
    assert str(test) == "+3.0 points (1.6 to 4.4), p < 0.001"
    back = intervals.paired(second, first)
    assert (back.difference, back.p_value) == (-test.difference, test.p_value)


def test_where_few_images_differ_what_the_exact_test_finds_lies_outside_the_interval() -> None:
    for differ in (0, 1, 2, 4, 6, 12, 29):
        for better in range(differ + 1):
            one = np.arange(40) < differ - better
            two = (np.arange(40) >= differ - better) & (np.arange(40) < differ)
            test = intervals.paired(one, two)
            assert (test.only_first, test.only_second) == (differ - better, better)
            assert -1 <= test.low < test.difference < test.high <= 1
            assert test.p_value >= 0.05 or not test.low <= 0 <= test.high, test


@pytest.mark.parametrize(("worse", "better"), [(0.002, 0.008), (0.0, 0.005), (0.0005, 0.0015)])
def test_where_few_images_differ_the_interval_holds_the_truth_as_often_as_it_says(
    worse: float, better: float
) -> None:
    """Clopper and Pearson's, given how many differ, held it half the time; the bootstrap's, of 2, in 75%."""
    held = []
    for draw in np.random.default_rng(3).random((400, 1000)):
        test = intervals.paired((draw < worse), (draw >= worse) & (draw < worse + better))
        held.append(test.low <= better - worse <= test.high)
    assert np.mean(held) > 0.92


def test_the_paired_bootstrap_agrees_with_scipys() -> None:
    first, second = RNG.random(800) < 0.85, RNG.random(800) < 0.9

    def difference(one: np.ndarray, two: np.ndarray, axis: int = -1) -> np.ndarray:
        return (two - one).mean(axis=axis)

    samples = (first.astype(float), second.astype(float))
    expected = stats.bootstrap(
        samples, difference, paired=True, method="percentile", n_resamples=1500, rng=1
    ).confidence_interval
    test = intervals.paired(first, second)
    assert (test.low, test.high) == pytest.approx((expected.low, expected.high), abs=0.003)


def test_equal_runs_do_not_differ() -> None:
    correct = RNG.random(100) < 0.5
    test = intervals.paired(correct, correct)
    assert (test.difference, test.p_value) == (0, 1)
    assert -test.low == test.high == pytest.approx(1.96 / 102, rel=0.01)  # other images may tell them apart


@pytest.mark.parametrize(
    "low, high, told",
    [
        (-0.0075, -0.0001, "-0.38 points (-0.75 to -0.01)"),
        (0.0004, 0.002, "-0.38 points (0.04 to 0.20)"),
        (-0.0075, 0.0, "-0.4 points (-0.8 to 0.0)"),
        (-0.0075, -0.0005, "-0.4 points (-0.8 to -0.1)"),
    ],
)
def test_an_end_that_is_not_zero_does_not_read_as_zero(low: float, high: float, told: str) -> None:
    assert str(intervals.Gain(-0.00376, low, high, 1)) == told
    assert str(intervals.Gain(-0.00376, low, high, 3)) == told.replace(")", "; 3 seeds)")
    assert str(intervals.PairedTest(-0.00376, low, high, 0.04, 0, 0, 100)) == f"{told}, p = 0.04"


def test_nothing_has_no_minus() -> None:
    assert str(intervals.Gain(-2e-4, -4e-3, 3e-3, 1)) == "+0.0 points (-0.4 to 0.3)"
    assert str(intervals.Gain(2e-3, -3e-5, 4e-3, 1)) == "+0.200 points (-0.003 to 0.400)"


def test_only_the_same_images_can_be_paired() -> None:
    with pytest.raises(ValueError, match="same ones"):
        intervals.paired(np.ones(10), np.ones(9))


# ---------------------------------------------------------------------------- classes


def test_confusion_matrix_has_true_rows_and_all_classes() -> None:
    matrix = metrics.confusion_matrix([0, 0, 3], [0, 5, 3], 10)
    assert matrix.shape == (10, 10)
    assert (matrix[0, 0], matrix[0, 5], matrix[3, 3]) == (1, 1, 1)


MATRIX = [[8, 1, 1], [0, 9, 1], [2, 1, 7]]


def test_accuracy_by_class_is_of_the_rows() -> None:
    shares = metrics.class_accuracy(MATRIX)
    assert [each.value for each in shares] == [0.8, 0.9, 0.7]
    assert shares[0] == intervals.proportion(0.8, 10)


def test_pairs_are_confused_both_ways_and_equals_keep_the_order_of_the_labels() -> None:
    worst, second, least = metrics.confused_pairs(MATRIX, ("a", "b", "c"))
    assert worst == metrics.ConfusedPair("a", "c", 3, 0.5)
    assert (second.first, second.second, second.errors) == ("b", "c", 2)
    assert least == metrics.ConfusedPair("a", "b", 1, 1 / 6)
    even = metrics.confused_pairs([[1, 1, 1], [1, 1, 1], [1, 1, 1]], "abc")
    assert [pair.first + pair.second for pair in even] == ["ab", "ac", "bc"]


def test_where_nothing_is_confused_no_pair_has_a_share() -> None:
    assert {pair.share for pair in metrics.confused_pairs(np.eye(3, dtype=int), "abc")} == {0}


# ---------------------------------------------------------------------------- calibration and loss


def two_classes(confidence: float, n: int, correct: int) -> tuple[np.ndarray, np.ndarray]:
    """n predictions of class 0 with one confidence, of which the first `correct` are right."""
    return np.tile([confidence, 1 - confidence], (n, 1)), np.array([0] * correct + [1] * (n - correct))


def test_flows_run_one_way_and_the_largest_come_first() -> None:
    matrix = [[9, 0, 2], [4, 7, 2], [0, 1, 8]]
    flows = [
        (flow.true, flow.predicted, flow.errors) for flow in metrics.largest_flows(matrix, "abc", most=3)
    ]
    assert flows == [("b", "a", 4), ("a", "c", 2), ("b", "c", 2)]
    assert len(metrics.largest_flows(matrix, "abc", most=10)) == 4  # empty ones are none
    assert metrics.largest_flows(np.eye(3, dtype=int), "abc", most=10) == [] and matrix[0][0] == 9


def test_calibration_error_by_hand() -> None:
    sure, sure_labels = two_classes(0.99, 60, 54)
    unsure, unsure_labels = two_classes(0.7, 40, 28)
    probabilities, labels = np.vstack([sure, unsure]), np.concatenate([sure_labels, unsure_labels])
    assert metrics.calibration(probabilities, labels).error == pytest.approx(0.6 * 0.09)
    curve = metrics.reliability(probabilities, labels)
    assert curve.count.sum() == 100 and len(curve.count) == 15
    assert curve.accuracy[-1] == pytest.approx(0.9) and curve.confidence[-1] == pytest.approx(0.99)
    assert np.isnan(curve.accuracy[0])


def test_calibration_is_of_the_bins_that_are_asked_for() -> None:
    probabilities, labels = two_classes(0.75, 100, 60)
    found = metrics.calibration(probabilities, labels)
    assert (found.confidence, found.accuracy) == pytest.approx((0.75, 0.6))
    assert found.error == pytest.approx(0.15)
    assert found.log_loss == pytest.approx(-(0.6 * np.log(0.75) + 0.4 * np.log(0.25)))
    mixed = np.vstack([probabilities, two_classes(0.55, 100, 70)[0]])
    both = np.concatenate([labels, two_classes(0.55, 100, 70)[1]])
    assert metrics.calibration(mixed, both).error == pytest.approx(0.15)  # 15 points over, 15 under
    assert metrics.calibration(mixed, both, bins=1).error == pytest.approx(0, abs=1e-12)


def test_bins_are_closed_on_the_right() -> None:
    curve = metrics.reliability(np.array([[0.6, 0.4], [1.0, 0.0]]), [0, 0], bins=5)
    assert curve.count.tolist() == [0, 0, 1, 0, 1]


def test_calibrated_predictions_have_next_to_no_calibration_error() -> None:
    probabilities = softmax_outputs(50000).astype(float)
    labels = (RNG.random(50000)[:, None] > np.cumsum(probabilities, axis=1)).sum(axis=1).clip(0, 9)
    assert metrics.calibration(probabilities, labels).error < 0.01


def test_log_likelihood_against_sklearn_and_at_zero() -> None:
    probabilities, labels = softmax_outputs(500).astype(float), RNG.integers(0, 10, 500)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    expected = log_loss(labels, probabilities, labels=range(10))
    assert metrics.negative_log_likelihood(probabilities, labels) == pytest.approx(expected)
    assert metrics.negative_log_likelihood(np.array([[0.0, 1.0]]), [0]) == pytest.approx(24 * np.log(2))


def test_the_floor_of_the_smoothed_loss_is_the_one_that_the_facts_state() -> None:
    assert metrics.smoothing_floor(0.05, 10) == pytest.approx(0.282, abs=5e-4)
    assert metrics.smoothing_floor(0, 10) == 0
    label = np.full((1, 10), 0.005)
    label[0, 0] = 0.955
    assert metrics.smoothed_cross_entropy(label, [0], 0.05) == pytest.approx(
        metrics.smoothing_floor(0.05, 10)
    )


# ---------------------------------------------------------------------------- records


def test_a_records_metrics_come_out_again(tmp_path: Path) -> None:
    arrays = {name: store.compact(array) for name, array in arrays_of(COUNTS).items()}
    found = metrics.from_probabilities(arrays, COUNTS, 0.05)
    content = content_of(Experiment(), metrics=found)
    run = store.write(content, arrays, tmp_path)
    assert recomputed(run) == run.metrics
    assert run.metrics["test_tta"] == run.correct("test", "tta").mean()


def test_a_published_log_has_nothing_to_recompute_from() -> None:
    with pytest.raises(RecordError):
        recomputed(published_log())


def test_a_channel_is_active_if_it_varies_more_than_batch_norms_epsilon() -> None:
    rng = np.random.default_rng(0)
    spread = np.array([0.0, 0.01, 0.1, 1.0])  # standard deviations: the second one's variance is 1e-4
    assert batchnorm.count_active_channels(6 + spread * rng.normal(size=(1000, 4))) == 2


def test_a_kept_channel_is_measured_by_its_own_variance() -> None:
    features = np.array([[0.0, 0.0, 1.0], [2.0, 0.02, 1.0]])  # variances 1, 1e-4, 0
    assert batchnorm.count_kept_channels(features, np.array([1.0, 1e-4, 0.0])) == 2
    assert batchnorm.count_kept_channels(features, np.array([1e3, 1e-4, 0.0])) == 1


def test_balanced_accuracy_counts_each_class_alike() -> None:
    unequal = metrics.balanced_accuracy([[90, 10], [5, 5]])
    assert unequal.value == pytest.approx((0.9 + 0.5) / 2)
    assert unequal.n == 36, "two classes of 100 and 10 images tell as much as two of 18"
    equal = metrics.balanced_accuracy([[8, 2], [5, 5]])
    assert equal == metrics.proportion(13 / 20, 20)
