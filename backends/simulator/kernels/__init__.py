"""The simulator's run time: numpy and the standard library only. Copied verbatim into what the backend emits."""
