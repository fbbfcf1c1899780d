"""Audio that the price list has no price for, at sellers whose audio never costs what text does.

For GPT-4o's audio models the list has only the price of text, which is a sixteenth of the published one. Elsewhere
(Gemini 2.5 Pro) one price does hold for both, so the list alone does not tell.
"""

from __future__ import annotations

from p402.collector.pricing.providers import PRICED_AS
from p402.decisions import KINDS, RateCard
from p402.vocabulary import Usage

__all__ = ["unpriced_audio"]

_SELLERS = frozenset({"azure", "openai"})
_PLACES = {kind: KINDS.index(kind) for kind in ("audio_input_tokens", "audio_output_tokens")}


def unpriced_audio(provider: str, card: RateCard, usage: Usage) -> str | None:
    """Say why the audio of a call cannot be priced; None if it can."""
    name = provider.strip().lower()
    if PRICED_AS.get(name, name) in _SELLERS:
        for kind, place in _PLACES.items():
            if getattr(usage, kind) and not card.rates[place]:
                return f"the price book has no price of the model's {kind}, which do not cost what text does"
    return None
