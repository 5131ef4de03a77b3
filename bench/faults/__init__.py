"""What becomes of a real server when something breaks: `python -m bench.faults`.

row.py        what one fault showed, and its line of the table
repository.py models of known answers, planned once, and rows to ask them
server.py     a server process that may be stopped, starved and sabotaged
sabotage.py   what runs inside that process and breaks it when told to
callers.py    callers that check every answer
clients, overload, threads, disk, changes, ends, limits, answers: the faults themselves
catalogue.py  all of them, how each is injected, and what is allowed to fail
"""
