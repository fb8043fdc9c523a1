"""`make results`: every model beside its baselines on data that training never saw, as tables in docs/results.md.

What is trained stands in `experiments`, declared; each training goes through the stages of `glacier train` in a store
under work/results, and what is published there is not made again. A training's figures are kept as one JSON record, so
that the whole can be interrupted, and gone on with by the same command.
"""
