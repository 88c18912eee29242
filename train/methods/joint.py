"""Joint: the contrastive loss over all tasks at once, the upper bound that continual methods are held against."""

from train.methods.finetune import Finetune


class Joint(Finetune):
    """Finetune, given everything as task 1. All experts then equal the first, so every task's path is the one that was trained."""

    joint = True
