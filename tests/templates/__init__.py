"""Tests of toolkit/templates."""
