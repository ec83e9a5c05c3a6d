"""Readers and writers of formats that several rooms need, one of each. Pure."""
