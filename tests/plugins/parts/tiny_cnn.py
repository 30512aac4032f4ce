from torch import nn

import showtell
from showtell.models.encoders.base import Backbone, Network


@showtell.register("encoder", name="tiny_cnn")
class TinyCNN(Backbone):
    def build(self):
        first = nn.Sequential(nn.Conv2d(3, 16, 8, stride=8), nn.ReLU())
        return Network(nn.Sequential(first, nn.Conv2d(16, 32, 4, stride=4), nn.ReLU()))
