"""Many photos on one machine or many, with Ray Data: planned, recorded one by one, resumed after any stop.

    sources -> plan: every input in a fixed order
            -> Ray Data hands what is left to a pool of workers that hold the network
            -> each output: made apart, moved under its name in one step, then recorded
            -> manifest: one row for each input

An output depends on its photo and the job alone: making one twice gives the same bytes under the same name.
"""
