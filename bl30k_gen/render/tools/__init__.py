"""Commands around rendering: doctor, estimate, replay, add an asset and its turntable, repair."""
