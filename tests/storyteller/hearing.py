"""How well wishes are heard: phrases said by Flite's voices, plain, over noise, and with a child's pitch.

    STORYBAKE_STORYTELLER=build/storyteller python3 tests/storyteller/hearing.py [--voices slt,kal] [--every N]
    ... tests/storyteller/hearing.py --missed
    ... tests/storyteller/hearing.py --wake MINUTES [--first STORY]

The first prints, of each condition, the share that was understood as it was meant, and the share of sentences that are no wish but
were taken for one. It takes half an hour of one core for all of them; the tests run every eighth phrase of one voice. --missed counts
instead how often wake words are missed, in a minute; --wake how often as many minutes of its own stories and of other sentences wake
it: ten take two or three. Parts of an hour begin with the story that the part before names.
"""

from __future__ import annotations

import argparse
import itertools
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from programs import RATE, TOPICS, known, on_this_machine, record, said

VOICES = ("slt", "kal16", "rms", "awb", "kal")

# What is said, and what the storyteller shall say of it: the beginning of a line.
DRAGON, RABBIT, DOG, CAT, FOX, BOY, GIRL, BEAR, PRINCESS, SEA, MOON, RAINBOW, SHARING, PARTY = known(
    "a dragon", "a rabbit", "a dog", "a cat", "a fox", "a boy", "a girl", "a bear", "a princess", "the sea", "the moon", "a rainbow",
    "sharing", "a birthday party",
)  # fmt: skip
PHRASES = (
    ("tell me a story", "heard: tell me a story\n"), ("tell me a story please", "heard: tell me a story please\n"),
    ("please", "heard: please\n"), ("another one", "heard: another one\n"),
    ("tell me another story", "heard: tell me another story\n"), ("that one again", "heard: that one again\n"),
    ("tell me that again", "heard: tell me that again\n"), ("longer", "longer stories from now on"), ("shorter", "heard: shorter\n"),
    ("louder", "volume "), ("softer", "volume "), ("what can you tell", "topics: "), ("help", "say or type"),
    ("what happens next", "heard: what happens next\n"), ("stop", "good night"), ("good night", "good night"),
    *((text, f"a story about {topic}\n") for text, topic in (
        (f"tell me a story about {DRAGON}", DRAGON), (f"a story about {RABBIT} please", RABBIT), (f"tell me about {SEA}", SEA),
        (f"a story about {DOG} and {CAT}", f"{DOG} and {CAT}"), (f"tell me a story about {FOX} and {RABBIT}", f"{FOX} and {RABBIT}"),
        (f"a story about {BOY} named tom", f"{BOY} named Tom"), (f"tell me a story about {GIRL} named lily", f"{GIRL} named Lily"),
        (f"i want a story about {MOON}", MOON), (f"can you tell me a story about {RAINBOW}", RAINBOW),
        (f"tell us a story about {SHARING}", SHARING), (f"a short story about {BEAR}", BEAR),
        (f"tell me a longer story about {PRINCESS}", PRINCESS), (f"please tell me a story about {PARTY}", PARTY),
        (f"a story about {DRAGON} and {PRINCESS}", f"{DRAGON} and {PRINCESS}"),
    )),
)  # fmt: skip
ENDINGS = ("stop", "stop it please", "please stop now", "good night")  # end the robot: one a recording, at its end

# Are no wishes: sentences of these parts.
WHO = (
    "my brother", "the postman", "our teacher", "that man", "somebody", "your uncle", "the neighbor", "my grandmother", "her sister",
    "the doctor",
)  # fmt: skip
DOES = (
    "has lost his keys again", "will be late for dinner tonight", "is working in the kitchen",
    "bought some milk and bread this morning", "does not like the weather", "drove to the office yesterday", "said that it would rain",
    "wants to watch the news", "left the window open", "called about the car", "cannot find the remote control",
    "paid twenty dollars for it", "put the dishes into the cupboard", "thinks that it is too expensive", "went upstairs an hour ago",
    "should take a look at this computer", "needs a new pair of shoes", "is on the telephone with the bank",
    "met an old colleague in town", "parks over there on mondays",
)  # fmt: skip
SENTENCES = tuple(f"{who} {does}" for who, does in itertools.product(WHO, DOES))

WAKE_WORDS = ("hello teddy", "good morning robot", "hey zorblax", "okay storyteller", "wake up little bear")

Conditions = dict[str, tuple[float, float]]  # semitones, and the noise in dB below the speech
CONDITIONS: Conditions = {
    "quiet": (0, 99), "noise 20 dB": (0, 20), "noise 10 dB": (0, 10), "4 semitones up": (4, 99), "8 semitones up": (8, 99),
    "6 semitones up and 20 dB": (6, 20),
}  # fmt: skip


@dataclass
class Heard:
    """What came of one utterance: the words, or none, and the lines that the storyteller said of it."""

    words: str
    lines: str


def raised(sound: np.ndarray, semitones: float, folder: Path) -> np.ndarray:
    """A sound with all its frequencies raised, as long as before: a child's voice is higher in pitch and in formants."""
    if not semitones:
        return sound
    raw = ["-t", "raw", "-r", str(RATE), "-c", "1", "-b", "16", "-e", "signed"]
    (folder / "in.raw").write_bytes(sound.astype("<i2").tobytes())
    words = ["sox", "-q", "-D", *raw, str(folder / "in.raw"), *raw, str(folder / "out.raw"), "pitch", str(100 * semitones)]
    subprocess.run(words, check=True, stderr=subprocess.DEVNULL)
    return np.frombuffer((folder / "out.raw").read_bytes(), np.int16)


def with_noise(sound: np.ndarray, level: float) -> np.ndarray:
    """A recording over noise so many dB below its speech, falling by 3 dB an octave as that of a room does."""
    spectrum = np.fft.rfft(np.random.default_rng(7).standard_normal(len(sound)))
    noise = np.fft.irfft(spectrum / np.sqrt(np.arange(len(spectrum)) + 20), len(sound))
    speech = sound[np.abs(sound) > 200].astype(float)
    noise *= np.sqrt(np.mean(speech**2)) / np.sqrt(np.mean(noise**2)) * 10 ** (-level / 20)
    return (sound + noise).clip(-32768, 32767).astype(np.int16)


def recording(texts: Sequence[str], voice: str, condition: tuple[float, float], folder: Path) -> Path:
    """The texts one after the other, with a second of the room between them."""
    parts: list[np.ndarray | float] = [0.8]
    for text in texts:
        parts += [raised(said(text, voice, folder), condition[0], folder), 1.0]
    path = record(folder / "texts.wav", *parts)
    if condition[1] < 99:
        sound = np.frombuffer(path.read_bytes()[44:], np.int16)
        record(path, with_noise(sound, condition[1]))
    return path


def hear(texts: Sequence[str], voice: str, condition: tuple[float, float], folder: Path) -> list[Heard]:
    """What a storyteller hears of the texts; shorter when it went to sleep before the last."""
    words = [on_this_machine(), "--loop", "--mute", "-n", "1", "-s", "5", "--mic-wav", recording(texts, voice, condition, folder)]
    result = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL)
    found = []
    for part in re.split(r"^listening.*\n", result.stderr, flags=re.MULTILINE)[1:]:
        heard = re.search(r"^heard: (.*)$", part, re.MULTILINE)
        found.append(Heard(heard[1] if heard else "", part))
    return found


def paired(phrases: Sequence[tuple[str, str]], heard: Sequence[Heard]) -> list[tuple[str, bool, str]]:
    """Each phrase with what was heard of it, in their order; where a phrase was not heard at all, those behind it are not
    compared with what came before them: of all ways, one with most that are understood."""
    understood = [[bool(found.words) and f"\n{meant}" in f"\n{found.lines}" for found in heard] for _, meant in phrases]
    most = np.zeros((len(phrases) + 1, len(heard) + 1), int)  # of the phrases and the parts from each on
    for i, j in itertools.product(reversed(range(len(phrases))), reversed(range(len(heard)))):
        most[i, j] = max(most[i + 1, j], most[i, j + 1], most[i + 1, j + 1] + understood[i][j])
    found, j = [], 0
    for i, (text, _) in enumerate(phrases):
        while j < len(heard) and most[i, j + 1] == most[i, j] and len(heard) - j > len(phrases) - i:
            j += 1  # something that no phrase was
        here = j < len(heard) and most[i + 1, j + 1] + understood[i][j] == most[i, j]
        found.append((text, here and understood[i][j], heard[j].words if here else ""))
        j += here
    return found


def right_wishes(voice: str, condition: tuple[float, float], folder: Path, every: int = 1) -> Iterator[tuple[str, bool, str]]:
    """Each phrase, whether it was understood, and what was heard."""
    phrases = [(text, meant) for text, meant in PHRASES if text not in ENDINGS][::every]
    heard = hear([text for text, _ in phrases], voice, condition, folder)
    yield from paired(phrases, heard)
    for ending in ENDINGS[: len(ENDINGS) if every == 1 else 1]:
        ends = hear([ending], voice, condition, folder)
        yield ending, bool(ends) and ends[0].lines.endswith("good night\n") and bool(ends[0].words), ends[0].words if ends else ""


def taken_for_wishes(voice: str, folder: Path, sentences: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The sentences that were taken for a wish, and for which. Three at a time: after six the robot sleeps."""
    for first in range(0, len(sentences), 3):
        texts = sentences[first : first + 3]
        for text, found in zip(texts, hear(texts, voice, (0, 99), folder)):
            if found.words:
                yield text, found.words


def woken(path: Path, wake_word: str = WAKE_WORDS[0]) -> int:
    """How often a recording wakes a storyteller. It listens for a wish then, thrice at most, so that what follows at once can't."""
    attention = ("--attention", "wake", "--wake-word", wake_word)
    words = [on_this_machine(), "--loop", *attention, "--mute", "-n", "1", "-s", "5", "--mic-wav", path]
    result = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL)
    return sum("listening: " in part for part in result.stderr.split("asleep: "))


def missed_wakes(voices: Sequence[str], wake_words: Sequence[str], condition: str, folder: Path) -> Iterator[tuple[str, str]]:
    """The voices and wake words that were not heard, each alone."""
    for voice, wake_word in itertools.product(voices, wake_words):
        if not woken(recording([wake_word], voice, CONDITIONS[condition], folder), wake_word):
            yield voice, wake_word


def false_wakes(voices: Sequence[str], folder: Path, minutes: float, first: int) -> tuple[int, float, int]:
    """How often speech without the wake word woke it, the minutes of it, and the number of the story that would come next: stories
    from the `first` on, of a topic and a voice each, and one of SENTENCES behind each."""
    count, samples = 0, 0
    for n in itertools.count(first):
        if samples >= minutes * 60 * RATE:
            return count, samples / 60 / RATE, n
        command = [on_this_machine(), "--wish", TOPICS[n * 37 % len(TOPICS)], "--mute", "-s", str(n + 1)]
        story = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL)
        texts = [*re.findall(r"[^.!?]+[.!?]+", story.stdout.replace('"', "")), SENTENCES[n * 7 % len(SENTENCES)]]
        path = recording([text.strip() for text in texts], voices[n % len(voices)], CONDITIONS["quiet"], folder)
        samples += (path.stat().st_size - 44) // 2
        woke = woken(path)
        count += woke
        if woke:
            print(f"    woken {woke} times by story {n}, about {TOPICS[n * 37 % len(TOPICS)]}", file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description="Counts how many wishes are understood.")
    parser.add_argument("--voices", default=",".join(VOICES))
    parser.add_argument("--conditions", default=",".join(CONDITIONS))
    parser.add_argument("--every", type=int, default=1, help="only each N-th phrase and sentence")
    parser.add_argument("--missed", action="store_true", help="count wake words that are missed, and nothing else")
    parser.add_argument("--wake", type=float, metavar="MINUTES", help="of speech that shall not wake it; count nothing else")
    parser.add_argument("--first", type=int, default=0, metavar="STORY", help="of --wake")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        voices = args.voices.split(",")
        if args.missed:
            for condition in args.conditions.split(","):
                missed = list(missed_wakes(voices, WAKE_WORDS, condition, folder))
                print(f"{condition:30} {len(missed)} of {len(voices) * len(WAKE_WORDS)} missed: {missed}", flush=True)
            return
        if args.wake:
            print("woken %d times by %.1f minutes of speech; next is story %d" % false_wakes(voices, folder, args.wake, args.first))
            return
        for condition in filter(None, args.conditions.split(",")):
            results = [
                (voice, *result)
                for voice in voices
                for result in right_wishes(voice, CONDITIONS[condition], folder, args.every)
            ]
            right = sum(understood for _, _, understood, _ in results)
            print(f"{condition:30} {right} of {len(results)}, {100 * right / len(results):.1f} %", flush=True)
            for voice, text, understood, heard in results:
                if not understood:
                    print(f"    {voice:6} {text!r}: {heard!r}", file=sys.stderr)
        sentences = SENTENCES[:: args.every]
        taken = [
            wrong for n, voice in enumerate(voices) for wrong in taken_for_wishes(voice, folder, sentences[n :: len(voices)])
        ]
        print(f"{'no wish, taken for one':30} {len(taken)} of {len(sentences)}, {100 * len(taken) / len(sentences):.1f} %")
        for text, heard in taken:
            print(f"    {text!r}: {heard!r}", file=sys.stderr)


if __name__ == "__main__":
    main()
