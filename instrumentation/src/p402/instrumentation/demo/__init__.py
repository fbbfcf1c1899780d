"""An application to try the instrumentation on."""
