#include "tests/crash/journal_workload.h"

#include <algorithm>
#include <sstream>
#include <utility>

#include "tests/support/random.h"

namespace tailrace::test {

using wal::Frame;
using wal::FrameType;
using wal::Journal;

std::string JournalScript::ToString() const {
  std::string text = durability == wal::Durability::kSync ? "sync" : "buffered";
  text += "/" + std::to_string(segment_bytes) + "/";
  for (size_t i = 0; i < words.size(); ++i) text += (i == 0 ? "" : " ") + words[i];
  return text;
}

std::optional<JournalScript> JournalScript::Parse(const std::string& text) {
  JournalScript script;
  std::istringstream parts(text);
  std::string durability, segment_bytes, word;
  if (!std::getline(parts, durability, '/') || !std::getline(parts, segment_bytes, '/')) {
    return std::nullopt;
  }
  if (durability != "sync" && durability != "buffered") return std::nullopt;
  if (durability == "buffered") script.durability = wal::Durability::kBuffered;
  script.segment_bytes = std::strtoull(segment_bytes.c_str(), nullptr, 10);
  while (parts >> word) {
    if (std::string("AWRFKPC").find(word[0]) == std::string::npos) return std::nullopt;
    script.words.push_back(word);
  }
  return script;
}

wal::JournalOptions OptionsFor(const JournalScript& script) {
  wal::JournalOptions options;
  options.durability = script.durability;
  options.threads = wal::JournalThreads::kNone;
  options.segment_bytes = script.segment_bytes;
  options.live_bytes_max = 64 * script.segment_bytes;
  options.reserved_bytes = script.segment_bytes;
  options.group_bytes_max = 2 * wal::kBlockBytes;
  options.spare_segments_max = 2;
  return options;
}

wal::JournalStart StartFor(const JournalTruth& truth) {
  return wal::JournalStart{.store_id = StoreId{0x7a11'4ace},
                           .from = truth.from,
                           .known_durable = truth.from,
                           .epoch_floor = Epoch{0},
                           .may_create = truth.opening_first};
}

std::string CompareFrames(const JournalTruth& truth,
                          const std::vector<JournalTruth::KnownFrame>& recovered) {
  const size_t possible = truth.frames.size() + (truth.appending ? 1 : 0);
  if (recovered.size() < truth.durable_frames) {
    return "recovered " + std::to_string(recovered.size()) + " frames of " +
           std::to_string(truth.durable_frames) + " acknowledged";
  }
  if (recovered.size() > possible) {
    return "recovered " + std::to_string(recovered.size()) + " frames, but only " +
           std::to_string(possible) + " were appended";
  }
  for (size_t i = 0; i < recovered.size(); ++i) {
    const bool known = i < truth.frames.size();
    const std::string& payload = known ? truth.frames[i].payload : *truth.appending;
    if (recovered[i].payload != payload || (known && (recovered[i].lsn != truth.frames[i].lsn ||
                                                      recovered[i].end != truth.frames[i].end ||
                                                      recovered[i].type != truth.frames[i].type))) {
      return "frame " + std::to_string(i) + " at " + std::to_string(recovered[i].lsn.value) +
             " is not the one appended";
    }
  }
  return "";
}

namespace {

class Run {
 public:
  Run(const JournalScript& script, const CrashPoint& crash_point) : script_(script) {
    truth_.opening_first = true;
    fs_.SetObserver([this, &crash_point](const SimOperation& operation) {
      Refresh();
      crash_point(operation, truth_);
    });
  }

  std::string Go() {
    std::string problem = Open();
    for (size_t i = 0; problem.empty() && i < script_.words.size(); ++i) {
      problem = Do(script_.words[i], i);
    }
    return problem;
  }

 private:
  // Brings the truth up to what the journal has promised by now.
  void Refresh() {
    if (journal_ == nullptr) return;
    const Lsn durable = journal_->durable();
    while (truth_.durable_frames < truth_.frames.size() &&
           truth_.frames[truth_.durable_frames].lsn < durable) {
      ++truth_.durable_frames;
    }
    truth_.handed_out = std::max(truth_.handed_out, journal_->appended());
  }

  std::string Open() {
    auto opened =
        wal::OpenJournal(fs_, clock_, kSimJournalDirectory, StartFor(truth_), OptionsFor(script_));
    if (!opened.ok()) return "open: " + opened.status().ToString();
    const wal::JournalRecovery& recovery = (*opened)->recovery();
    if (recovery.start < truth_.handed_out) return "positions were handed out twice";
    if (recovery.epoch <= truth_.epoch) return "the epoch did not rise";
    std::vector<JournalTruth::KnownFrame> recovered;
    for (Lsn at = truth_.from;;) {
      const Result<Frame> frame = (*opened)->Read(at);
      if (!frame.ok()) break;
      recovered.push_back({frame->type, frame->lsn, frame->end, std::string(frame->payload)});
      at = frame->end;
    }
    if (std::string problem = CompareFrames(truth_, recovered); !problem.empty()) return problem;
    truth_.frames = std::move(recovered);
    truth_.durable_frames = truth_.frames.size();
    truth_.epoch = recovery.epoch;
    truth_.opening_first = false;
    journal_ = std::move(*opened);
    Refresh();
    return "";
  }

  std::string Do(const std::string& word, size_t index) {
    switch (word[0]) {
      case 'A':
        return Append(std::strtoull(word.c_str() + 1, nullptr, 10), index);
      case 'W':
        return Wait();
      case 'R':
        Refresh();
        RecycleTo(truth_.durable_frames / 2);
        return "";
      case 'F':
        Refresh();
        RecycleTo(truth_.durable_frames);
        return "";
      case 'C': {
        const Status status = journal_->Close();
        if (!status.ok()) return "close: " + status.ToString();
        break;
      }
      default:
        break;
    }
    Refresh();
    journal_ = nullptr;
    if (word[0] == 'P') {
      fs_.CutPower({.keep = CrashChoice::Keep::kNone});
    } else {
      fs_.KillProcess();
    }
    return Open();
  }

  std::string Append(uint64_t payload_bytes, size_t index) {
    // Depends on the place in the script alone, so that scripts with a common beginning share
    // states.
    std::string payload = Random(MixSeed(payload_bytes, index)).Bytes(payload_bytes);
    const FrameType type{static_cast<uint8_t>(wal::kFirstCallerFrame + index % 3)};
    truth_.appending = payload;
    const auto appended = journal_->Append(type, payload, wal::Quota::kOrdinary);
    truth_.appending.reset();
    if (!appended.ok()) return "append: " + appended.status().ToString();
    truth_.frames.push_back({type, appended->frame.lsn, appended->frame.end, std::move(payload)});
    Refresh();
    return "";
  }

  std::string Wait() {
    const Status status = journal_->Sync();
    if (!status.ok()) return "sync: " + status.ToString();
    Refresh();
    if (truth_.durable_frames != truth_.frames.size()) return "synced, and yet not durable";
    return "";
  }

  // A checkpoint covers the first `frames` frames.
  void RecycleTo(size_t frames) {
    if (frames == 0) return;
    truth_.from = truth_.frames[frames - 1].end;
    truth_.frames.erase(truth_.frames.begin(),
                        truth_.frames.begin() + static_cast<ptrdiff_t>(frames));
    truth_.durable_frames -= frames;
    journal_->Recycle(truth_.from);
  }

  const JournalScript& script_;
  SimFs fs_;
  SimClock clock_;
  JournalTruth truth_;
  std::unique_ptr<Journal> journal_;
};

}  // namespace

std::string RunJournalScript(const JournalScript& script, const CrashPoint& crash_point) {
  return Run(script, crash_point).Go();
}

}  // namespace tailrace::test
