"""How far a measured node carries: a queueing model, a simulator, and plans made from them.

    measure.py    the lab's open loop against one node, and two behind nginx
    fit.py        service times from that: turns of the event loop, runs on slots
    theory.py     formulas: M/G/1 (Pollaczek-Khinchine), M/G/k (Allen-Cunneen), turns
    simulate.py   the same node request by request (simpy), and two behind a router
    figures.py    all of them beside each other, with errors
    plan.py       replicas, nodes and cost of a rate
    picture.py    docs/scale.png

`make scale` measures and writes docs/scale.json, docs/scale.png and the tables of docs/scale.md;
`python -m bench.scale --rate 100000` reads the JSON.
"""
