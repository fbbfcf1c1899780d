"""The way of a call: normalise → attribute → price → record, and what follows the recorded charges."""
