from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.lighting_classes import CLASSES, FAMILIES, PROVISIONAL, Method, Span, Word, highest_met, judge

ASKING = [name for name, wanted in CLASSES.items() if wanted.limits]


def values(**numbers):
    return {name: number if isinstance(number, Span) else Span.exact(number) for name, number in numbers.items()}


def just(name):
    """Values that are exactly the limits of a class."""
    return values(**{limit.quantity: limit.least for limit in CLASSES[name].limits})


# As printed from EN 13201-2:2015 by manufacturers (average and minimum, or average and uniformity).
PRINTED = {
    "P1": (15.0, 3.0), "P2": (10.0, 2.0), "P3": (7.5, 1.5), "P4": (5.0, 1.0), "P5": (3.0, 0.6), "P6": (2.0, 0.4),
    "C0": (50.0, 0.4), "C1": (30.0, 0.4), "C2": (20.0, 0.4), "C3": (15.0, 0.4), "C4": (10.0, 0.4), "C5": (7.5, 0.4),
}  # fmt: skip


@pytest.mark.parametrize("name", PRINTED)
def test_p_and_c_are_as_printed(name):
    assert tuple(limit.least for limit in CLASSES[name].limits) == pytest.approx(PRINTED[name])
    assert not any(limit.provisional for limit in CLASSES[name].limits)


def test_the_families_that_are_called_provisional_are():
    marked = {wanted.family for wanted in CLASSES.values() if any(limit.provisional for limit in wanted.limits)}
    assert marked == set(PROVISIONAL)


def test_there_are_all_classes_and_no_others():
    counts = {family: sum(wanted.family == family for wanted in CLASSES.values()) for family in FAMILIES}
    assert counts == {"M": 6, "C": 6, "P": 7, "HS": 4, "SC": 9, "EV": 6}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_higher_class_never_asks_for_less(family):
    names = [name for name, wanted in CLASSES.items() if wanted.family == family and wanted.limits]
    for higher, lower in pairwise(names):
        for one, other in zip(CLASSES[higher].limits, CLASSES[lower].limits, strict=True):
            assert one.least >= other.least


@pytest.mark.parametrize("name", ASKING)
def test_the_limits_themselves_meet_a_class_and_a_hair_less_does_not(name):
    assert judge(name, just(name), Method.DESIGN).verdict == Word.MEETS
    for limit in CLASSES[name].limits:
        short = {**just(name), limit.quantity: Span.exact(limit.least * 0.999)}
        verdict = judge(name, short, Method.DESIGN)
        assert verdict.verdict == Word.MISSES
        assert verdict.tightest == limit.quantity
        assert verdict.margin == pytest.approx(-0.001)


@pytest.mark.parametrize("name", ASKING)
def test_an_interval_that_straddles_a_limit_cannot_tell(name):
    for limit in CLASSES[name].limits:
        unsure = {**just(name), limit.quantity: Span(limit.least * 1.01, limit.least * 0.9, limit.least * 1.2)}
        assert judge(name, unsure, Method.INFERRED).verdict == Word.CANNOT_TELL


@pytest.mark.parametrize("name", ASKING)
@pytest.mark.parametrize("factor", [0.01, 1.0, 1.2, 100.0])
def test_nothing_is_decided_on_a_default_distribution(name, factor):
    scaled = {key: Span.exact(span.value * factor) for key, span in just(name).items()}
    assert judge(name, scaled, Method.INFERRED, photometry_known=False).verdict == Word.CANNOT_TELL


@pytest.mark.parametrize("name", [f"M{number}" for number in range(1, 7)])
def test_luminance_classes_are_never_judged_by_lux(name):
    bright = values(E_avg=50.0, E_min=40.0, U_o=0.8)
    for method in Method:
        assert judge(name, bright, method).verdict == Word.NOT_ASSESSED
    assert highest_met("M", bright) is None


@pytest.mark.parametrize("name", ["P1", "P4", "P6"])
def test_beyond_one_and_a_half_times_its_average_a_p_class_is_over_lit(name):
    average = CLASSES[name].limits[0].least
    at_most = judge(name, values(E_avg=1.5 * average, E_min=average), Method.DESIGN)
    beyond = judge(name, values(E_avg=1.51 * average, E_min=average), Method.DESIGN)
    assert (at_most.verdict, at_most.over_lit) == (Word.MEETS, False)
    assert (beyond.verdict, beyond.over_lit) == (Word.OVER_LIT, True)
    perhaps = values(E_avg=Span(1.4 * average, 1.2 * average, 1.7 * average), E_min=average)
    assert judge(name, perhaps, Method.INFERRED).verdict == Word.CANNOT_TELL
    assert judge(name, perhaps, Method.INFERRED).over_lit is None


def test_a_street_that_is_bright_and_dark_misses_its_class_and_is_over_lit():
    verdict = judge("P3", values(E_avg=20.0, E_min=0.3), Method.DESIGN)
    assert (verdict.verdict, verdict.over_lit) == (Word.MISSES, True)


@pytest.mark.parametrize("name", ASKING)
def test_what_rests_on_an_unchecked_threshold_says_so(name):
    sentence = judge(name, just(name), Method.DESIGN).sentence
    family = CLASSES[name].family
    assert ("provisional" in sentence) == (family in ("HS", "SC", "EV", "P"))  # P: the 1.5 of over-lit
    misses = judge(name, {key: Span.exact(0.0) for key in just(name)}, Method.DESIGN)
    assert ("provisional" in misses.sentence) == (family in ("HS", "SC", "EV"))


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("method", Method)
def test_no_verdict_speaks_of_compliance_and_each_names_its_method(name, method):
    verdict = judge(name, just(name), method)
    assert "compl" not in verdict.sentence.lower()
    assert verdict.to_dict()["method"] == method
    if verdict.verdict == Word.MEETS and method != Method.MEASURED:
        assert "by calculation" in verdict.sentence


def test_a_class_that_asks_for_nothing_and_no_class_at_all():
    for name in ("", "P7", "HS4"):
        assert judge(name, {}, Method.DESIGN).verdict == Word.NOTHING_REQUIRED


def test_what_is_not_known_cannot_be_told_but_what_is_too_little_can():
    assert judge("P3", values(E_avg=9.0), Method.MEASURED).verdict == Word.CANNOT_TELL
    assert judge("P3", values(E_avg=5.0), Method.MEASURED).verdict == Word.MISSES
    assert judge("P3", {}, Method.MEASURED).verdict == Word.CANNOT_TELL


@given(st.floats(0.0, 60.0), st.floats(0.0, 1.0))
def test_the_highest_class_reached_is_met_and_the_next_is_not(average, uniformity):
    found = values(E_avg=average, E_min=average * uniformity, U_o=uniformity)
    for family in ("P", "C"):
        name = highest_met(family, found)
        ladder = [key for key in ASKING if CLASSES[key].family == family]
        if name is not None:
            assert judge(name, found, Method.DESIGN).verdict in (Word.MEETS, Word.OVER_LIT)
        for higher in ladder[: ladder.index(name) if name else len(ladder)]:
            assert judge(higher, found, Method.DESIGN).verdict == Word.MISSES


@given(st.floats(0.1, 60.0), st.floats(1.0, 3.0), st.sampled_from(ASKING))
def test_a_wider_interval_never_turns_one_decision_into_the_other(scale, width, name):
    exact = {key: Span.exact(span.value * scale / 10) for key, span in just(name).items()}
    wide = {key: Span(span.value, span.value / width, span.value * width) for key, span in exact.items()}
    narrow, broad = judge(name, exact, Method.DESIGN).verdict, judge(name, wide, Method.DESIGN).verdict
    assert broad in (narrow, Word.CANNOT_TELL)
