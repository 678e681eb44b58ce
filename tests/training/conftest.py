from tests.reference.fixtures import rng as rng
