"""The conformance kit: numbered cases that any connector must pass on its venue's dialect; see docs/conformance.md."""
