"""What the classes of CIFAR are called, for files that hold their numbers alone."""

from __future__ import annotations

from resgraph.diagnostics import plain

_CIFAR10 = "airplane automobile bird cat deer dog frog horse ship truck"

_CIFAR100 = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus
butterfly camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch
crab crocodile cup dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo
keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain
mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain
plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk
skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone
television tiger tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm
"""

CLASSES = {
    "cifar10": tuple(_CIFAR10.split()),
    "cifar100": tuple(_CIFAR100.split()),
}
"""By data set, in the order of the labels."""


def class_names(data: str, count: int, stored: tuple[str, ...]) -> tuple[str, ...]:
    """Names for so many classes: those stored with the data, if they are enough.

    Whatever shows them, stores them or compares them gets them as they can be printed. Else those that are known for the data set of that name, else the labels' numbers.
    """
    for names in (stored, CLASSES.get(data, ())):
        if names and count <= len(names):
            return tuple(plain(name) for name in names)
    return tuple(str(number) for number in range(count))
