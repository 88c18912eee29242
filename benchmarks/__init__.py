"""Benchmarks: ``make bench`` runs those in make_bench/, the others here are run by hand.

What several of them use is in parts/.
"""
