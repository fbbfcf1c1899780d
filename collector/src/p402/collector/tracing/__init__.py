"""The collector's own traces: how long its requests, commits and background work take, by OpenTelemetry's conventions.

Imported only where they are switched on. Spans name routes, never paths, and hold neither headers, bodies nor the texts
of errors: those tell of sessions and people.
"""
