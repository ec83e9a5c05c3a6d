"""Tests of building and pushing images."""
