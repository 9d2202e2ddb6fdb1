"""The generator of the sample of talking heads: speech-like sound, mouths that follow it, and a moving camera."""
