"""Python functions as tools, and Python types as the form of an answer.

`schema` makes JSON schemas of types, `conversion` checks JSON and makes values of it, `signature` does both for the
parameters of a function. `tool` is a function with its options, `sets` finds functions in objects and modules, `calls`
carries out a call.
"""
