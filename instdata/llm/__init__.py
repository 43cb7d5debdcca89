"""The one way to a language model: an OpenAI-compatible endpoint, or a local model served on loopback."""
