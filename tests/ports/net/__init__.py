"""Tests of the probes: hostile addresses, hostile answers, and certificates that are not to be
trusted.
"""
