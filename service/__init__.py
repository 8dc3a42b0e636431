"""The HTTP process, and the things both processes use.

Verbs are steps, nouns are things. Reading the verbs in order is the path of a revocation:

    receive -> verify -> accept | revoke -> notify

The bar is the queue between the two processes: what stands left of it lives here, what stands right of it in `workers`.
"""
