#include "storyteller/messages.hpp"

#include <array>
#include <cstdio>
#include <cstdlib>

#include "text_output.hpp"

namespace storybake::speech {
namespace {

struct Texts {
    Message message;
    const char* english;
    const char* chinese;
};

constexpr std::array<Texts, static_cast<std::size_t>(Message::kCount)> kTexts = {{
    {Message::kListening, "listening: say \"{}a dragon\"", "请讲（英语）：\"{}a dragon\""},
    {Message::kPushToTalk, "press Enter, then speak", "按回车键后讲话"},
    {Message::kWaiting, "asleep: say \"{}\"", "休眠中：请说（英语）\"{}\""},
    {Message::kTypeWish, "type a wish (a dragon), or: again, next, louder, softer, stop, help",
     "输入愿望（例如 a "
     "dragon），或命令：again（再讲一遍）、next（换一个）、louder（大声）、softer（小声）、stop（停止）、help（帮助）"},
    {Message::kHeard, "heard: {}", "听到：{}"},
    {Message::kStoryAbout, "a story about {}", "故事主题：{}"},
    {Message::kStoryOfOwnChoice, "a story of my own choice", "讲一个自选的故事"},
    {Message::kNotUnderstood, "not understood", "没有听懂"},
    {Message::kNothingHeard, "nothing heard for {} s", "{} 秒内没有听到声音"},
    {Message::kTooLong, "too long for this model ({} bytes): say it in fewer words",
     "对此模型太长（{} 字节）：请说短一些"},
    {Message::kTopics, "topics: {}", "可讲的主题：{}"},
    {Message::kHelp,
     "say or type: tell me a story; a story about a dragon; a dog and a cat; a boy named Tom; another one; that one "
     "again; "
     "what happens next; longer, shorter; louder, softer; what can you tell; stop; good night",
     "可以说或输入（英语）：tell me a story（讲个故事）；a story about a dragon（龙的故事）；a dog and a "
     "cat（狗和猫）；a boy named "
     "Tom（名叫 Tom 的男孩）；another one（换一个）；that one again（再讲一遍）；what happens "
     "next（后来呢）；longer、shorter（长些、短"
     "些）；louder、softer（大声、小声）；what can you tell（会讲什么）；stop（停止）；good night（晚安）"},
    {Message::kLongStories, "longer stories from now on", "以后讲长一些的故事"},
    {Message::kShortStories, "shorter stories from now on", "以后讲短一些的故事"},
    {Message::kUsualStories, "stories of the usual length from now on", "以后讲一般长度的故事"},
    {Message::kLine, "line {}", "第 {} 行"},
    {Message::kNoClock, "this machine has no clock: its day begins now, at the end of the quiet hours",
     "本机没有时钟：从现在起算作安静时段结束"},
    {Message::kQuietHours, "quiet hours: no stories now", "安静时段：现在不讲故事"},
    {Message::kStoriesTold, "{} stories today: no more", "今天已讲 {} 个故事：不再讲了"},
    {Message::kNotAllowed, "the rules have no topic \"{}\"", "规则中没有主题“{}”"},
    {Message::kForbidden, "I don't know stories about that. Here is another one.",
     "这样的故事我不会讲。换一个讲给你听。"},
    {Message::kLeftOut, "left out a sentence with \"{}\"", "略去了含有“{}”的一句话"},
    {Message::kMemoryUnread, "{}: begun anew", "{}：重新开始"},
    {Message::kMemoryUnwritten, "{}: it goes on without a memory", "{}：继续运行，但不再记忆"},
    {Message::kVolume, "volume {} %", "音量 {} %"},
    {Message::kAsleep, "good night", "晚安"},
    {Message::kFirstSound, "first sound {} s after the wish", "愿望之后 {} 秒发出第一声"},
    {Message::kNoSpeaker,
     "no speaker: neither aplay nor tinyplay in PATH: apt-get install alsa-utils, name a player with --snd-command, or "
     "write a file with --wav",
     "没有扬声器：PATH 中没有 aplay 或 tinyplay：请安装 alsa-utils，用 --snd-command 指定播放命令，或用 --wav "
     "写入文件"},
    {Message::kSpeakerEnded, "no speaker: \"{}\" ended without playing, {} times: see what it said above",
     "没有扬声器：“{}”未播放就退出了 {} 次：请看上面它的输出"},
    {Message::kSpeakerNotStarted, "no speaker: {}", "没有扬声器：{}"},
    {Message::kPlayerDied, "the player \"{}\" died and did not come back: the story goes on as text",
     "播放命令“{}”中途退出且无法恢复：故事以文字继续"},
    {Message::kPlayerEnded, "the player \"{}\" ended with {}, expected 0: see what it said above",
     "播放命令“{}”以 {} 退出，应为 0：请看上面它的输出"},
    {Message::kNoMicrophone,
     "no microphone: neither arecord nor tinycap in PATH: apt-get install alsa-utils, name a recorder with "
     "--mic-command, or give a recording with --mic-wav",
     "没有麦克风：PATH 中没有 arecord 或 tinycap：请安装 alsa-utils，用 --mic-command 指定录音命令，或用 --mic-wav "
     "给出录音"},
    {Message::kMicrophoneEnded, "no microphone: \"{}\" ended ({}): see what it said above",
     "没有麦克风：“{}”退出了（{}）：请看上面它的输出"},
    {Message::kNoRecogniser,
     "this storyteller can't listen: it was built without PocketSphinx: install libpocketsphinx-dev and build again, "
     "or "
     "use --wish",
     "此程序不能听：编译时没有 PocketSphinx：请安装 libpocketsphinx-dev 后重新编译，或使用 --wish"},
    {Message::kNoAcousticModel,
     "no acoustic model in {}: apt-get install pocketsphinx-en-us, or name one with --acoustic-model",
     "{} 中没有声学模型：请安装 pocketsphinx-en-us，或用 --acoustic-model 指定"},
    {Message::kBadAcousticModel, "acoustic model {}: PocketSphinx can't read it: is it complete?",
     "声学模型 {}：PocketSphinx 无法读取：文件是否完整？"},
    {Message::kOtherPhones, "acoustic model {}: its phones are not the CMU dictionary's: take pocketsphinx-en-us",
     "声学模型 {}：其音素与 CMU 词典不同：请使用 pocketsphinx-en-us"},
    {Message::kDeviceTaken, "another storyteller uses the sound device: end it first",
     "另一个 storyteller 正在使用声音设备：请先结束它"},
    {Message::kPlayerHangs, "the player \"{}\" took no sample for {} s and was ended",
     "播放命令“{}”{} 秒内没有读取任何采样，已被终止"},
    {Message::kRestUnheard, "the end was not heard: the player \"{}\" died: see what it said above",
     "结尾没有播放：播放命令“{}”中途退出：请看上面它的输出"},
    {Message::kNotStarted, "{}: \"{}\" can't be started: {}", "{}：无法启动“{}”：{}"},
    {Message::kNoPipe, "{}: no pipe for it: {}", "{}：无法创建管道：{}"},
    {Message::kHookFailed, "{}: \"{}\" ended with {}, expected 0", "{}：“{}”以 {} 退出，应为 0"},
    {Message::kNoEspeak, "--voice {}: no {} in PATH: apt-get install espeak-ng, or take another voice",
     "--voice {}：PATH 中没有 {}：请安装 espeak-ng，或选用其他声音"},
    {Message::kEspeakHangs, "--voice espeak: {} gave no sound for {} s and was ended",
     "--voice espeak：{} {} 秒内没有发声，已被终止"},
    {Message::kEspeakEnded, "--voice espeak: {} ended with {}, expected 0: see what it said above",
     "--voice espeak：{} 以 {} 退出，应为 0：请看上面它的输出"},
    {Message::kEspeakGave, "--voice espeak: what {} gave is wrong: {}", "--voice espeak：{} 的输出有误：{}"},
    {Message::kPitchKept, "--pitch: the voice {} has one pitch alone: take slt, awb or kal16",
     "--pitch：声音 {} 的音高不能改变：请选用 slt、awb 或 kal16"},
    {Message::kUnspeakable, "the voice can't say \"{}\": it is shown only", "声音无法读出“{}”：仅显示文字"},
    {Message::kNoButton, "--button {}: can't be read: {}: export the line first, or name a chip: /dev/gpiochip0:28",
     "--button {}：无法读取：{}：请先导出该 GPIO，或指定芯片：/dev/gpiochip0:28"},
    {Message::kNoGpioChip, "--button {}: not a GPIO chip: {}: gpiodetect lists them",
     "--button {}：不是 GPIO 芯片：{}：用 gpiodetect 可列出芯片"},
    {Message::kNoGpioLine, "--button {}: the chip has {} lines, the first is 0",
     "--button {}：该芯片有 {} 条线，从 0 开始编号"},
    {Message::kGpioLineRefused, "--button {}: the kernel refuses the line: {}: who else uses it? (gpioinfo)",
     "--button {}：内核拒绝使用该线：{}：是否已被占用？（gpioinfo）"},
    {Message::kButtonLost, "the button can't be read any more: is its line still there?",
     "按钮无法再读取：该 GPIO 是否还在？"},
    {Message::kNoWatchdog, "{}: can't be written: {}", "{}：无法写入：{}"},
    {Message::kToldWakeWord,
     "--wake-word \"{}\": stories say it too, which would wake the robot: better one that they don't: hello teddy",
     "--wake-word \"{}\"：故事里也会说，会把机器人唤醒：请换一个故事里没有的，例如 hello teddy"},
    {Message::kChoice,
     "what happens next? 1: {} 2: {} (say \"the first one\" or \"the second one\", type 1 or 2, or press once or "
     "twice)",
     "接下来呢？1：{} 2：{}（请说（英语）\"the first one\" 或 \"the second one\"，或输入 1、2，或按一次、两次）"},
    {Message::kChosen, "it goes on with {}", "接着讲第 {} 种"},
}};

constexpr bool in_order() {
    for (std::size_t i = 0; i < kTexts.size(); ++i) {
        if (kTexts[i].message != static_cast<Message>(i)) {
            return false;
        }
    }
    return true;
}
static_assert(in_order(), "a row a message, in the order of their names");

Language current = Language::kEnglish;

}  // namespace

std::optional<Language> find_language(std::string_view name) {
    if (name == "en") {
        return Language::kEnglish;
    }
    return name == "zh" ? std::optional(Language::kChinese) : std::nullopt;
}

Language environment_language() {
    for (const char* name : {"LC_ALL", "LC_MESSAGES", "LANG"}) {
        const char* const value = std::getenv(name);
        if (value != nullptr && *value != '\0') {
            return std::string_view(value).starts_with("zh") ? Language::kChinese : Language::kEnglish;
        }
    }
    return Language::kEnglish;
}

void set_language(Language language) {
    current = language;
}

std::string say(Message message, std::initializer_list<std::string_view> values) {
    const Texts& texts = kTexts[static_cast<std::size_t>(message)];
    std::string_view pattern = current == Language::kChinese ? texts.chinese : texts.english;
    std::string text;
    for (const std::string_view value : values) {
        const std::size_t at = pattern.find("{}");
        text += pattern.substr(0, at);
        text += value;
        pattern.remove_prefix(at == std::string_view::npos ? pattern.size() : at + 2);
    }
    return text + std::string(pattern);
}

void show(const std::string& line) {
    std::fprintf(stderr, "%s\n", printable(line).c_str());
}

}  // namespace storybake::speech
