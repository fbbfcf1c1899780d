"""The rules that whoever decides about a call must apply alike: the collector, and a service that holds a lease (pure).

Only the standard library and the vocabulary are imported here, so that a service's install stays light.
"""

from p402.decisions._rate_card import KINDS, LongPrompt, Part, RateCard, UnpriceableUsage, Unpriced, Weights

__all__ = ["KINDS", "LongPrompt", "Part", "RateCard", "UnpriceableUsage", "Unpriced", "Weights"]
