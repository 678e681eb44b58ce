"""All experiments, by name."""

from tinyvit.lab.cost import COST
from tinyvit.lab.data_size import DATA_SIZE
from tinyvit.lab.fewshot import FEWSHOT
from tinyvit.lab.masked import MASKED
from tinyvit.lab.norm import NORM
from tinyvit.lab.pooling import POOLING
from tinyvit.lab.position import POSITION
from tinyvit.lab.scale import SCALE
from tinyvit.lab.shape import SHAPE

EXPERIMENTS = {e.name: e for e in (POSITION, POOLING, NORM, SCALE, SHAPE, DATA_SIZE, MASKED, FEWSHOT, COST)}
