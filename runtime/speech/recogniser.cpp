#include "speech/recogniser.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <map>
#include <set>

#include "files.hpp"
#include "speech/messages.hpp"
#include "speech/voice.hpp"
#include "speech/wishes.hpp"

#ifdef STORYBAKE_POCKETSPHINX
#include <pocketsphinx.h>
#include <ps_search.h>
#include <sphinxbase/err.h>
#endif

namespace storybake::speech {
namespace {

constexpr const char* kDebianModel = "/usr/share/pocketsphinx/model/en-us";
constexpr const char* kAcoustics = "/en-us";
constexpr const char* kDictionary = "/cmudict-en-us.dict";
constexpr std::array<const char*, 6> kAcousticFiles = {
    "mdef", "means", "noisedict", "sendump", "transition_matrices", "variances"};
// What decoding takes beside the acoustic model: measured with 300 topics, 5 s of speech.
constexpr std::uint64_t kWorkingBytes = 12 << 20;

/// The folder of the program itself; empty when the system doesn't say.
std::string program_folder() {
    std::array<char, 4096> target{};
    const ssize_t length = ::readlink("/proc/self/exe", target.data(), target.size());
    const std::string path(target.data(), length > 0 ? static_cast<std::size_t>(length) : 0);
    return path.substr(0, path.rfind('/'));
}

}  // namespace

Result<std::string> find_acoustic_model(const std::string& named) {
    const std::array<std::string, 2> folders = {named.empty() ? program_folder() + "/en-us" : named,
                                                named.empty() ? kDebianModel : named};
    for (const std::string& folder : folders) {
        if (::access((folder + kAcoustics + "/mdef").c_str(), R_OK) == 0 &&
            ::access((folder + kDictionary).c_str(), R_OK) == 0) {
            return folder;
        }
    }
    return Failure{kExitUnavailable, say(Message::kNoAcousticModel, {folders[1]})};
}

std::uint64_t recogniser_bytes(const std::string& acoustic_model) {
    std::uint64_t bytes = kWorkingBytes;
    for (const char* file : kAcousticFiles) {
        struct stat status {};
        if (::stat((acoustic_model + kAcoustics + "/" + file).c_str(), &status) == 0) {
            bytes += static_cast<std::uint64_t>(status.st_size);
        }
    }
    return bytes;
}

#ifdef STORYBAKE_POCKETSPHINX

namespace {

constexpr std::size_t kMaxLine = 4096;

// How far below the best a wish may be, a frame: in PocketSphinx's units. In five voices, a telephone's among them, 49
// of 50 wishes are above these, and 44 of 50 other sentences below; most others are below -50.
constexpr int kLeastOfAll = -47;
constexpr int kLeastOfWord = -80;
constexpr int kLongWord = 15;  // frames

/// The words of the grammar that are of letters.
std::set<std::string> grammar_words() {
    std::set<std::string> words = {"please"};
    const auto add = [&words](std::string_view text) {
        while (!text.empty()) {
            const std::size_t end = text.find(' ');
            words.emplace(text.substr(0, end));
            text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
        }
    };
    for (const char* topic : kWishes.topics) {
        add(topic);
    }
    for (const char* request : kWishes.requests) {
        add(request);
    }
    for (const CommandWords& command : kWishes.commands) {
        add(command.words);
    }
    return words;
}

/// The lines of a dictionary that are about `words`: by word, which may have a number behind it ("read(2)"), its
/// phones. Read in pieces: the whole has 135,000 lines, and a small board little memory.
Result<std::map<std::string, std::string>> read_dictionary(const std::string& path,
                                                           const std::set<std::string>& words) {
    Result<InputFile> file = InputFile::open(path, "dictionary");
    if (!file) {
        return file.failure();
    }
    std::map<std::string, std::string> found;
    std::string text;
    std::vector<std::byte> block(std::size_t{1} << 16);
    for (bool ended = false; !ended;) {
        const Result<std::size_t> size = file->read(block);
        if (!size) {
            return size.failure();
        }
        ended = *size < block.size();
        text.append(reinterpret_cast<const char*>(block.data()), *size);
        std::size_t begin = 0;
        for (std::size_t end = 0; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) {
            const std::string_view line = std::string_view(text).substr(begin, end - begin);
            const std::size_t space = line.find_first_of(" \t");
            if (space != std::string_view::npos &&
                words.contains(std::string(line.substr(0, line.find_first_of(" \t("))))) {
                const std::size_t phones = line.find_first_not_of(" \t", space);
                found.emplace(line.substr(0, space), phones == std::string_view::npos ? "" : line.substr(phones));
            }
        }
        text.erase(0, begin);
        if (text.size() > kMaxLine) {
            return failure(kExitBadData, "dictionary %s: a line of more than %zu bytes: is it the right file?",
                           path.c_str(), kMaxLine);
        }
    }
    return found;
}

class PocketSphinx final : public Recogniser {
public:
    PocketSphinx(ps_decoder_t* decoder, cmd_ln_t* config) : decoder_(decoder), config_(config) {}
    ~PocketSphinx() override {
        ps_free(decoder_);
        cmd_ln_free_r(config_);
    }

    void begin() override { ps_start_utt(decoder_); }

    void hear(std::span<const std::int16_t> samples) override {
        ps_process_raw(decoder_, samples.data(), samples.size(), FALSE, FALSE);
    }

    std::string end() override {
        ps_end_utt(decoder_);
        int32 score = 0;
        const char* const words = ps_get_hyp(decoder_, &score);
        return words != nullptr && is_likely() ? words : "";
    }

private:
    /// A grammar makes words of any sound. Those that were said are near to the best that the acoustic model could make
    /// of each hundredth of a second, whatever the grammar says; others are far below.
    [[nodiscard]] bool is_likely() const {
        int frames = 0;
        std::int64_t total = 0;
        bool all = true;
        for (ps_seg_t* word = ps_seg_iter(decoder_); word != nullptr; word = ps_seg_next(word)) {
            int first = 0;
            int last = 0;
            int32 acoustic = 0;
            int32 language = 0;
            int32 backoff = 0;
            ps_seg_frames(word, &first, &last);
            ps_seg_prob(word, &acoustic, &language, &backoff);
            const char* const name = ps_seg_word(word);
            if (*name == '<' || *name == '(' || *name == '[') {
                continue;  // silence and noise
            }
            const int length = last - first + 1;
            frames += length;
            total += acoustic;
            all = all && (length < kLongWord || acoustic > length * kLeastOfWord);
        }
        return frames > 0 && all && total > std::int64_t{frames} * kLeastOfAll;
    }

    ps_decoder_t* decoder_;
    cmd_ln_t* config_;
};

/// Adds the words to the decoder's dictionary, which is empty before. False for phones that its model has not.
bool add_words(ps_decoder_t* decoder, const std::map<std::string, std::string>& pronunciations) {
    bool all = true;
    for (const auto& [word, phones] : pronunciations) {
        all = ps_add_word(decoder, word.c_str(), phones.c_str(), FALSE) >= 0 && all;
    }
    return all;
}

}  // namespace

Result<std::unique_ptr<Recogniser>> open_recogniser(const std::string& acoustic_model) {
    const std::set<std::string> words = grammar_words();
    Result<std::map<std::string, std::string>> pronunciations = read_dictionary(acoustic_model + kDictionary, words);
    if (!pronunciations) {
        return pronunciations.failure();
    }
    for (const std::string& word : words) {
        if (!pronunciations->contains(word)) {
            pronunciations->emplace(word, pronounce(word));
        }
    }
    err_set_logfp(nullptr);  // its log is hundreds of lines
    const std::string acoustics = acoustic_model + kAcoustics;
    cmd_ln_t* const config = cmd_ln_init(nullptr, ps_args(), TRUE, "-hmm", acoustics.c_str(), "-bestpath", "no", "-lw",
                                         "1", "-beam", "1e-80", "-pbeam", "1e-80", "-wbeam", "1e-60", nullptr);
    ps_decoder_t* const decoder = config != nullptr ? ps_init(config) : nullptr;
    if (decoder == nullptr) {
        cmd_ln_free_r(config);
        return failure(kExitBadData, "acoustic model %s: PocketSphinx can't read it: is it complete?",
                       acoustics.c_str());
    }
    std::unique_ptr<Recogniser> recogniser = std::make_unique<PocketSphinx>(decoder, config);
    if (!add_words(decoder, *pronunciations) || ps_set_jsgf_string(decoder, "wishes", kWishes.grammar) != 0 ||
        ps_set_search(decoder, "wishes") != 0) {
        return failure(kExitBadData,
                       "acoustic model %s: its phones are not the CMU dictionary's: take pocketsphinx-en-us",
                       acoustics.c_str());
    }
    return recogniser;
}

#else

Result<std::unique_ptr<Recogniser>> open_recogniser(const std::string& /*acoustic_model*/) {
    return Failure{kExitUnavailable, say(Message::kNoRecogniser)};
}

#endif

}  // namespace storybake::speech
