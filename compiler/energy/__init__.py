"""Energy by three rules side by side, each with its assumptions: the literature's, integers as measured, with memory.

A `Work` says what a sequence costs in operations (from a config, or from a compiled program and its measured spikes);
literature.py, integers.py and traffic.py price it; table.py sets the columns beside the dense models.
"""
