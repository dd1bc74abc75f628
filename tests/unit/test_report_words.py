"""What speaks of somebody is refused in both languages; what speaks of a place, or of oneself, is not."""

from __future__ import annotations

import pytest

from ingest.report_words import speaks_of_somebody


@pytest.mark.parametrize(
    "text",
    [
        "A group of young men hangs about at the stairs",
        "there is a dealer at the kiosk",
        "My neighbour throws bottles",
        "Des jeunes devant l'entrée tous les soirs",
        "Un individu louche",
        "UN SDF dort sous le porche",
        "Les étrangers du quartier",
        "Appelez-moi au 06 12 34 56 78 90",
        "write to anna.nym@example.org",
        "the car AB-123-CD is parked across",
        "he is always there",
        "Mme Dupont du 3",
    ],
)
def test_a_text_about_somebody_is_refused(text):
    assert speaks_of_somebody(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "The lamp at the corner is out and it does not feel safe",
        "Dark underpass, few people, no other way to the tram",
        "As a woman I do not feel safe here after dark",
        "En tant que femme je ne me sens pas en sécurité ici",
        "Il fait noir sous le pont, l'éclairage ne marche pas",
        "A manhole cover is missing",
        "The mansion's gate is dark; the menu board blinks",
        "3 lamps of 12 are out since 2026-11-02",
    ],
)
def test_a_text_about_a_place_or_oneself_is_not(text):
    assert not speaks_of_somebody(text)
