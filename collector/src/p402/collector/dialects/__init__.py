"""How those who make spans spell things. One file per dialect, each a pure function of a span."""
