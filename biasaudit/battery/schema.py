"""What a battery file may say: one pydantic model a part, no unknown keys, no silent conversions.

The models know form only (kinds, ranges, names); what the parts mean to one another is checked in `meaning`. The JSON
Schema for editors, `prompts/battery.schema.json`, is generated from here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, StringConstraints, Tag

MAX_TEXT = 20_000
"""Most characters of one text; no model that we audit reads more."""

Name = Annotated[str, StringConstraints(pattern=r"^[^\W\d_][\w-]{0,63}$")]
Language = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8}){0,2}$")]
Text = Annotated[str, StringConstraints(min_length=1, max_length=MAX_TEXT)]
Form = Annotated[str, StringConstraints(max_length=MAX_TEXT)]
Speaker = Annotated[str, StringConstraints(pattern=r"^[^\s:{}][^:{}\n]{0,39}$")]
Texts = Annotated[dict[Language, Text], Field(min_length=1)]


class Part(BaseModel):
    """Common to all parts: no unknown keys, no conversion of kinds, no NaN."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class TopicPart(Part):
    """A narrative: the top-level cluster of a battery."""

    claim: Texts | None = Field(
        None, description="What the narrative asserts, without a final full stop; fills {claim}."
    )
    pairs: (
        dict[Language, Annotated[list[Annotated[list[Text], Field(min_length=2, max_length=2)]], Field(min_length=1)]]
        | None
    ) = Field(None, description="Continuations of the stems: [claim, counter-claim], each with its leading blank.")
    title: Texts | None = Field(None, description="A short name for people; fills {title}.")
    source: Text | None = Field(None, description="Where the narrative is documented.")


Turn = Annotated[dict[Speaker, Text | None], Field(min_length=1, max_length=1)]
Wording = Annotated[
    Annotated[Text, Tag("text")] | Annotated[list[Turn], Field(min_length=1, max_length=100), Tag("list")],
    Discriminator(lambda value: "list" if isinstance(value, list) else "text"),
]


class TemplatePart(Part):
    """A wording that is sampled: its framing, and for every language a text or a list of turns."""

    model_config = ConfigDict(extra="allow")
    framing: Name = Field("neutral", description="What kind of wording this is: neutral, sceptical, debunking …")
    __pydantic_extra__: dict[str, Wording]


Filler = Annotated[
    Annotated[Text, Tag("text")] | Annotated[dict[Name, Form], Field(min_length=1), Tag("mapping")],
    Discriminator(lambda value: "mapping" if isinstance(value, dict) else "text"),
]
GroupForms = Annotated[
    Annotated[Text, Tag("text")]
    | Annotated[dict[Name, Form], Field(min_length=1), Tag("mapping")]
    | Annotated[list[Filler], Field(min_length=2, max_length=200), Tag("list")],
    Discriminator(lambda value: {dict: "mapping", list: "list"}.get(type(value), "text")),
]
Groups = Annotated[
    dict[Name, Annotated[dict[Language, GroupForms], Field(min_length=1)]], Field(min_length=1, max_length=500)
]


def fillers_of(groups: Mapping[str, Mapping[str, object]]) -> int:
    """How many fillers every group of a slot has; 1 where a group is one text or one set of forms."""
    return max(len(forms) if isinstance(forms, list) else 1 for texts in groups.values() for forms in texts.values())


Temperature = Annotated[float, Field(ge=0, le=10)]
TopK = Annotated[int, Field(ge=0, le=1_000_000)]
TopP = Annotated[float, Field(gt=0, le=1)]


class SamplingPart(Part):
    """How completions are drawn; temperature 0 is greedy, top_k 0 and top_p 1 truncate nothing."""

    completions: int = Field(100, ge=1, le=100_000, description="Completions a prompt, arm and decoding.")
    max_new_tokens: int = Field(64, ge=1, le=8192)
    temperature: Temperature = 1.0
    top_k: TopK = 0
    top_p: TopP = 1.0
    min_p: float = Field(0.0, ge=0, lt=1)
    repetition_penalty: float = Field(1.0, gt=0, le=10)
    stop: list[Text] = Field(default_factory=list, max_length=16, description="Texts that end a completion.")
    seed: int = Field(1337, ge=0, le=2**53)


class SweepPart(Part):
    """Each value is a decoding of its own, equal to `sampling` in everything else."""

    temperature: list[Temperature] = Field(default_factory=list, max_length=32)
    top_k: list[TopK] = Field(default_factory=list, max_length=32)
    top_p: list[TopP] = Field(default_factory=list, max_length=32)


Positive = Annotated[float, Field(gt=0)]
MarginText = Annotated[str, StringConstraints(pattern=r"^\s*[0-9]*\.?[0-9]+([eE][-+]?[0-9]+)?\s*[^0-9\s.,].{0,39}$")]
Margin = Annotated[
    Annotated[MarginText, Tag("text")] | Annotated[Positive, Tag("number")],
    Discriminator(lambda value: "text" if isinstance(value, str) else "number"),
]


def margin_and_unit(margin: float | str | None) -> tuple[float | None, str]:
    """A margin as a number, and its unit ('' when none was given)."""
    if not isinstance(margin, str):
        return margin, ""
    found = re.match(r"\s*([0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?)\s*(.*)", margin)
    return (float(found[1]), found[2].strip()) if found else (None, "")


class MeasurePart(Part):
    """A named use of a scorer; every other key is an option of that scorer."""

    model_config = ConfigDict(extra="allow")
    scorer: Name = Field(description="The scorer's name, as `biasaudit ls` lists it.")
    margin: Margin | None = Field(
        None, description='Differences of its value below it do not matter, outside the primary question: "5 points".'
    )
    __pydantic_extra__: dict[str, Any]


class PrimaryPart(Part):
    """The one question that the verdict answers."""

    measure: Name
    target: Literal["population", "fixed"] = "population"
    margin: Margin | None = Field(
        None, description='Differences below it do not matter, with its unit: "0.02 nats/byte".'
    )
    outcome: Text = Field("value", description="`value`, or a label whose share is the outcome.")
    prompt_test: Literal["exact", "barnard", "boschloo"] = Field(
        "exact", description="Test of single prompts between arms that share no noise: Fisher's, Barnard's, Boschloo's."
    )


class BatteryPart(Part):
    """A prompt battery: what an audit asks, and how the answers are scored."""

    model_config = ConfigDict(title="biasaudit battery")
    battery: Name = Field(description="The battery's name: a word.")
    version: int = Field(ge=1, description="Raise it when the meaning changes.")
    title: Texts
    languages: list[Language] = Field(min_length=1, max_length=32, description="The first is the default.")
    topics: dict[Name, TopicPart] = Field(min_length=1)
    stems: dict[Name, Texts] = Field(default_factory=dict, description="Claim-free beginnings, for likelihoods.")
    neutral: Texts | None = Field(
        None, description="A beginning that does not even name the subject: the reference of the PMI variant."
    )
    templates: dict[Name, TemplatePart] = Field(default_factory=dict)
    slots: dict[Name, Groups] = Field(
        default_factory=dict,
        max_length=50,
        description="slot > group > language > text or forms, or a list: names for the group.",
    )
    sampling: SamplingPart = Field(default_factory=SamplingPart)  # type: ignore[arg-type]
    sweep: SweepPart = Field(default_factory=SweepPart)
    measures: dict[Name, MeasurePart] = Field(min_length=1)
    primary: PrimaryPart | None = None
    alpha: float = Field(
        0.05,
        ge=0.005,
        le=0.2,
        description="Level of the tests: 0.05 means 5 %, and intervals of 95 %.",
    )
    sources: list[Text] = Field(default_factory=list)
    chat: bool = Field(False, description="Ask the model's chat template for the prompt's form; base models have none.")


def json_schema() -> str:
    """The JSON Schema of a battery file, as editors read it; ends with a line feed."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **BatteryPart.model_json_schema()}
    return json.dumps(schema, ensure_ascii=False, indent=2) + "\n"
