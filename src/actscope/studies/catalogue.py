"""All studies by name."""

from __future__ import annotations

from functools import cache

from actscope.studies.study import Study

__all__ = ["find_study", "studies"]


@cache
def studies() -> dict[str, Study]:
    """Every study, by its name."""
    from actscope.studies import hanin2019, he2021, jiang2022
    from actscope.studies.phase.grids import SAMPLE_CHART, TIME_CHART

    return {
        study.name: study
        for study in (*he2021.STUDIES, TIME_CHART, SAMPLE_CHART, *hanin2019.STUDIES, *jiang2022.STUDIES)
    }


def find_study(name: Study | str) -> Study:
    """The study itself, or the one of that name.

    Raises:
        ValueError: there is none.

    Example:
        >>> find_study("he2021.width").source
        'He et al. 2021, Figures 2(a) and 2(b)'
    """
    if isinstance(name, Study):
        return name
    known = studies()
    if name not in known:
        raise ValueError(f"there is no study '{name}'; choose one of {', '.join(known)}")
    return known[name]
