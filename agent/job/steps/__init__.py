"""Steps, one at a time: the job's state, what expressions see, the actions it uses, its inputs and its turn.

Called by the supervisor and the handlers. A step's effects are applied when it has ended, and only then.
"""
