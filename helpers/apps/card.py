"""The card of a network that ships, as Markdown: every number in it comes from the record of its file."""

from __future__ import annotations

from helpers import markdown
from helpers.analysis import intervals, metrics, trust
from helpers.apps.shipped import Shipped
from helpers.data import sources
from helpers.experiment import STUDY_DATA
from helpers.records.run import Run
from helpers.text import percent

RULE = f"at most {percent(trust.RISK, 0)} of the answers are wrong, by the upper end of the interval"
VIEWS = {"plain": "as it is", "tta": "with its mirror image, as `predict` does"}


def written(shipped: Shipped, committed: Run) -> str:
    """The card of a shipped network. committed: the record of the same experiment in results/."""
    run = shipped.record
    sections = {
        "How good it is": f"{accuracies(run)}\n\n{weakest(run)}\n\n{nearness(run, committed)}",
        "How far to believe it": f"{calibrated(run)}\n\n{believable(run)}",
        "What it must not be used for": misuse(run),
        "How it was made": recipe(shipped, committed),
        "Data and licences": licences(run),
    }
    text = "\n\n".join(f"## {title}\n\n{body}" for title, body in sections.items())
    return f"{head(shipped)}\n\n{text}\n"


def head(shipped: Shipped) -> str:
    """Title, origin and the facts of the file."""
    run, side = shipped.record, shipped.record.experiment.side
    facts = [
        ("file", f"[{shipped.file.name}]({shipped.file.name}), {shipped.file.stat().st_size / 1e6:.1f} MB"),
        ("SHA-256", f"`{run.fingerprints['network']}`"),
        ("takes", f"RGB pictures (n, {side}, {side}, 3), 0 to 255"),
        ("gives", f"the probabilities (n, {len(run.classes)}) of {', '.join(run.classes)}"),
        ("record", f"[{run.path.name}]({run.path.name}), of this very file"),
    ]
    right = percent(run.correct("test", "tta").mean())
    name = f"# {shipped.name}: a network for {sources.described(run.dataset)}, {right}"
    origin = f"Written by `python -m helpers ship {shipped.name}` from the record: do not edit."
    return f"{name}\n\n{origin}\n\n{markdown.rows('fact | value', facts).data}"


def accuracies(run: Run) -> str:
    """Accuracy on validation and test images, with and without the mirror image."""
    lines = [
        (view, *(intervals.accuracy(run.correct(split, name)) for split in ("val", "test")))
        for name, view in VIEWS.items()
    ]
    heads = (
        f"a picture is answered | {run.size('val'):,} validation images | {run.size('test'):,} test images"
    )
    table = markdown.rows(heads, lines).data
    return f"{table}\n\nIn brackets: the 95% interval for other images, with this training alone."


def weakest(run: Run) -> str:
    """The class that it knows least, and the two that it confuses most."""
    matrix = metrics.confusion_matrix(run.labels("test"), run.predictions("test", "tta"), len(run.classes))
    share, name = min(zip(metrics.class_accuracy(matrix), run.classes, strict=True), key=lambda x: x[0].value)
    pair = metrics.confused_pairs(matrix, run.classes)[0]
    return (
        f"It knows the class {name} least: {share}. Most often it confuses {pair.first} with {pair.second}, "
        f"in {percent(pair.share, 0)} of its errors."
    )


def nearness(run: Run, committed: Run) -> str:
    """How near it is to the record that the report shows of the same experiment."""
    before, after = (each.correct("test", "tta") for each in (committed, run))
    same = run.curves == committed.curves
    training = "the same training" if same else "another training of the same experiment"
    reason = "" if same else " Training repeats exactly only on the same machine with as many threads."
    return (
        f"The report shows {training}, at {intervals.accuracy(before)}. On the same test images this file "
        f"differs from it by {intervals.paired(before, after)}.{reason}"
    )


def calibrated(run: Run) -> str:
    """Its mean confidence, beside its accuracy."""
    found = metrics.calibration(run.probabilities("test", "tta"), run.labels("test"))
    side = "under" if found.confidence < found.accuracy else "over"
    return (
        f"It {side}states how sure it may be: on the test images its largest probability is "
        f"{percent(found.confidence)} on average, and {percent(found.accuracy)} of its answers are right. "
        f"Its expected calibration error is {percent(found.error)}, its log loss {found.log_loss:.3f} nats."
    )


def threshold(run: Run) -> tuple[float | None, str]:
    """The confidence, 0 to 1, from which on answers are to be believed, and what it does on the test images.

    None where the validation images show none.
    """
    level = trust.threshold(run.probabilities("val", "tta"), run.labels("val"))
    if level is None:
        return None, f"its {run.size('val'):,} validation images show no confidence at which {RULE}"
    found = trust.believed(run.probabilities("test", "tta"), run.labels("test"), level)
    if not found:
        return level, "no test image reaches it"
    answered, wrong = found
    return level, f"of the test images {answered} reach it; {wrong} of these answers are wrong"


def believable(run: Run) -> str:
    """From which confidence on to believe an answer, and what that does on the test images."""
    level, shown = threshold(run)
    if level is None:
        return f"From no confidence on can it be believed: {shown}. `predict` says so."
    return (
        f"`predict` believes an answer from {percent(level)} on. This is the lowest confidence at which, on "
        f"the validation images, {RULE}. {shown.capitalize()}."
    )


def misuse(run: Run) -> str:
    """What a reader must not do with it."""
    side = run.experiment.side
    return "\n".join(
        [
            f"- **Anything but its {len(run.classes)} classes.** It names one of them whatever a picture "
            "shows, and may be sure of it: its confidence was measured on pictures of these classes alone.",
            f"- **Small things in large pictures.** It sees the middle square at {side} by {side} pixels.",
            "- **Decisions about people, or where an error does harm.** It was made to study training, and "
            "tested on one data set. How well it knows pictures from elsewhere was not measured.",
            "- **Choosing between methods by its test accuracy.** It is one training with one seed.",
        ]
    )


def recipe(shipped: Shipped, committed: Run) -> str:
    """The commands that make it again, what made this one, and how long the report's training took."""
    run = shipped.record
    return (
        f"```\n{run.experiment.command} --retrain\npython -m helpers ship {shipped.name}\n```\n\n"
        f"Trained on {_threads(run)} of {run.processor}, with "
        + ", ".join(f"{name} {version}" for name, version in run.versions.items() if name != "jax")
        + f", from {run.train_images:,} images; the recipe was chosen on the validation images. The training "
        f"that the report shows took {committed.seconds / 60:.0f} min on {_threads(committed)}."
    )


def _threads(run: Run) -> str:
    return f"{run.threads} thread{'s' if run.threads > 1 else ''}"


def licences(run: Run) -> str:
    """What it was made from, and on which terms."""
    data = (
        "CIFAR-10 (Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images), which its "
        "authors distribute for research, without a formal licence"
    )
    assert run.dataset == STUDY_DATA, "no other data's networks ship"
    return "\n".join(
        [
            f"- Trained on {data}. Fingerprint of the data: `{run.fingerprints['data']}`.",
            "- Begun from Google's ImageNet checkpoint of MobileNetV2 1.0 (Sandler et al. 2018), under the "
            "Apache License 2.0: [its text](../LICENSE-Apache-2.0.txt). Changed: upper layers were trained, "
            f"and the head is new. Fingerprint of the file: `{run.fingerprints['weights']}`.",
            "- What this project added is under its own [MIT licence](../../LICENSE).",
        ]
    )
