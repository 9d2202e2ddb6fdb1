"""The generator of the sample of talking heads: speech-like sound, faces whose mouths follow it, and a moving camera."""
