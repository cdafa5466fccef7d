"""A user class for each way of connecting and each HTTP client; and the end of their run."""

from collections import Counter
from itertools import product

from locust import FastHttpUser, HttpUser

CLIENTS = {"Own": (), "Http": (HttpUser,), "Fast": (FastHttpUser,)}
WAYS = {"Polling": ["polling"], "Websocket": ["websocket"], "Upgrade": ["polling", "websocket"]}
USERS = 11
ITERATIONS = 3
done = Counter()


def step(user, iterations=1):
    """So many more of its iterations are complete. Once all users have done theirs the run ends."""
    done[user] += iterations
    if sum(count >= ITERATIONS for count in done.values()) == USERS:
        user.environment.runner.quit()


def each_way(member):
    """By their names, which are their users' too."""
    made = {}
    for (client, bases), (way, transports) in product(CLIENTS.items(), WAYS.items()):
        name = client + way
        made[name] = type(name, (member, *bases), {"options": {"transports": transports}, "fixed_count": 1})
    return made
