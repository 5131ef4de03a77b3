"""The Load lab: load in a process of its own, stored runs, and what they were worth.

spec      what is asked for, checked               arrivals  when each request is due
target    where it goes                            payloads  what is sent
sender    open and closed loop over connections    tally     what came back, second by second
lab       one run from spec to record              ramp      the highest rate within an SLO
soak      hours on a fresh server                  store     the records on disk
"""
