"""What hostile names, refs, repositories, programs and rules can do to toolkit: nothing. S-numbers
are those of the security plan.
"""
