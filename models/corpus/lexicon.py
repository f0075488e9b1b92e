"""Words the stories are made of: who can be in one, what they are called, what they own and where they live.

Everything is plain data.  A kind belongs to exactly one group; plots name the groups they fit, so that nobody
rides a bicycle under the sea.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """One kind of character: noun, group, adjectives that suit it, gender ("f", "m" or "" for either)."""

    noun: str
    group: str
    adjectives: tuple[str, ...]
    gender: str = ""


_PLAIN = ("little", "small", "kind", "cheerful", "curious", "gentle", "young", "friendly", "playful", "happy")
_TINY = ("tiny", "little", "small", "cheerful", "curious", "friendly", "busy", "happy")
_BIG = ("big", "kind", "gentle", "friendly", "cheerful", "curious", "happy", "young")
_NOBLE = ("young", "kind", "clever", "cheerful", "friendly", "curious", "gentle")
_THING = ("little", "small", "cheerful", "friendly", "happy", "shiny")

_GROUPS: dict[str, tuple[tuple[str, ...], str]] = {
    "animal": (_PLAIN, "cat dog kitten puppy rabbit fox squirrel hedgehog pig pony lamb goat monkey panda penguin "
                       "deer raccoon koala otter beaver frog duck owl turtle wolf donkey kangaroo bird"),
    "tiny": (_TINY, "mouse bee butterfly ladybug ant snail firefly chick"),
    "big": (_BIG, "bear elephant lion tiger giraffe hippo dinosaur cow horse"),
    "sea": (_PLAIN, "fish dolphin crab octopus seahorse starfish seal"),
    "magic": (_PLAIN, "dragon unicorn elf gnome"),
    "noble": (_NOBLE, "knight pirate"),
}

KINDS: tuple[Kind, ...] = tuple(
    Kind(noun, group, adjectives) for group, (adjectives, nouns) in _GROUPS.items() for noun in nouns.split()
) + (
    Kind("girl", "child", ("little", "young", "kind", "cheerful", "curious", "clever", "happy"), "f"),
    Kind("boy", "child", ("little", "young", "kind", "cheerful", "curious", "clever", "happy"), "m"),
    Kind("fairy", "magic", _TINY, "f"),
    Kind("wizard", "noble", ("young", "kind", "old", "clever", "cheerful", "funny"), "m"),
    Kind("giant", "giant", ("big", "kind", "gentle", "friendly", "shy"), ""),
    Kind("princess", "noble", _NOBLE, "f"),
    Kind("prince", "noble", _NOBLE, "m"),
    Kind("queen", "noble", ("kind", "wise", "gentle", "clever"), "f"),
    Kind("king", "noble", ("kind", "wise", "gentle", "cheerful", "funny"), "m"),
    Kind("mermaid", "sea", ("little", "young", "kind", "curious", "cheerful", "gentle"), "f"),
    Kind("whale", "sea", _BIG),
    Kind("robot", "robot", ("little", "small", "shiny", "friendly", "curious", "clever"), ""),
    Kind("train", "wheels", _THING, ""),
    Kind("tractor", "wheels", _THING, ""),
    Kind("truck", "wheels", _THING, ""),
    Kind("bus", "wheels", _THING, ""),
    Kind("cloud", "sky", ("little", "small", "soft", "gentle", "happy"), ""),
    Kind("star", "sky", ("little", "small", "bright", "gentle", "happy"), ""),
    Kind("snowman", "snow", ("little", "jolly", "cheerful", "friendly", "round"), "m"),
    Kind("caterpillar", "caterpillar", _TINY, ""),
)

NAMES: dict[str, tuple[str, ...]] = {
    "f": tuple("Mia Lily Anna Zoe Ruby Rosie Daisy Ella Nora Lucy Molly Poppy Bella Luna Ivy Emma Clara Holly Hazel "
               "Penny".split()),
    "m": tuple("Tom Ben Max Sam Leo Tim Jack Finn Oscar Milo Toby Noah Hugo Bruno Otto Theo Lucas Owen Henry "
               "Billy".split()),
}

PRONOUNS: dict[str, dict[str, str]] = {
    "f": {"he": "she", "him": "her", "his": "her", "himself": "herself"},
    "m": {"he": "he", "him": "him", "his": "his", "himself": "himself"},
}

COLORS = tuple("red blue yellow green purple orange pink white".split())
THING_ADJECTIVES = COLORS + ("shiny", "little", "new", "old", "golden")
# Small enough to carry, lose, lend and find again.
THINGS = ("ball", "kite", "drum", "teddy bear", "hat", "scarf", "book", "toy boat", "lantern", "bell", "blanket",
          "basket", "key", "cup", "umbrella", "whistle", "balloon", "wagon", "doll", "crown", "flute", "bucket",
          "toy car", "puzzle", "shell", "spoon", "toy train", "button")
# Things to play with, alone or in turns.
TOYS = ("ball", "kite", "drum", "teddy bear", "book", "toy boat", "balloon", "wagon", "doll", "flute", "toy car",
        "puzzle", "toy train", "whistle")
# Said with "some": plural or not counted, so no article is ever needed.
FOODS = ("cookies", "berries", "apples", "pears", "pancakes", "muffins", "honey", "soup", "bread", "cheese", "jam",
         "nuts", "carrots", "cherries", "plums", "noodles")
# Said with "a".
BAKES = ("cake", "pie", "loaf of bread", "pizza", "pudding", "chocolate cake", "carrot cake", "apple pie",
         "lemon cake", "honey cake")

# noun -> preposition that puts somebody there
PLACES: dict[str, str] = {
    "forest": "in", "meadow": "in", "garden": "in", "park": "in", "valley": "in", "woods": "in", "field": "in",
    "hill": "on", "beach": "on", "farm": "on", "river": "by", "pond": "by", "lake": "by", "stream": "by",
    "village": "in", "castle": "near", "mountain": "on", "big oak tree": "by",
}

HOMES: dict[str, tuple[str, ...]] = {
    "child": ("in a small house by the river", "in a little village", "on a farm", "in a house with a red roof",
              "near the sea", "in a cozy house on a hill", "at the edge of a forest", "in a busy town"),
    "animal": ("in a quiet forest", "in a green meadow", "near a sunny pond", "at the edge of the woods",
               "under a big oak tree", "in a cozy little house", "on a farm", "by a small stream"),
    "tiny": ("in a pretty garden", "under a big leaf", "in a green meadow", "beside a rose bush", "near a sunny pond",
             "in the tall grass"),
    "big": ("in a warm valley", "by a wide river", "in a green forest", "near a tall mountain", "by a quiet lake"),
    "sea": ("in the deep blue sea", "in a warm sea", "in a quiet bay", "near a pretty reef",
            "at the bottom of the sea"),
    "magic": ("in a magic forest", "on top of a hill", "near a quiet lake", "in a land far away",
              "behind a waterfall", "in a hidden valley"),
    "noble": ("in a castle on a hill", "in a land far away", "in a tall tower", "in a kingdom by the sea"),
    "giant": ("on top of a tall mountain", "in a land far away", "in a very big house", "in a wide valley"),
    "robot": ("in a small workshop", "in a busy town", "in a house with a red roof", "in a little toy shop"),
    "wheels": ("in a busy town", "on a farm", "in a little village", "near a tall mountain"),
    "sky": ("high up in the sky", "far above the hills", "above a little village"),
    "snow": ("in a white garden", "in a snowy village", "on a snowy hill"),
    "caterpillar": ("in a pretty garden", "on a green leaf", "in an apple tree"),
}

# What somebody loves: base form, so it follows "loved to", "liked to".
HOBBIES: dict[str, tuple[str, ...]] = {
    "child": ("read books", "paint pictures", "sing songs", "run and jump", "look for pretty stones", "play outside",
              "tell jokes", "climb trees", "look at the stars", "dance in the kitchen"),
    "animal": ("run and play", "sing songs", "roll in the grass", "look for berries", "jump over puddles",
               "explore new places", "listen to stories", "play hide and seek", "look at the clouds",
               "make new friends"),
    "tiny": ("sing soft songs", "smell the flowers", "explore the garden", "rest on warm stones", "make new friends",
             "look at the clouds", "listen to the wind"),
    "big": ("walk in the sun", "splash in the water", "sing loud songs", "take long naps", "tell funny stories",
            "help others", "smell the flowers"),
    "sea": ("swim in the waves", "look for pretty shells", "play in the bubbles", "sing under the water",
            "explore the reef", "race with the waves"),
    "magic": ("fly over the hills", "make new friends", "sing in the moonlight", "explore new places",
              "tell funny stories", "help others"),
    "noble": ("read old books", "explore new places", "help others", "tell funny stories", "walk in the garden",
              "sing happy songs"),
    "giant": ("sing loud songs", "count the stars", "help others", "grow flowers", "bake bread"),
    "robot": ("count things", "fix old toys", "beep funny songs", "help others", "learn new things"),
    "wheels": ("work hard", "roll along the road", "help others", "wave at the children", "sing a happy song"),
    "sky": ("watch the children play", "float over the hills", "look down at the world"),
    "snow": ("watch the snow fall", "wave at the birds", "tell jokes"),
    "caterpillar": ("eat green leaves", "look at the sky", "take long naps"),
}
