"""``python -m p402.exporters.grafana``: write the dashboards' JSON anew, beside their builders."""

from __future__ import annotations

from p402.exporters.grafana import DASHBOARDS
from p402.exporters.grafana.panels import written
from p402.exporters.grafana.spend import spend
from p402.exporters.grafana.traces import traces

__all__: list[str] = []

if __name__ == "__main__":
    for file, dashboard in zip(DASHBOARDS, (spend(), traces()), strict=True):
        file.write_text(written(dashboard), encoding="utf-8")
