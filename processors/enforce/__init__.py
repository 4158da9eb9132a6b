"""The policy's arm: anomalies in, commands out, each of which says which anomaly it is for."""
