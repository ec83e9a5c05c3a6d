"""Tests of toolkit.gates."""
