"""Measures baked programs: how fast, how steadily, how near to what the memory can deliver, beside other programs."""
