"""The inference engine and everything it measures. It knows no web."""
