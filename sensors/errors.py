"""Everything that Noctule refuses, as one tree.

NoctuleError
├── CityError        a city folder, its city.toml or one of its tables is not as it should be
├── LuminaireError   a photometric file is damaged, impossible or of a kind not read
├── RecipeError      a recipe, or a file that it names, cannot be read as it says
├── DecodeError      a message cannot be read at all
├── AnswerError      a file of survey answers cannot be imported
├── WalkError        a night walk, or a file of it, is not as it should be
├── LayerError       a survey of light or a raster of the city's own cannot be taken
├── LightingError    the light of a street section cannot be computed as asked
├── BrokerError      the MQTT broker refuses us, or its address is wrong
├── ShelfLocked      another process already writes this shelf
├── StoreError       a shelf on disk is damaged, full or of an unknown format
├── ModelError       no fitted model, or one that does not belong to this city
├── ScenarioError    a what-if file cannot be planned with
├── ExportError      what was asked for cannot be handed out
└── AccountError     an account, its role or its password cannot be what was asked

Each message is one sentence (or one a line): what was found, where, and what would do. Bad readings are not
errors, they get a flag (`sensors.flags`); bad messages are kept with a reason.
"""


class NoctuleError(Exception):
    """Base of everything that Noctule refuses; the command line prints it as it is and exits with 1."""


class CityError(NoctuleError):
    """A city folder, its `city.toml` or one of its tables is not as it should be."""


class LuminaireError(NoctuleError):
    """A photometric file is damaged, impossible or of a kind that is not read."""


class RecipeError(NoctuleError):
    """A recipe, or a file that it names, cannot be read as it says."""


class DecodeError(NoctuleError):
    """A message cannot be read at all."""


class AnswerError(NoctuleError):
    """A file of survey answers cannot be imported."""


class WalkError(NoctuleError):
    """A night walk, or a file of it, is not as it should be."""


class LayerError(NoctuleError):
    """A survey of light or a raster of the city's own cannot be taken."""


class LightingError(NoctuleError):
    """The light of a street section cannot be computed as asked."""


class BrokerError(NoctuleError):
    """The MQTT broker refuses us, or its address is wrong."""


class ShelfLocked(NoctuleError):  # noqa: N818  # says what happened, as FileExistsError would not
    """Another process already writes this shelf."""


class StoreError(NoctuleError):
    """A shelf on disk is damaged, full or of an unknown format."""


class ModelError(NoctuleError):
    """There is no fitted model, or it does not belong to this city."""


class ScenarioError(NoctuleError):
    """A what-if file cannot be planned with."""


class ExportError(NoctuleError):
    """What was asked for cannot be handed out."""


_LINES = 25  # more than fits a screen helps nobody; the rest is usually the same again


def gather(title: str, problems: list[str]) -> str:
    """One message from everything that is wrong with a thing: its title, then a line for each problem."""
    if len(problems) == 1:
        return f"{title}: {problems[0]}"
    lines = [f"{title}: {len(problems)} problems", *(f"  - {problem}" for problem in problems[:_LINES])]
    if len(problems) > _LINES:
        lines.append(f"  - and {len(problems) - _LINES} more of the kind")
    return "\n".join(lines)


class AccountError(NoctuleError):
    """An account, its role or its password cannot be what was asked."""
