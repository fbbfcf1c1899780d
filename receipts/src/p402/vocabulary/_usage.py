"""What a call consumed: tokens by kind.

The totals include everything, as in OpenTelemetry's GenAI conventions: ``input_tokens`` contains the cached, written,
audio and image ones, ``output_tokens`` contains the reasoning, audio and image ones. The details are subsets.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

__all__ = ["Usage"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Token counts of one call, or of several added up."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_input_tokens: int = 0
    cache_write_input_tokens: int = 0
    """All tokens written to a cache, whatever their time to live."""
    cache_write_1h_input_tokens: int = 0
    """Those of ``cache_write_input_tokens`` that were written for an hour (Anthropic prices them apart)."""
    reasoning_output_tokens: int = 0
    audio_input_tokens: int = 0
    audio_output_tokens: int = 0
    audio_cache_read_input_tokens: int = 0
    """Those of ``audio_input_tokens`` that were read from a cache."""
    image_input_tokens: int = 0
    image_output_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(**{name: getattr(self, name) + getattr(other, name) for name in _NAMES})

    @property
    def total_tokens(self) -> int:
        """Input plus output."""
        return self.input_tokens + self.output_tokens

    def contradiction(self) -> str | None:
        """Say in a sentence what cannot be true about these counts; None when they fit together."""
        for name in _NAMES:
            if getattr(self, name) < 0:
                return f"{name} is negative ({getattr(self, name)})"
        for part, whole in _SUBSETS:
            if getattr(self, part) > getattr(self, whole):
                return f"{part} ({getattr(self, part)}) is more than {whole} ({getattr(self, whole)})"
        cached = self.cache_read_input_tokens + self.cache_write_input_tokens
        if cached > self.input_tokens:
            return f"cached tokens ({cached}) are more than input_tokens ({self.input_tokens})"
        return None


_NAMES = tuple(field.name for field in fields(Usage))
_SUBSETS = (
    ("cache_read_input_tokens", "input_tokens"),
    ("cache_write_input_tokens", "input_tokens"),
    ("cache_write_1h_input_tokens", "cache_write_input_tokens"),
    ("audio_input_tokens", "input_tokens"),
    ("audio_cache_read_input_tokens", "audio_input_tokens"),
    ("audio_cache_read_input_tokens", "cache_read_input_tokens"),
    ("image_input_tokens", "input_tokens"),
    ("reasoning_output_tokens", "output_tokens"),
    ("audio_output_tokens", "output_tokens"),
    ("image_output_tokens", "output_tokens"),
)
