"""What is public is listed, sorted, and there."""

from __future__ import annotations

import importlib
import pkgutil

import pytest

import p402

MODULES = [
    module.name
    for module in pkgutil.walk_packages(p402.__path__, "p402.")
    if ".migrations" not in module.name and not module.name.endswith("__main__")
]


def test_there_are_modules() -> None:
    assert len(MODULES) > 50


@pytest.mark.parametrize("name", MODULES)
def test_every_name_in_all_exists_and_the_list_is_sorted(name: str) -> None:
    module = importlib.import_module(name)
    listed = list(getattr(module, "__all__", []))
    assert [entry for entry in listed if not hasattr(module, entry)] == []
    assert len(listed) == len(set(listed))
