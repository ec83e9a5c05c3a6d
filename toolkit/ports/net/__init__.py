"""Probes of live systems: addresses, answers and certificates are those of strangers."""
