"""What is traced is traced on both databases."""

from __future__ import annotations

from support.databases import each_database

__all__ = ["each_database"]
