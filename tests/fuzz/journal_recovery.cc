// Opening a journal's directory, whatever is in it: refused with nothing changed, or opened; and
// then what was read is read again by the next opening, with what was appended.
#include <memory>
#include <string>
#include <vector>

#include "tests/fuzz/directory_image.h"
#include "tests/support/sim_clock.h"
#include "tests/support/sim_fs.h"
#include "wal/journal.h"

namespace tailrace::fuzz {
namespace {

constexpr char kDirectory[] = "/journal";
constexpr StoreId kStore{0x5eed'0123'4567'89ab};
constexpr wal::FrameType kFrame{wal::kFirstCallerFrame};

struct Known {
  Lsn lsn;
  std::string payload;
  friend bool operator==(const Known&, const Known&) = default;
};

std::vector<Known> ReadAll(const wal::Journal& journal, Lsn at) {
  std::vector<Known> frames;
  while (true) {
    const auto frame = journal.Read(at);
    if (!frame.ok()) {
      Require(frame.status().code() == StatusCode::kNotFound, frame.status().ToString());
      return frames;
    }
    Require(frame->lsn >= at && frame->end > frame->lsn, "frames rise");
    frames.push_back({frame->lsn, std::string(frame->payload)});
    at = frame->end;
  }
}

wal::JournalOptions Options(uint8_t flags) {
  wal::JournalOptions options;
  options.durability = flags & 1 ? wal::Durability::kBuffered : wal::Durability::kSync;
  options.threads = wal::JournalThreads::kNone;
  options.segment_bytes = 16 << 10;
  options.live_bytes_max = 1 << 20;
  options.reserved_bytes = 64 << 10;
  options.group_bytes_max = 64 << 10;
  options.idle_mark_ms = 0;
  return options;
}

// A disk with the image's files, durable.
test::SimDisk DiskOf(const DirectoryImage& image) {
  test::SimFs fs;
  Require(fs.CreateDirectory(kDirectory).ok(), "the simulated disk makes a directory");
  for (const ImageFile& file : image.files) {
    auto opened = fs.Open(std::string(kDirectory) + "/" + file.name(), wal::OpenMode::kCreate);
    Require(opened.ok() && (*opened)->Write(0, file.bytes).ok(), "the simulated disk writes");
  }
  test::SimDisk disk = fs.disk();
  disk.SyncAll();
  return disk;
}

class Recovery {
 public:
  explicit Recovery(const DirectoryImage& image)
      : options_(Options(image.flags)), fs_(DiskOf(image)) {
    start_.store_id = kStore;
    start_.may_create = (image.flags & 2) != 0;
    // Some know that all up to the second or the last segment was durable once, or need no more.
    if ((image.flags & 4) != 0 && image.files.size() > 1) {
      start_.from = Lsn{image.files[1].base};
    }
    start_.known_durable = start_.from;
    if ((image.flags & 8) != 0 && !image.files.empty()) {
      start_.known_durable = std::max(start_.from, Lsn{image.files.back().base});
    }
  }

  void Run() {
    Scan();
    const uint64_t before = fs_.disk().Hash();
    auto journal = wal::OpenJournal(fs_, clock_, kDirectory, start_, options_);
    if (!journal.ok()) {
      const StatusCode code = journal.status().code();
      Require(code == StatusCode::kCorruption || code == StatusCode::kUnsupported ||
                  code == StatusCode::kInvalidArgument,
              journal.status().ToString());
      Require(fs_.disk().Hash() == before, "refused, and changed: " + journal.status().ToString());
      return;
    }
    std::vector<Known> frames = ReadAll(**journal, start_.from);
    Require((*journal)->recovery().frames >= frames.size(), "no more frames than were found");
    const auto appended = (*journal)->Append(kFrame, "appended", wal::Quota::kOrdinary);
    if (!appended.ok()) return;  // At the end of all positions.
    frames.push_back({appended->frame.lsn, "appended"});
    Require((*journal)->Sync().ok(), "the simulated disk syncs");
    const bool may_go_on = (*journal)->recovery().epoch.value != UINT32_MAX;
    journal->reset();
    if (may_go_on) OpenAgain(frames);
  }

 private:
  void Scan() {
    Lsn at{0};
    const auto scanned = wal::ScanJournal(fs_, kDirectory, [&](const wal::Frame& frame) {
      Require(frame.end > frame.lsn, "a frame has bytes");
      at = std::max(at, frame.end);
      return true;
    });
    Require(scanned.ok(), scanned.status().ToString());
  }

  // After the power was cut: all was synced.
  void OpenAgain(const std::vector<Known>& frames) {
    fs_.CutPower({});
    const auto journal = wal::OpenJournal(fs_, clock_, kDirectory, start_, options_);
    Require(journal.ok(), "opened once, and not again: " + journal.status().ToString());
    Require(ReadAll(**journal, start_.from) == frames, "the second opening reads something else");
  }

  wal::JournalOptions options_;
  wal::JournalStart start_;
  test::SimFs fs_;
  test::SimClock clock_;
};

}  // namespace
}  // namespace tailrace::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using tailrace::fuzz::DirectoryImage;
  tailrace::fuzz::Recovery(DirectoryImage::Decode(tailrace::fuzz::FuzzInput(data, size))).Run();
  return 0;
}

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size,
                                          unsigned int seed) {
  return tailrace::fuzz::MutateImage(data, size, max_size, seed, /*chained=*/false);
}
