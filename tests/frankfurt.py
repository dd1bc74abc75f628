"""What words about places carry of how safe they were rated: 525 places of Frankfurt, folds by path.

`python -m tests.frankfurt` prints the study. The images are of the DAY: words of light and darkness, of night and of
hours are not used, and no number of it is a prior of light or hour. The words are those that raters gave as reasons for
their rating of safety. Words that say the rating itself (safe, unsafe, dangerous, fear) are not features of a place and
are left out, and so is how attractive a place was rated.

A feature is the share of a place's reasons that mention it, one reason added that mentions none; the mean rating is
regressed on all of them, each place weighed by its raters, with one shrinkage for all (ridge), which is chosen within
the paths that are fitted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

FILE = "frankfurt-perception/data_per_location.csv"
FEATURES = {  # what a reason mentions, by the beginnings of its words
    "building works": r"construction|road ?works?|\bworks?\b|building site|scaffold",
    "residential": r"resident|residental|\bhous(es?|ing)\b|\bhomes?\b|homely|flats|apartment|neighbou?rhood",
    "open, good view": r"\bopen|visib|spac(e|iou)|\bwide|sightline|\bview|overlook",
    "narrow, hidden": r"narrow|tight|enclosed|closed|tunnel|alley|corner|hidden|hiding|blind",
    "shops, restaurants": r"shop|store|business|restaurant|cafe|commercial|\bbars?\b|hotel|market",
    "people around": r"people|pedestrians?\b|populat|resident?s\b|footfall",
    "empty, lonely": r"empty|lonely|isolat|desert|abandon|no ?(one|body)|(no|not many|few) people|seclu",
    "busy": r"busy|crowd|lively|bustl|activity",
    "quiet": r"quiet|calm|peaceful|silent|slow",
    "traffic": r"traff?ic|\bcars?\b|vehicle|\blanes?\b|highway|main road|fast",
    "parked cars": r"parked|parking",
    "crossings, signs": r"cross|zebra|junction|intersection|signs\b|signage|infrastructure",
    "pavements, paths": r"pavement|sidewalk|footpath|\bpaths?\b|walkway|pedestriani[sz]ed",
    "cycling": r"\bbik|cycl",
    "green": r"\btree|green|leafy|nature|plants?\b|garden|bush|foliage|vegetation",
    "clean, kept": r"clean|tidy|neat|\bkept|maintain|orderly|organi[sz]ed",
    "dirty, run down": r"dirty|rubbish|litter|graff|\btags?\b|vandal|run ?down|derelict|shabby|neglect|broken",
    "new, modern": r"\bnew\b|newly|modern",
    "tall buildings": r"\btall|\bhigh (rise|build|dens)|big buildings|blocks?\b|densi",
    "station, stop": r"station|\btrams?\b|\bbus\b|transport|railway|metro",
    "town centre": r"cent(er|re|ral)\b|downtown|city",
    "industry, offices": r"industr|warehouse|factory|offices?\b",
    "walls, bridges": r"\bwalls?\b|fence|underpass|\bbridge",
}
LIGHT_OR_HOUR = ("light", "lit", "dark", "lamp", "bright", "night", "evening", "hour", "shadow", "sun", "day")
PENALTIES = (3.0, 10.0, 30.0, 100.0, 300.0)  # in raters' mean weight, of coefficients on features of unit sd


@dataclass(frozen=True)
class Study:
    """R2 out of fold of all features, of each alone and of nothing but the paths' mean; what all of them carry.

    ablated : what R2 loses when a feature is left out; coefficients : rating points for one sd of a feature
    """

    r2: float
    alone: dict[str, float]
    ablated: dict[str, float]
    coefficients: dict[str, float]
    places: int
    paths: int

    def text(self) -> str:
        """A line a feature, the strongest first."""
        best = max(self.alone, key=lambda name: self.alone[name])
        lines = [
            f"{self.places} places on {self.paths} paths, images by day; out of fold by path",
            f"R2 of the mean rating: {self.r2:.3f} with all features, {self.alone[best]:.3f} with {best} alone",
            f"{'a reason mentions':<22}{'points per sd':>15}{'R2 alone':>10}{'R2 lost without':>17}",
        ]
        lines += [
            f"{name:<22}{self.coefficients[name]:>+15.3f}{self.alone[name]:>10.3f}{self.ablated[name]:>17.3f}"
            for name in sorted(self.coefficients, key=lambda name: -abs(self.coefficients[name]))
        ]
        return "\n".join(lines)


def study(table: pd.DataFrame, reasons: tuple[str, ...] = ("safety_reason",)) -> Study:
    """Fit and try the features on the table of places.

    reasons : columns of the reasons that are read
    """
    rating, raters = table["safety_avg"].to_numpy(float), table["rating_count"].to_numpy(float)
    path = table["path_id"].to_numpy()
    features = features_of(table, reasons)
    names = list(features.columns)
    values = features.to_numpy(float)

    def r2(columns):
        foretold = out_of_fold(values[:, columns], rating, raters, path)
        return float(1 - np.sum((rating - foretold) ** 2) / np.sum((rating - rating.mean()) ** 2))

    every = list(range(len(names)))
    whole = r2(every)
    alone = {name: r2([column]) for column, name in enumerate(names)}
    ablated = {name: whole - r2([other for other in every if other != column]) for column, name in enumerate(names)}
    penalty = chosen_penalty(values, rating, raters, path)
    _, _, slope = ridge(values, rating, raters, penalty)
    return Study(whole, alone, ablated, dict(zip(names, slope, strict=True)), len(table), len(set(path)))


def features_of(table: pd.DataFrame, reasons: tuple[str, ...] = ("safety_reason",)) -> pd.DataFrame:
    """Share of each place's reasons that mention each feature."""
    texts = table[list(reasons)].fillna("").agg("|".join, axis=1).str.lower()
    said = [[one for one in text.split("|") if one.strip()] for text in texts]
    return pd.DataFrame(
        {
            name: [sum(bool(re.search(words, one)) for one in those) / (len(those) + 1) for those in said]
            for name, words in FEATURES.items()
        }
    )


def out_of_fold(values, rating, raters, path):
    """The rating of each path foretold from the others; the penalty is chosen within those."""
    foretold = np.empty(len(rating))
    for one in np.unique(path):
        left = path == one
        penalty = chosen_penalty(values[~left], rating[~left], raters[~left], path[~left])
        foretold[left] = predicted(values[left], ridge(values[~left], rating[~left], raters[~left], penalty))
    return foretold


def chosen_penalty(values, rating, raters, path):
    """The penalty of smallest squared error on paths left out."""
    errors = []
    for penalty in PENALTIES:
        error = 0.0
        for one in np.unique(path):
            left = path == one
            fit = ridge(values[~left], rating[~left], raters[~left], penalty)
            error += np.sum((rating[left] - predicted(values[left], fit)) ** 2)
        errors.append(error)
    return PENALTIES[int(np.argmin(errors))]


def ridge(values, rating, raters, penalty):
    """Means and sds of the features, with the mean rating before, and the slope for one sd of each."""
    weight = raters / raters.mean()
    mean = np.average(values, axis=0, weights=weight)
    sd = np.sqrt(np.average((values - mean) ** 2, axis=0, weights=weight))
    sd = np.where(sd > 0, sd, 1.0)
    unit = (values - mean) / sd
    level = np.average(rating, weights=weight)
    curvature = (unit * weight[:, None]).T @ unit + penalty * np.eye(values.shape[1])
    return level, (mean, sd), np.linalg.solve(curvature, (unit * weight[:, None]).T @ (rating - level))


def predicted(values, fit):
    level, (mean, sd), slope = fit
    return level + (values - mean) / sd @ slope


if __name__ == "__main__":
    root = Path(__file__).resolve().parents[1].parent / "shared" / "data"
    rated = pd.read_csv(root / FILE)
    print(study(rated).text())
    both = study(rated, ("safety_reason", "attractiveness_reason"))
    print(f"R2 {both.r2:.3f} with the same features read from the reasons of both ratings")
