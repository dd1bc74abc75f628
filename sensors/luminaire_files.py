"""Photometric files: one door that recognises the format, and those in a city's `places/luminaires/`.

A lamp's `luminaire` names a file there by its stem or its whole name, in upper or lower case; the words of NO_FILE are
distributions that need none. Which side of a file faces the street is `lighting.orientation` of `city.toml`, by the
same names; without it C = 0 in LM-63 and C = 90 in EULUMDAT.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sensors.errors import CityError, LuminaireError, gather
from sensors.eulumdat import looks_like_eulumdat, read_eulumdat
from sensors.lm63 import TiltFile, looks_like_lm63, read_lm63
from sensors.luminaire import Luminaire
from sensors.photometric_text import read_bytes, text_of

if TYPE_CHECKING:
    from sensors.city import City

NO_FILE = ("", "road", "lambert")
SUFFIXES = (".ies", ".ldt")


def read_luminaire(path: Path | str) -> Luminaire:
    """The luminaire of an LM-63 or EULUMDAT file, told apart by content; LuminaireError says what is wrong."""
    file = Path(path)
    raw = read_bytes(file)
    try:
        return luminaire_from(raw, file.suffix.lower(), file.stem, lambda name: _beside(file, name))
    except LuminaireError as error:
        raise LuminaireError(f"{file}: {error}") from error


def luminaire_from(raw: bytes, suffix: str = "", name: str = "", tilt_file: TiltFile | None = None) -> Luminaire:
    """The luminaire of the bytes of a photometric file.

    suffix : '.ies' or '.ldt', as which bytes are read that could be neither; name : where the file has none
    """
    text = text_of(raw)
    if looks_like_lm63(text):
        found, usual = read_lm63(text, name, tilt_file), ".ies"
    elif looks_like_eulumdat(text) or suffix == ".ldt":
        found, usual = read_eulumdat(text, name), ".ldt"
    elif suffix == ".ies":
        found, usual = read_lm63(text, name, tilt_file), ".ies"
    else:
        raise LuminaireError(
            "it is neither LM-63 (no line TILT=) nor EULUMDAT (lines 3, 4 and 6 are no counts); name an .ies or .ldt"
        )
    if suffix in SUFFIXES and suffix != usual:
        said = f"the file is called {suffix} but holds {found.form}"
        return replace(found, warnings=(*found.warnings, said))
    return found


def luminaires(city: City, names: Iterable[str] | None = None, *, street_c_deg: float = 90.0) -> dict[str, Luminaire]:
    """The city's luminaires by the names that lamps use, each turned so that C = `street_c_deg` faces the street.

    names : those that are wanted; those of the city's lamps without any. Names without a file are left out, a file that
    cannot be used is a LuminaireError, and all of them are in one message.
    """
    wanted = lamp_names(city) if names is None else list(dict.fromkeys(names))
    files = _files(city)
    found: dict[str, Luminaire] = {}
    read: dict[Path, Luminaire] = {}
    problems = []
    for name in wanted:
        candidates = files.get(name.strip().lower(), []) if name.strip().lower() not in NO_FILE else []
        try:
            if not candidates:
                continue
            file = _one(name, candidates)
            if file not in read:
                read[file] = read_luminaire(file)
            orientation = orientation_of(city, name, read[file])
            found[name] = read[file].towards_street(orientation, street_c_deg)
        except LuminaireError as error:
            problems.append(str(error))
    if problems:
        raise LuminaireError(gather(f"{city.path}/places/luminaires", list(dict.fromkeys(problems))))
    return found


def orientation_of(city: City, name: str, luminaire: Luminaire) -> str:
    """Which side of a luminaire's file faces the street: what the city says of it, else what is usual for its form."""
    word = name.strip().lower()
    said = {key.strip().lower(): value for key, value in city.settings.lighting.orientation.items()}
    stem = Path(word).stem if Path(word).suffix in SUFFIXES else word
    for key in (word, stem, *(stem + suffix for suffix in SUFFIXES)):
        if key in said:
            return said[key]
    return luminaire.usual_orientation


def lamp_names(city: City) -> list[str]:
    """What the city's lamps name as their luminaire, each once, as they spell it."""
    lamps = city.places("lamps")
    if "luminaire" not in lamps:
        return []
    return sorted({str(name) for name in lamps["luminaire"].fillna("").unique()} - {""})


def luminaire_problems(city: City) -> list[str]:
    """Everything that is wrong with the photometric files that the city's lamps name, a sentence each."""
    try:
        names = lamp_names(city)
    except CityError:
        return []  # said of the table of lamps itself
    files = _files(city)
    problems = []
    for name in names:
        word = name.strip().lower()
        if word in NO_FILE:
            continue
        if word not in files:
            missing = "such file" if Path(word).suffix in SUFFIXES else f"{name}.ies or {name}.ldt"
            problems.append(
                f"lamps name the luminaire '{name}', but places/luminaires has no {missing}; their light is a default "
                "with a wide error"
            )
            continue
        try:
            read_luminaire(_one(name, files[word]))
        except LuminaireError as error:
            problems.append(str(error))
    problems += [
        f"lighting.orientation of city.toml names '{name}', but places/luminaires has no such file"
        for name in city.settings.lighting.orientation
        if name.strip().lower() not in files
    ]
    return list(dict.fromkeys(problems))


def _files(city: City) -> dict[str, list[Path]]:
    """Photometric files by stem and by name, in lower case."""
    folder = city.path / "places" / "luminaires"
    found: dict[str, list[Path]] = {}
    for file in sorted(folder.iterdir()) if folder.is_dir() else []:
        if file.suffix.lower() in SUFFIXES:
            found.setdefault(file.stem.lower(), []).append(file)
            found.setdefault(file.name.lower(), []).append(file)
    return found


def _one(name: str, candidates: list[Path]) -> Path:
    if len(candidates) > 1:
        raise LuminaireError(
            f"the luminaire '{name}' could be {' or '.join(file.name for file in candidates)}; name one with its ending"
        )
    return candidates[0]


def _beside(file: Path, name: str) -> bytes:
    """The bytes of a file that a photometric file names: only of one that stands beside it."""
    wanted = name.replace("\\", "/").rsplit("/", 1)[-1].strip().lower()
    try:
        others = list(file.parent.iterdir())
    except OSError as error:
        raise LuminaireError(f"the folder of {file.name} cannot be read ({error.strerror})") from error
    for other in others:
        if other.name.lower() == wanted and other.is_file():
            return read_bytes(other)
    raise LuminaireError(f"there is no such file beside {file.name}; put the factors there, or write TILT=NONE")
