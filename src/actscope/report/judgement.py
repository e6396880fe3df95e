"""What the numbers say in plain words, by rules that are written down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from actscope.figures.labels import counted, percent

__all__ = [
    "Judgement",
    "Mark",
    "judge_capacity",
    "judge_classes",
    "judge_generalization",
    "judge_neurons",
]

Mark = Literal["good", "fair", "poor", "open"]
"""`open` where these data cannot tell."""

# He et al. 2021, Section 5.7, tell three regimes apart and give no thresholds for them; these are ours.
ALMOST_NO_REDUNDANCY = 0.01
CONSIDERABLE_REDUNDANCY = 0.10

SMALL_LOSS = 0.03
LARGE_LOSS = 0.10

FEW_DEAD = 0.01
MANY_DEAD = 0.10

ENOUGH_EXAMPLES = 100


@dataclass(frozen=True)
class Judgement:
    """One question that a person has, and the answer that the numbers give.

    Attributes:
        question: in plain words.
        mark: how good the news is.
        answer: a word or two.
        detail: one or two sentences with the numbers.
    """

    question: str
    mark: Mark
    answer: str
    detail: str

    def to_dict(self) -> dict[str, str]:
        """The same as plain values."""
        return {"question": self.question, "mark": self.mark, "answer": self.answer, "detail": self.detail}


def judge_capacity(
    *,
    redundancy: float,
    n_examples: int,
    n_regions: int,
    mixed_ratio: float | None,
    code_accuracy: float | None,
    chance: float | None,
) -> Judgement:
    """Is the network large enough for these data? By the redundancy ratio of the training codes, then by what they say of the class.

    Below 1 % redundancy a network has a region for almost every example; from 10 % on it lumps together what it should tell apart. A
    network without redundancy whose codes hardly know the class (less than half the way from guessing to certainty) separates
    examples, but not by what they are: an untrained one does so too. Where less than 1 % of the examples share a region with another class,
    high redundancy only means that the regions are large.

    Example:
        >>> judge_capacity(redundancy=0.4, n_examples=1000, n_regions=600, mixed_ratio=0.3, code_accuracy=0.7, chance=0.1).answer
        'No: under-expressive'
    """
    question = "Is the network large enough for these data?"
    examples, regions = counted(n_examples, "training example"), counted(n_regions, "region")
    share = f"{examples} in {regions}, a redundancy ratio of {percent(redundancy)}"
    if n_examples < ENOUGH_EXAMPLES:
        return Judgement(question, "open", "Too few examples to tell", f"{share}. Small samples hardly ever collide.")
    if redundancy >= CONSIDERABLE_REDUNDANCY and mixed_ratio is not None and mixed_ratio < ALMOST_NO_REDUNDANCY:
        return Judgement(
            question,
            "fair",
            "Coarse, but along the classes",
            f"{share}, yet only {percent(mixed_ratio)} share a region with another class: what looks the same to the activations mostly "
            "is the same.",
        )
    if redundancy >= CONSIDERABLE_REDUNDANCY:
        return Judgement(
            question,
            "poor",
            "No: under-expressive",
            f"{share}: many inputs look the same to its activations. More neurons or more training usually tell more of them apart.",
        )
    if redundancy >= ALMOST_NO_REDUNDANCY:
        return Judgement(
            question,
            "fair",
            "Just about: critically expressive",
            f"{share}: most inputs have a region of their own, but not all.",
        )
    if (
        code_accuracy is not None
        and chance is not None
        and chance < 1
        and (code_accuracy - chance) / (1 - chance) < 0.5
    ):
        return Judgement(
            question,
            "fair",
            "Fine enough, but not by class",
            f"{share}: nearly every input has its own region, yet its neighbours in code space are often of another class. "
            "An untrained network looks like this, and so does one that cannot fit these data.",
        )
    return Judgement(
        question,
        "good",
        "Yes: sufficiently expressive",
        f"{share}: nearly every input has a region of its own.",
    )


def judge_classes(
    *, code_accuracy: float | None, method: str, own_accuracy: float | None, chance: float | None, split: str
) -> Judgement:
    """Do the patterns carry the classes? By how much accuracy is lost when only codes are seen, against the model's own.

    Without the model's own accuracy it is measured from guessing the largest class to certainty: 80 % of that way is good, 50 % fair.

    Example:
        >>> judge_classes(code_accuracy=0.95, method="9-NN", own_accuracy=0.97, chance=0.1, split="test").answer
        'Yes, almost all of it'
    """
    question = "Do the activation patterns carry the classes?"
    if code_accuracy is None or chance is None:
        return Judgement(question, "open", "Cannot tell", "No classifier could be fitted to the codes: see below.")
    says = f"{method}, which sees only codes, is right for {percent(code_accuracy)} of the {split} examples"
    guess = f"always guessing the largest class, for {percent(chance)}"
    if own_accuracy is None:
        way = (code_accuracy - chance) / (1 - chance) if chance < 1 else 1.0
        detail = f"{says}; {guess}. The model's own accuracy is not known."
        if way >= 0.8:
            return Judgement(question, "good", "Yes", detail)
        return (
            Judgement(question, "fair", "In part", detail)
            if way >= 0.5
            else Judgement(question, "poor", "Hardly", detail)
        )
    loss = own_accuracy - code_accuracy
    detail = f"{says}; the model itself, for {percent(own_accuracy)}; {guess}."
    if own_accuracy - chance < 0.1 * (1 - chance):
        return Judgement(question, "poor", "The model itself does not know them", detail)
    if loss <= SMALL_LOSS:
        return Judgement(question, "good", "Yes, almost all of it", detail)
    if loss <= LARGE_LOSS:
        return Judgement(question, "fair", "Mostly", detail)
    return Judgement(
        question, "poor", "Not enough", f"{detail} What the model knows lies in magnitudes, not in which neurons fire."
    )


def judge_generalization(
    *,
    code_train: float | None,
    code_test: float | None,
    method: str,
    redundancy_test: float,
    redundancy_train_at_same_size: float | None,
) -> Judgement:
    """Do unseen examples look like the training examples? By the drop of a codes-only classifier from train to test.

    Example:
        >>> judge_generalization(code_train=0.97, code_test=0.95, method="9-NN", redundancy_test=0.02,
        ...     redundancy_train_at_same_size=0.02).mark
        'good'
    """
    question = "Does this hold for unseen examples?"
    collide = f"the redundancy ratio is {percent(redundancy_test)}"
    if redundancy_train_at_same_size is not None:
        collide += f", against {percent(redundancy_train_at_same_size)} in as many training examples"
    if code_train is None or code_test is None:
        return Judgement(question, "open", "As far as regions go", f"{collide[0].upper()}{collide[1:]}.")
    drop = code_train - code_test
    detail = f"{method} on codes falls from {percent(code_train)} on training to {percent(code_test)} on test examples; {collide}."
    if drop <= SMALL_LOSS:
        detail = detail.replace("falls from", "goes from")
        return Judgement(question, "good", "Yes", detail)
    if drop <= LARGE_LOSS:
        return Judgement(question, "fair", "With some loss", detail)
    return Judgement(question, "poor", "No", detail)


def judge_neurons(
    *, n_neurons: int, n_dead: int, n_always_on: int, n_constant: int, n_examples: int, can_die: bool
) -> Judgement:
    """Does every neuron do something? By the share of neurons whose post-activation (or pattern) never changes.

    Example:
        >>> judge_neurons(n_neurons=50, n_dead=4, n_always_on=1, n_constant=5, n_examples=1000, can_die=True).answer
        '4 are dead'
    """
    question = "Does every neuron do something?"
    seen = "for the one training example" if n_examples == 1 else f"for all {n_examples:,} training examples"
    idle = n_dead if can_die else n_constant
    share = idle / n_neurons if n_neurons else 0.0
    does = "gives the same output" if can_die else "stays in one interval"
    if idle == 0:
        detail = f"None of the {n_neurons:,} neurons {does} {seen}"
    else:
        does = does if idle == 1 else does.replace("s ", " ", 1)
        detail = f"{idle:,} of {n_neurons:,} neurons ({percent(share)}) {does} {seen}"
    if can_die and n_always_on:
        detail += f"; {n_always_on:,} only pass{'es' * (n_always_on == 1)} the input on"
    detail += "."
    if can_die:
        answer = f"{n_dead:,} {'is' if n_dead == 1 else 'are'} dead"
    else:
        answer = f"{n_constant:,} never {'changes' if n_constant == 1 else 'change'} interval"
    if n_examples < ENOUGH_EXAMPLES:
        return Judgement(question, "open", "Too few examples to tell", detail)
    if idle == 0:
        return Judgement(question, "good", "Yes", detail)
    return Judgement(
        question, "good" if share <= FEW_DEAD else "fair" if share <= MANY_DEAD else "poor", answer, detail
    )
