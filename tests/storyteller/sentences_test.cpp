#include "storyteller/sentences.hpp"

#include <gtest/gtest.h>

#include <optional>
#include <vector>

#include "storyteller/sequel.hpp"
#include "storyteller/wishes.hpp"

namespace storybake::speech {
namespace {

std::vector<std::string> split(std::string text, bool complete = true) {
    std::vector<std::string> sentences;
    while (const std::size_t length = first_sentence(text, complete)) {
        std::string sentence = text.substr(0, length);
        sentence.erase(0, sentence.find_first_not_of(" \n"));
        sentences.push_back(sentence);
        text.erase(0, length);
    }
    return sentences;
}

using Sentences = std::vector<std::string>;

TEST(Sentences, EndAtTheirMarks) {
    EXPECT_EQ(split("One. Two! Three? Four... Five"), (Sentences{"One.", "Two!", "Three?", "Four...", "Five"}));
    EXPECT_EQ(split("Wait\xe2\x80\xa6 Go."), (Sentences{"Wait\xe2\x80\xa6", "Go."}));
    EXPECT_EQ(split("What?! No."), (Sentences{"What?!", "No."}));
}

TEST(Sentences, DoNotEndAtTitlesInitialsAndDecimals) {
    EXPECT_EQ(split("Mr. Fox met Dr. Owl. They ran."), (Sentences{"Mr. Fox met Dr. Owl.", "They ran."}));
    EXPECT_EQ(split("J. R. Bear ate 3.5 pies."), (Sentences{"J. R. Bear ate 3.5 pies."}));
    EXPECT_EQ(split("It was I. We went."), (Sentences{"It was I.", "We went."}));
}

TEST(Sentences, KeepTheirQuotes) {
    EXPECT_EQ(split("\"Stop!\" said Tom. \"Why?\" Mia ran."),
              (Sentences{"\"Stop!\" said Tom.", "\"Why?\"", "Mia ran."}));
    EXPECT_EQ(split("(He ran.) She sat."), (Sentences{"(He ran.)", "She sat."}));
}

TEST(Sentences, EndWithAParagraph) {
    EXPECT_EQ(split("The Dragon\n\nOnce upon a time\nhe ran."), (Sentences{"The Dragon", "Once upon a time\nhe ran."}));
}

TEST(Sentences, WaitForWhatMayFollow) {
    EXPECT_EQ(first_sentence("He ran.", false), 0U);
    EXPECT_EQ(first_sentence("He ran. ", false), 0U);
    EXPECT_EQ(first_sentence("He ran. S", false), 7U);
    EXPECT_EQ(first_sentence("He ran.\n\n", false), 7U);
    EXPECT_EQ(first_sentence("He ran", true), 6U);
    EXPECT_EQ(first_sentence(" \n ", true), 0U);
    EXPECT_EQ(first_sentence("", true), 0U);
}

TEST(Sentences, AreCutWhenTheyAreTooLong) {
    std::string words;
    for (int i = 0; i < 1000; ++i) {
        words += i % 20 == 19 ? "word, " : "word ";
    }
    std::string joined;
    for (const std::string& part : split(words)) {
        EXPECT_LE(part.size(), kMaxSentence);
        EXPECT_FALSE(part.starts_with("ord"));
        joined += part + " ";
    }
    EXPECT_EQ(joined.size(), words.size() + 1);
    std::string stars;
    for (int i = 0; i < 400; ++i) {
        stars += "\xe2\x98\x85";
    }
    for (const std::string& part : split(stars)) {
        EXPECT_EQ(part.size() % 3, 0U);  // whole characters
        EXPECT_LE(part.size(), kMaxSentence);
    }
}

TEST(Sentences, TellWhetherATextIsAtAnEnd) {
    EXPECT_TRUE(ends_sentence("He ran. "));
    EXPECT_TRUE(ends_sentence("\"He ran!\"\n"));
    EXPECT_FALSE(ends_sentence("Then Mr."));
    EXPECT_FALSE(ends_sentence("He ran"));
    EXPECT_FALSE(ends_sentence(""));
}

TEST(Speakable, LeavesWhatAVoiceCanSay) {
    EXPECT_EQ(speakable(" \xe2\x80\x9cZo\xc3\xab\xe2\x80\x99s caf\xc3\xa9\xe2\x80\x9d! "), "Zoe's cafe !");
    EXPECT_EQ(speakable("-rf <break time=\"1s\"/> $(id); `ls`"), "-rf  break time \"1s\"/  $(id);  ls");
    EXPECT_EQ(speakable("!!! ... \xf0\x9f\x90\x89"), "");
    EXPECT_EQ(speakable(""), "");
}

TEST(WordsLacking, AreThoseOfTheWishInAnyForm) {
    const std::string told =
        "This is a story about kites. Once a puppy named Tom shared a red kite in the woods. Tom ran.";
    EXPECT_EQ(words_lacking("a puppy named Tom who has kites", told), 0U);
    EXPECT_EQ(words_lacking("sharing", told), 0U);
    EXPECT_EQ(words_lacking("puppies and the wood", told), 0U);
    EXPECT_EQ(words_lacking("a dragon with a kite", told), 1U);
    EXPECT_EQ(words_lacking("a puppy named Tom", "It rained. A puppy named Tom shared a kite."), 1U) << "and forgotten";
    EXPECT_EQ(words_lacking("a kit", "A kitten slept. The kitten woke."), 1U);
    EXPECT_EQ(words_lacking("a glass", "It rained. Glasses broke."), 0U);
    EXPECT_EQ(words_lacking("a bus", "It rained. The bees hummed."), 1U);
    EXPECT_EQ(words_lacking("a kite", "This is a story about a kite. A dog ran."), 1U) << "the wish repeated";
    EXPECT_EQ(words_lacking("a kite", ""), 1U);
    EXPECT_EQ(words_lacking("a", "A dog ran."), 0U);
    EXPECT_EQ(words_lacking("", "A dog ran."), 0U);
}

TEST(NamesLacking, AreThoseOfABeginningAlone) {
    EXPECT_EQ(names_lacking("The dog Quentin met Ada, Bo and Quentin.", "Ada ran. Quentin's Bo ran."), 0U);
    EXPECT_EQ(names_lacking("The dog Quentin met Ada, Bo and Quentin.", "Quitin ran with Ada."), 2U);
    EXPECT_EQ(names_lacking("Zorblax played. It's a box. The dog played.", "It ran."), 1U)
        << "words that begin sentences are none";
    EXPECT_EQ(names_lacking("A dog said I am", "a box"), 0U);
    EXPECT_EQ(names_lacking("", ""), 0U);
}

TEST(WordsGarbled, AreNeitherLearnedNorGiven) {
    EXPECT_EQ(
        words_garbled("", "The dog played. \"It's a well-known box,\" the dog played - 7 boxes, 'dogs' the dog's."),
        0U);
    EXPECT_EQ(words_garbled("a dog named Quentin", "A dog named Quentin played. Quentin's dog played."), 0U);
    EXPECT_EQ(words_garbled("a dog named Quentin", "A dog named Quitin played. Quitin the dog played a bix."), 2U);
    EXPECT_EQ(words_garbled("", ""), 0U);
    EXPECT_EQ(words_garbled("", "--- ' -'"), 0U);
}

TEST(Sequel, HasTheSamePersons) {
    const std::string told =
        "There was once a cat named Molly. Molly met Theo. \"Hello, Molly,\" said Theo. \"Hi, Theo. I am Molly,\" said "
        "Molly.\n"
        "Then Theo and Molly saw Ben. All of them played with Theo. The end.";
    const std::optional<Sequel> sequel = sequel_of(told, 1, 2);
    ASSERT_TRUE(sequel);
    EXPECT_EQ(sequel->before, "Then Theo and Molly saw Ben. All of them played with Theo.") << "how it ended";
    EXPECT_EQ(sequel->opening, "The next day, Molly and Theo");
    EXPECT_NE(sequel_of(told, 2, 2)->opening, sequel->opening);
    EXPECT_EQ(sequel_of(told, 1, 1)->before, "All of them played with Theo.");
    EXPECT_EQ(sequel_of("A cat named Molly sat.\nThe end.", 1, 2)->before, "A cat named Molly sat.");
}

TEST(Sequel, OfSomebodyWithoutANameSaysWhoItWas) {
    const std::optional<Sequel> sequel = sequel_of("\n A cat sat. It ran. It slept.", 1, 1);
    ASSERT_TRUE(sequel);
    EXPECT_EQ(sequel->before, "A cat sat. It slept.");
    EXPECT_EQ(sequel->opening, "The next day,");
    EXPECT_EQ(sequel_of("A cat sat. It ran.", 1, 2)->before, "A cat sat. It ran.");
    EXPECT_EQ(sequel_of("A cat sat. It ran.", 1, 9)->before, "A cat sat. It ran.");
    EXPECT_FALSE(sequel_of("", 1, 2));
    EXPECT_FALSE(sequel_of(" \n", 1, 2));
    EXPECT_FALSE(sequel_of("The end.", 1, 2));
}

}  // namespace
}  // namespace storybake::speech
