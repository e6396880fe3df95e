"""The verdict at the head of a report: which numbers go into which judgement."""

from __future__ import annotations

from collections.abc import Sequence

from actscope.codes.table import Codes
from actscope.hashing.subsampling import rarefaction
from actscope.report.findings import Categorization, SplitFindings
from actscope.report.judgement import (
    Judgement,
    judge_capacity,
    judge_classes,
    judge_generalization,
    judge_neurons,
)
from actscope.report.unavailable import Unavailable

__all__ = ["verdict_of"]


def verdict_of(
    train: SplitFindings, test: SplitFindings | None, methods: Sequence[Categorization], codes: Codes
) -> tuple[Judgement, ...]:
    """The questions that these findings can answer, and their answers.

    Args:
        train, test: the findings.
        methods: accuracies of classifiers that see only codes; the one that does best on the last split speaks for them.
        codes: the training codes, to compare redundancy with the test set at the same number of examples.
    """
    last = train if test is None else test
    best = _best(methods, of_test=test is not None)
    accuracy = None if best is None else _known(best.train if test is None else best.test)
    name = "" if best is None else best.name
    judgements = [
        judge_capacity(
            redundancy=train.determinism.redundancy_ratio,
            n_examples=len(train.codes),
            n_regions=train.determinism.n_regions,
            mixed_ratio=None if isinstance(train.collisions, Unavailable) else train.collisions.mixed_ratio,
            code_accuracy=accuracy,
            chance=last.largest_class_share,
        )
    ]
    if last.codes.labels is not None:
        judgements.append(
            judge_classes(
                code_accuracy=accuracy,
                method=name,
                own_accuracy=_known(last.own_accuracy),
                chance=last.largest_class_share,
                split="training" if test is None else "test",
            )
        )
    if test is not None:
        fewer = len(test.codes) < len(codes)
        judgements.append(
            judge_generalization(
                code_train=None if best is None else _known(best.train),
                code_test=accuracy,
                method=name,
                redundancy_test=test.determinism.redundancy_ratio,
                redundancy_train_at_same_size=(
                    float(rarefaction(codes, [len(test.codes)]).redundancy_ratio[0]) if fewer else None
                ),
            )
        )
    judgements.append(
        judge_neurons(
            n_neurons=train.codes.n_neurons,
            n_dead=sum(int(site.dead.sum()) for site in train.liveness),
            n_always_on=sum(int(site.always_on.sum()) for site in train.liveness),
            n_constant=sum(int(site.constant.sum()) for site in train.liveness),
            n_examples=len(train.codes),
            can_die=any(site.site.dead_intervals for site in train.liveness),
        )
    )
    return tuple(judgements)


def _best(methods: Sequence[Categorization], *, of_test: bool) -> Categorization | None:
    """The supervised method with the highest accuracy on the last split."""
    known = [
        (accuracy, -place)
        for place, method in enumerate(methods)
        if method.sees_labels and (accuracy := _known(method.test if of_test else method.train)) is not None
    ]
    return methods[-max(known)[1]] if known else None


def _known(value: float | Unavailable | None) -> float | None:
    return value if isinstance(value, float) else None
