"""Reads the catalogue of models: ours, and what an operator adds to it or says otherwise."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from p402.collector.field_problems import problems_of
from p402.decisions import Ability, Catalogue, Model, Tier
from p402.vocabulary import MAX_ID_LENGTH, Permanent

__all__ = ["CatalogueInvalid", "load_catalogue"]

_Name = Annotated[str, Field(min_length=1, max_length=MAX_ID_LENGTH)]
_Tokens = Annotated[int, Field(ge=0, le=10**9)]


class CatalogueInvalid(Permanent):
    """A catalogue cannot be used; the message says where and why."""


class _Entry(BaseModel):
    """A model, as far as it differs from its group."""

    model_config = ConfigDict(extra="forbid")

    model: _Name
    aliases: tuple[_Name, ...] = ()
    vendor: str | None = None
    tier: Tier | None = None
    abilities: frozenset[Ability] | None = None
    context_tokens: _Tokens | None = None
    max_output_tokens: _Tokens | None = None
    least_output_tokens: _Tokens | None = None
    offered: bool | None = None


class _Group(BaseModel):
    """Models with something in common."""

    model_config = ConfigDict(extra="forbid")

    providers: Annotated[tuple[_Name, ...], Field(min_length=1)]
    models: Annotated[tuple[_Entry, ...], Field(min_length=1)]
    vendor: str | None = None
    tier: Tier | None = None
    abilities: frozenset[Ability] | None = None
    context_tokens: _Tokens | None = None
    max_output_tokens: _Tokens | None = None
    least_output_tokens: _Tokens | None = None
    offered: bool | None = None


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    group: tuple[_Group, ...]


_SHARED = tuple(name for name in _Group.model_fields if name not in ("providers", "models"))
_NEEDED = ("tier", "context_tokens", "max_output_tokens")


def load_catalogue(additions: Path | None) -> Catalogue:
    """Load our catalogue, and an operator's file of the same form in front of it: its models and aliases win.

    Raises:
        CatalogueInvalid: if the file cannot be read or is not as it must be.
    """
    if additions is None:
        return Catalogue(_ours())
    try:
        text = additions.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise CatalogueInvalid(f"The catalogue of models {additions} cannot be read: {error}.") from error
    added = _models(text, str(additions))
    named = {(model.provider, name) for model in added for name in (model.model, *model.aliases)}
    return Catalogue([*added, *(model for model in _ours() if (model.provider, model.model) not in named)])


@cache
def _ours() -> tuple[Model, ...]:
    return tuple(_models(files(__package__).joinpath("catalogue.toml").read_text(encoding="utf-8"), "catalogue.toml"))


def _models(text: str, name: str) -> list[Model]:
    try:
        groups = _File.model_validate(tomllib.loads(text)).group
    except tomllib.TOMLDecodeError as error:
        raise CatalogueInvalid(f"The catalogue of models {name} is no TOML: {error}.") from error
    except ValidationError as error:
        raise CatalogueInvalid(f"The catalogue of models {name} cannot be used: {problems_of(error)}.") from error
    models = [
        _model(group, entry, provider, name)
        for group in groups
        for provider in group.providers
        for entry in group.models
    ]
    seen: set[tuple[str, str]] = set()
    for model in models:
        for called in (model.model, *model.aliases):
            if (model.provider, called) in seen:
                raise CatalogueInvalid(f"The catalogue of models {name} names {called!r} of {model.provider} twice.")
            seen.add((model.provider, called))
    return models


def _model(group: _Group, entry: _Entry, provider: str, name: str) -> Model:
    said = {
        field: value
        for field in _SHARED
        if (value := own if (own := getattr(entry, field)) is not None else getattr(group, field)) is not None
    }
    if missing := [field for field in _NEEDED if field not in said]:
        raise CatalogueInvalid(
            f"The catalogue of models {name} does not say {', '.join(missing)} of {entry.model!r} of {provider}."
        )
    return Model(provider=provider, model=entry.model, aliases=entry.aliases, **said)
