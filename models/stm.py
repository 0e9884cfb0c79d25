"""STM as MiVOS and Mask-Propagation publish it (STM: Oh et al., ICCV 2019; MiVOS: Cheng et al., CVPR 2021).

The memory encoder sees image, mask and the other objects' masks, so each object has a memory key of its own.
"""

from torch import Tensor

from models.backbone import CHANNELS, ResNetEncoder
from models.memory import Reading
from models.propagation import Entry, KeyValue, PropagationConfig, PropagationNetwork, Query, check_image


class STM(PropagationNetwork):
    similarity = "dot"
    evaluation = Reading(top_k=50)

    def __init__(self, config: PropagationConfig | None = None):
        config = config or PropagationConfig()
        super().__init__(config, refine=True)
        heads = config.key_dim, config.value_dim
        self.query_encoder = ResNetEncoder(config.backbone, norm=config.norm)
        self.query_head = KeyValue(CHANNELS[config.backbone][0], *heads)
        self.memory_encoder = ResNetEncoder(
            config.memory_backbone, 5 if config.multi_object else 4, bias=True, norm=config.norm
        )
        self.memory_head = KeyValue(CHANNELS[config.memory_backbone][0], *heads)

    def encode_query(self, image: Tensor) -> Query:
        check_image(image)
        features = self.query_encoder(image)
        return Query(*self.query_head(features[0]), *features)

    def encode_memory(self, image: Tensor, query: Query | None, masks: Tensor) -> Entry:
        """Everything is encoded anew from the image and the masks; ``query`` may be None."""
        f16 = self.memory_encoder(self.memory_input(image, masks))[0]
        key, value = self.memory_head(f16)
        return Entry(*(x.unflatten(0, masks.shape[:2]).unsqueeze(3) for x in (key, value)))
