"""What a call costs: usage in, exact money out, or the reason why it has no price."""

from p402.collector.pricing.book import PriceBook, Priced
from p402.collector.pricing.changes import Span
from p402.collector.pricing.schedule import Schedule
from p402.collector.pricing.snapshot import load_price_book
from p402.decisions import RateCard, UnpriceableUsage, Unpriced

__all__ = ["PriceBook", "Priced", "RateCard", "Schedule", "Span", "UnpriceableUsage", "Unpriced", "load_price_book"]
