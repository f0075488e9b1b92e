#include "speech/robot.hpp"

#include <fcntl.h>
#include <malloc.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "files.hpp"
#include "model.hpp"
#include "program.hpp"
#include "speech/endpoint.hpp"
#include "speech/messages.hpp"
#include "speech/wav.hpp"

namespace storybake::speech {
namespace {

using namespace std::chrono_literals;

constexpr double kSilence = 8.0;                        // seconds, until the robot asks again
constexpr std::size_t kBeforeSpeech = kSampleRate / 2;  // samples that are kept of what came before it
constexpr int kAsk = 3;                                 // times, until it tells a story of its own choice
constexpr int kUnasked = 2;                             // stories in a row to nobody, until it sleeps
constexpr double kLouder = 1.4;                         // 3 dB
constexpr auto kStep = 100ms;
constexpr std::uint64_t kVoiceBytes = 8 << 20;  // the pages of a voice, and two sentences of samples

// What the robot says, in the language of its voice.
constexpr const char* kThinkingWords = "Let me tell you a story.";
constexpr const char* kAskAgainWords = "Sorry, I did not understand. Please tell me again.";
constexpr const char* kNothingHeardWords = "I can not hear you. What shall the story be about?";
constexpr const char* kOwnChoiceWords = "I will choose a story.";
constexpr const char* kVolumeWords = "Like this.";
constexpr const char* kGoodNightWords = "Good night.";

void tell_user(const std::string& message) {
    std::fprintf(stderr, "%s\n", message.c_str());
}

/// MemAvailable of /proc/meminfo; 0 when it is not there.
std::uint64_t available_memory() {
    const Result<std::vector<std::byte>> file = read_file("/proc/meminfo", "memory", 1 << 16);
    if (!file) {
        return 0;
    }
    const std::string text(reinterpret_cast<const char*>(file->data()), file->size());
    const std::size_t at = text.find("MemAvailable:");
    return at == std::string::npos ? 0 : std::strtoull(text.c_str() + at + 13, nullptr, 10) * 1024;
}

/// Nobody else plays or records while this is held: the folder of the sound devices, or without any this very program.
/// No file is made for it. Fails with 69.
Result<Fd> lock_sound() {
    Fd file(::open("/dev/snd", O_RDONLY | O_CLOEXEC));
    if (!file) {
        file = Fd(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
    }
    if (file && ::flock(file.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
        return Failure{kExitUnavailable, say(Message::kDeviceTaken)};
    }
    return file;
}

}  // namespace

MemoryNeed memory_need(const std::string& acoustic_model) {
    return {kModel.weights_bytes + kModel.kv_bytes + kModel.activation_bytes + kVoiceBytes,
            acoustic_model.empty() ? 0 : recogniser_bytes(acoustic_model), available_memory()};
}

Result<std::unique_ptr<Robot>> Robot::open(const SpeechOptions& options) {
    std::unique_ptr<Robot> robot(new Robot(options));
    if (options.listens()) {
        if (auto failed = robot->open_ears()) {
            return *failed;
        }
    }
    Result<std::unique_ptr<Teller>> teller = Teller::open(options);
    if (!teller) {
        return teller.failure();
    }
    robot->teller_ = std::move(*teller);
    if (robot->teller_->plays() || !robot->recorder_.empty()) {
        Result<Fd> lock = lock_sound();
        if (!lock) {
            return lock.failure();
        }
        robot->lock_ = std::move(*lock);
    }
    robot->seed_ = choose_seed(options.model.seed);
    if (options.loop || options.push || !options.button.empty()) {
        robot->console_ = std::make_unique<Console>(
            options.button, [self = robot.get()](const std::string& line) { return self->take_at_once(line); });
    }
    return robot;
}

/// The microphone, or what stands for it, and the recogniser.
std::optional<Failure> Robot::open_ears() {
    const Result<std::string> found = find_acoustic_model(options_.acoustic_model);
    if (!found) {
        return found.failure();
    }
    acoustic_model_ = *found;
    if (!options_.mic_wav.empty()) {
        Result<std::vector<std::int16_t>> samples = read_wav(options_.mic_wav);
        if (!samples) {
            return samples.failure();
        }
        recording_ = Microphone::of(std::move(*samples));
    } else if (!options_.mic_command.empty()) {
        recorder_ = options_.mic_command;
    } else {
        Result<Words> recorder = find_recorder(kSoundDevices);
        if (!recorder) {
            return recorder.failure();
        }
        recorder_ = std::move(*recorder);
    }
    keep_recogniser_ = memory_need(acoustic_model_).both_fit();
    Result<std::unique_ptr<Recogniser>> recogniser = open_recogniser(acoustic_model_);
    if (!recogniser) {
        return recogniser.failure();
    }
    recogniser_ = std::move(*recogniser);
    return std::nullopt;
}

std::optional<Failure> Robot::run() {
    std::optional<Failure> failed;
    if (options_.loop) {
        failed = loop();
    } else {
        std::optional<Wish> wish = Wish{};
        wished_ = Clock::now();
        if (options_.listens()) {
            failed = ask(wish);
        } else if (options_.wish) {
            wish = understand(*options_.wish);
        }
        if (!failed && wish && stop_signal == 0) {
            Story story = story_about(wish->topic);
            if (options_.model.prompt) {
                story = {*options_.model.prompt, Echo::kYes, seed_};
            }
            failed = tell(story, wish->topic);
        }
    }
    if (failed) {
        run_hook(options_.on_error);
    }
    const std::optional<Failure> unfinished = teller_->finish();
    return failed ? failed : unfinished;
}

std::optional<Failure> Robot::loop() {
    std::string topic;
    std::optional<Story> last;
    int unasked = 0;
    while (stop_signal == 0 && !bedtime() && unasked < kUnasked) {
        std::optional<Wish> wish;
        if (auto failed = ask(wish)) {
            return failed;
        }
        if (!wish || stop_signal != 0) {
            break;
        }
        unasked = wish->topic.empty() && !wish->command ? unasked + 1 : 0;
        if (wish->command == Command::kStop) {
            break;
        }
        if (wish->command == Command::kLouder || wish->command == Command::kSofter) {
            change_volume(*wish->command);
            if (auto failed = say(kVolumeWords)) {
                return failed;
            }
            continue;
        }
        if (!wish->command) {
            topic = wish->topic;
        }
        if (!last || wish->command != Command::kAgain) {
            last = story_about(topic);
        }
        if (auto failed = tell(*last, topic)) {
            return failed;
        }
    }
    if (stop_signal != 0) {
        return std::nullopt;
    }
    tell_user(speech::say(Message::kAsleep));
    return say(kGoodNightWords);
}

/// Asks for a wish until there is one. Afterwards `wish` is that, a wish for nothing in particular when none was
/// understood, or nothing when there is nobody to ask any more.
std::optional<Failure> Robot::ask(std::optional<Wish>& wish) {
    for (int i = 0; i < kAsk && stop_signal == 0 && !bedtime(); ++i) {
        run_hook(options_.on_listen);
        const Result<Ear> ear = listen(wish);
        if (!ear) {
            return ear.failure();
        }
        if (*ear == Ear::kWish || *ear == Ear::kEnded || stop_signal != 0 || bedtime()) {
            return std::nullopt;
        }
        run_hook(options_.on_error);
        const bool nothing = *ear == Ear::kNothing;
        tell_user(nothing ? speech::say(Message::kNothingHeard, {std::to_string(static_cast<int>(kSilence))})
                          : speech::say(Message::kNotUnderstood));
        if (i + 1 < kAsk) {
            if (auto failed = say(nothing ? kNothingHeardWords : kAskAgainWords)) {
                return failed;
            }
        }
    }
    if (stop_signal == 0 && !bedtime()) {
        tell_user(speech::say(Message::kStoryOfOwnChoice));
        wish = Wish{};
        return say(kOwnChoiceWords);
    }
    return std::nullopt;
}

/// One wish, said or typed.
Result<Robot::Ear> Robot::listen(std::optional<Wish>& wish) {
    if (!options_.listens()) {
        tell_user(speech::say(Message::kTypeWish));
        return read_line(wish, false);
    }
    if (options_.push || !options_.button.empty()) {
        tell_user(speech::say(Message::kPushToTalk));
        Result<Ear> pressed = read_line(wish, true);
        if (!pressed || *pressed == Ear::kEnded || wish) {
            return pressed;
        }
    }
    if (recording_ && recording_->exhausted()) {
        return Ear::kEnded;
    }
    tell_user(speech::say(Message::kListening, {std::string(kWishes.requests.back()) + " "}));
    return hear_speech(wish);
}

/// What is typed: a wish, or with `press_is_enough` an empty line, which is no wish.
Result<Robot::Ear> Robot::read_line(std::optional<Wish>& wish, bool press_is_enough) {
    while (stop_signal == 0 && !bedtime()) {
        const std::optional<std::string> line = console_->next(kStep);
        if (!line) {
            if (console_->ended()) {
                return Ear::kEnded;
            }
            continue;
        }
        wished_ = Clock::now();
        wish = understand(*line);
        if (wish || press_is_enough) {
            return Ear::kWish;
        }
        return Ear::kNotUnderstood;
    }
    return Ear::kEnded;
}

Result<Robot::Ear> Robot::hear_speech(std::optional<Wish>& wish) {
    if (!recogniser_) {
        Result<std::unique_ptr<Recogniser>> opened = open_recogniser(acoustic_model_);
        if (!opened) {
            return opened.failure();
        }
        recogniser_ = std::move(*opened);
    }
    std::optional<Microphone> started;
    if (!recording_) {
        Result<Microphone> microphone = Microphone::start(recorder_);
        if (!microphone) {
            return microphone.failure();
        }
        started.emplace(std::move(*microphone));
    }
    Microphone& microphone = recording_ ? *recording_ : *started;
    Endpoint endpoint;
    std::vector<std::int16_t> before;
    const Clock::time_point since = Clock::now();
    bool ended = false;
    while (endpoint.state() != Endpoint::State::kEnded && stop_signal == 0 && !bedtime()) {
        const Result<std::vector<std::int16_t>> samples = microphone.read();
        if (!samples) {
            return samples.failure();
        }
        if (console_) {
            if (const std::optional<std::string> line = console_->next(0ms)) {
                wish = understand(*line);  // typed in the meantime
                wished_ = Clock::now();
                if (wish) {
                    return Ear::kWish;
                }
            }
        }
        const bool spoke = endpoint.state() == Endpoint::State::kSpeech;
        endpoint.hear(*samples);
        if (endpoint.state() != Endpoint::State::kSilence && !spoke) {
            recogniser_->begin();
            recogniser_->hear(before);
        }
        if (endpoint.state() != Endpoint::State::kSilence) {
            recogniser_->hear(*samples);
            continue;
        }
        before.insert(before.end(), samples->begin(), samples->end());
        before.erase(before.begin(),
                     before.end() - static_cast<std::ptrdiff_t>(std::min(before.size(), kBeforeSpeech)));
        // By the samples, and by the clock for a microphone that gives none.
        if (endpoint.quiet_seconds() >= kSilence ||
            (!recording_ && Clock::now() - since > std::chrono::duration<double>(kSilence))) {
            ended = true;
            break;
        }
    }
    started.reset();  // half duplex: nothing is recorded while the robot speaks
    if (ended || endpoint.state() == Endpoint::State::kSilence) {
        return Ear::kNothing;
    }
    wished_ = Clock::now();
    if (!recording_) {
        wished_ -= std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(endpoint.quiet_seconds()));
    }
    const std::string words = recogniser_->end();
    if (!keep_recogniser_) {
        recogniser_.reset();
#ifdef __GLIBC__
        ::malloc_trim(0);
#endif
    }
    if (words.empty()) {
        return Ear::kNotUnderstood;
    }
    tell_user(speech::say(Message::kHeard, {words}));
    wish = understand(words);
    return wish ? Ear::kWish : Ear::kNotUnderstood;
}

std::optional<Failure> Robot::tell(const Story& story, const std::string& topic) {
    run_hook(options_.on_think);
    std::vector<std::string> announcements;
    if (options_.say_wish && !topic.empty()) {
        announcements.push_back("A story about " + topic + ".");
    } else if (options_.loop) {
        announcements.emplace_back(kThinkingWords);
    }
    if (!topic.empty()) {
        tell_user(speech::say(Message::kStoryAbout, {topic}));
    }
    run_hook(options_.on_speak);
    telling_ = true;
    std::optional<Failure> failed = teller_->tell(story, announcements, wished_);
    telling_ = false;
    return failed;
}

std::optional<Failure> Robot::say(const std::string& text) {
    run_hook(options_.on_speak);
    return teller_->say(text);
}

/// A new story; without a topic one of the model's choice.
Story Robot::story_about(const std::string& topic) {
    const std::uint64_t seed = seed_++;
    if (topic.empty()) {
        return {"", Echo::kYes, seed};
    }
    return {kWishes.prompt_before + topic + kWishes.prompt_after, kWishes.prompt_is_told ? Echo::kYes : Echo::kNo,
            seed};
}

/// While a story is told, called from the console's thread: commands that can't wait.
bool Robot::take_at_once(const std::string& line) {
    if (!telling_) {
        return false;
    }
    const std::optional<Wish> wish = understand(line);
    if (wish && (wish->command == Command::kLouder || wish->command == Command::kSofter)) {
        change_volume(*wish->command);
        return true;
    }
    teller_->controls().cut = true;
    return !wish || wish->command == Command::kStop;  // next, again and another wish follow
}

void Robot::change_volume(Command command) {
    std::atomic<int>& volume = teller_->controls().volume;
    const double wanted = command == Command::kLouder ? volume * kLouder : volume / kLouder;
    volume = std::clamp(static_cast<int>(wanted), kMinVolume, kMaxVolume);
    tell_user(speech::say(Message::kVolume, {std::to_string(volume)}));
}

/// Starts a hook; those that have ended are reaped. One that can't be started is told once a time, and no more.
void Robot::run_hook(const Words& words) {
    std::erase_if(hooks_, [](Process& hook) { return hook.wait(0ms).has_value(); });
    if (words.empty()) {
        return;
    }
    Result<Process> hook = Process::start("hook", words, Pipes::kNone);
    if (hook) {
        hooks_.push_back(std::move(*hook));
    } else {
        warn(hook.failure().message);
    }
}

bool Robot::bedtime() const {
    return options_.sleep_minutes > 0 && Clock::now() - started_ >= std::chrono::minutes(options_.sleep_minutes);
}

}  // namespace storybake::speech
