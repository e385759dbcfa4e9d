// What the journal's tests share: a store directory on the simulated or the real disk, options for
// a small journal, and a record of what was appended.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/expect_ok.h"
#include "tests/support/sim_clock.h"
#include "tests/support/sim_fs.h"
#include "tests/support/temp_dir.h"
#include "wal/journal.h"

namespace tailrace::wal {

inline constexpr FrameType kTestFrame{kFirstCallerFrame};
inline constexpr StoreId kTestStore{0x5eed'0123'4567'89ab};

// What a test remembers of a frame.
struct KnownFrame {
  Lsn lsn;
  Lsn end;
  Epoch epoch;
  std::string payload;

  friend bool operator==(const KnownFrame&, const KnownFrame&) = default;
};

inline KnownFrame Remember(const Frame& frame) {
  return {frame.lsn, frame.end, frame.epoch, std::string(frame.payload)};
}

// Every caller's frame from `at` on.
inline std::vector<KnownFrame> ReadAll(const Journal& journal, Lsn at) {
  std::vector<KnownFrame> frames;
  while (true) {
    const Result<Frame> frame = journal.Read(at);
    if (frame.status().code() == StatusCode::kNotFound) return frames;
    EXPECT_OK(frame);
    if (!frame.ok()) return frames;
    frames.push_back(Remember(*frame));
    at = frame->end;
  }
}

// A small journal: 64 KiB segments.
inline JournalOptions SmallJournal(Durability durability, JournalThreads threads) {
  JournalOptions options;
  options.durability = durability;
  options.threads = threads;
  options.segment_bytes = 64 << 10;
  options.live_bytes_max = 4 << 20;
  options.reserved_bytes = 64 << 10;
  options.group_bytes_max = 64 << 10;
  options.idle_mark_ms = 0;
  options.spare_segments_max = 2;
  return options;
}

// A directory for one journal, and its openings.
class JournalRig {
 public:
  explicit JournalRig(FileSystem& fs, std::string directory, JournalOptions options)
      : fs_(fs), directory_(std::move(directory)), options_(std::move(options)) {}

  Result<std::unique_ptr<Journal>> TryOpen() {
    return OpenJournal(fs_, clock_, directory_, start, options_);
  }

  // Opens, and fails the test when that fails.
  std::unique_ptr<Journal> Open() {
    Result<std::unique_ptr<Journal>> journal = TryOpen();
    EXPECT_OK(journal);
    return journal.ok() ? std::move(*journal) : nullptr;
  }

  // Ends the one that is there first, as its process would: its threads work in the directory.
  void Reopen(std::unique_ptr<Journal>& journal) {
    journal.reset();
    journal = Open();
  }

  JournalOptions& options() { return options_; }
  const std::string& directory() const { return directory_; }
  FileSystem& fs() { return fs_; }

  JournalStart start{.store_id = kTestStore,
                     .from = Lsn{0},
                     .known_durable = Lsn{0},
                     .epoch_floor = Epoch{0},
                     .may_create = true};

 private:
  FileSystem& fs_;
  test::SimClock clock_;
  const std::string directory_;
  JournalOptions options_;
};

// Appends one frame, failing the test when that fails, and adds it to `frames`.
inline Appended AppendFrame(Journal& journal, const std::string& payload,
                            std::vector<KnownFrame>& frames) {
  const Result<Appended> appended = journal.Append(kTestFrame, payload, Quota::kOrdinary);
  EXPECT_OK(appended);
  if (!appended.ok()) return {};
  frames.push_back(Remember(appended->frame));
  return *appended;
}

}  // namespace tailrace::wal
