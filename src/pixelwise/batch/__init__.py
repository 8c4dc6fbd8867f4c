"""Many photos, on one machine or many: planned first, each done once, recorded, resumed after any stop.

    sources -> plan: what is to be done, fixed in a file with a checksum
            -> chunks, handed out by Ray Data to workers that hold the network
            -> each photo: made in a place of its own, moved under its name in one step, then recorded
            -> manifest: one row for each input

A worker records every photo in a journal of its own as soon as its output has its name. Whatever dies then,
the journals say what is done, and the rest is done by the next run. What a photo becomes depends on the photo
and the job alone, never on which worker had it: doing one twice gives the same bytes under the same name.

Ray is imported in `cluster` alone, inside the functions that need it.
"""
