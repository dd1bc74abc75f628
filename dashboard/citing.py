"""How a view is cited: a sentence, a BibTeX entry, its address at an absolute time, and the calls that make it again.

What is shown may change without the server, so the words come with places for the layer, the step and the address,
which the browser fills in (`late/cite.js`).
"""

from __future__ import annotations

import re
from typing import Any

from dashboard.components import Cite
from dashboard.figures import layer_name
from dashboard.pages.context import Asked
from dashboard.roles import may
from dashboard.runs import PUBLIC, Run
from dashboard.scales import GAP_LAYERS, LAYERS, OF_GROUPS
from sensors.city import City

_SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
}  # fmt: skip
_EXPORTED = {"light": "illuminance", "evidence": "safety"}  # layers as people see them, by the names of an export


def export_layer(layer: str) -> str:
    """The name in an export of a layer that a page shows.

    >>> [export_layer(name) for name in ("light", "safety_women", "gap_women", "noise")]
    ['illuminance', 'groups', 'groups', 'noise']
    """
    if layer in OF_GROUPS or layer in GAP_LAYERS:
        return "groups"
    return _EXPORTED.get(layer, layer)


def latex(text: str) -> str:
    """Text that LaTeX and BibTeX print as it is."""
    return "".join(_SPECIAL.get(letter, letter) for letter in text)


def citation(city: City, asked: Asked, run: Run) -> Any:
    """The box that cites what a page shows of a night."""
    say = asked.say
    settings, simulated = city.settings, say("simulated.mark") if run.simulated else ""
    sources = "; ".join(settings.attribution)
    facts = {
        "city": city.name,
        "day": run.night,
        "model": str(run.meta.get("model", ""))[:16],
        "code": str(run.meta.get("code", "")),
        "by": settings.purpose.responsible or city.name,
        "licence": settings.licence or say("cite.nolicence"),
        "sources": sources,
    }
    holes = {name: "{" + name + "}" for name in ("layer", "step", "page", "today", "link")}
    text = say("cite.text", **facts, **holes) + (f" {simulated}." if simulated else "")
    note = say("cite.note", model=facts["model"], code=facts["code"], sources=sources, licence=facts["licence"])
    note += f" {simulated}." if simulated else ""
    words = ("copy", "copied", "sentence", "bibtex", "link", "again", "call")
    entry = [
        f"@misc{{noctule-{re.sub(r'[^a-z0-9-]', '', city.id)}-{run.night},",
        f"  title        = {{{{{latex(say('cite.title', city=city.name, day=run.night))}: {holes['layer']}}}}},",
        f"  author       = {{{{{latex(facts['by'])}}}}},",
        f"  year         = {{{run.night[:4]}}},",
        f"  howpublished = {{\\url{{{holes['link']}}}}},",
        f"  note         = {{{latex(note)} {holes['step']}, {holes['page']}}},",
        f"  urldate      = {{{holes['today']}}}",
        "}",
    ]
    public = run.name.startswith(PUBLIC)
    level = " --public" if public else ""
    command = (
        f"noctule export {city.id} --night {run.night} --format netcdf --layer {{export}} --step {{step}}{level} "
        f"{city.id}-{run.night}.nc"
    )
    call = f"GET /export?night={run.night}&format=csv&layer={{export}}&step={{step}}"
    shown = (*LAYERS, *OF_GROUPS, *GAP_LAYERS)
    return Cite(
        id="cite",
        labels={name: say(f"cite.{name}") for name in words},
        text=text,
        bibtex="\n".join(entry),
        command=command,
        call=call if may(asked.role, "export") and not public else "",
        layers={name: layer_name(name, say) for name in shown},
        exports={name: export_layer(name) for name in shown},
    )
