// A shard's directory, whatever is in it: the reader of a log stops at damage, the offline reader
// goes on behind it and has every record that the first one had.
#include <memory>
#include <set>
#include <string>

#include "shards/offline.h"
#include "shards/record_codec.h"
#include "shards/segment_scanner.h"
#include "tests/fuzz/directory_image.h"
#include "tests/support/sim_fs.h"
#include "wal/segment.h"

namespace tailrace::fuzz {
namespace {

const std::string kShardDirectory = "/shard-000000000001";

void CheckRecord(const shards::RecordView& record, uint64_t previous_chain) {
  std::string frame;
  const uint64_t chain =
      shards::AppendRecordFrame(frame, record, previous_chain, wal::FrameSeed{1}, Epoch{1});
  wal::ParsedFrame parsed;
  Require(wal::ParseFrame(frame, wal::FrameSeed{1}, Epoch{1}, parsed) == wal::FrameProblem::kNone,
          "a record that was encoded is a frame");
  shards::RecordView again;
  const Status decoded = shards::DecodeRecord(parsed.payload, record.sequence, again);
  Require(decoded.ok(), "a record that was encoded can be read: " + decoded.ToString());
  Require(again.chain == chain && again.ordinal == record.ordinal && again.key == record.key &&
              again.new_image == record.new_image && again.old_image == record.old_image &&
              again.previous == record.previous && again.kind == record.kind,
          "a record that was encoded is the same");
}

// The numbers of the records that a log's own reader gets from one segment.
std::set<uint64_t> ScanSegment(test::SimFs& fs, const ImageFile& file) {
  std::set<uint64_t> numbers;
  const std::string path = kShardDirectory + "/" + file.name();
  auto opened = fs.Open(path, wal::OpenMode::kRead);
  Require(opened.ok(), "the simulated disk reads");
  const std::shared_ptr<const wal::File> shared = std::move(*opened);
  wal::SegmentHeader header;
  if (wal::DecodeSegmentHeader(ByteView(file.bytes).substr(0, wal::kSegmentHeaderBytes), header) !=
      wal::SegmentHeaderState::kValid) {
    return numbers;
  }
  const shards::IndexIdentity identity{header.store_id, ShardId{header.log_id},
                                       SequenceNumber{file.base}};
  const auto checked = shards::ReadSegmentHeader(*shared, path, identity);
  if (!checked.ok()) return numbers;
  shards::SegmentScanner scanner(shared, path, *checked, wal::kSegmentHeaderBytes,
                                 file.bytes.size(), shards::PointBefore(*checked));
  shards::RecordView record;
  uint64_t chain = checked->base_chain;
  while (true) {
    const auto more = scanner.Next(record);
    if (!more.ok() || !*more) return numbers;
    Require(numbers.empty() || record.sequence.value > *numbers.rbegin(), "numbers rise");
    numbers.insert(record.sequence.value);
    CheckRecord(record, chain);
    chain = record.chain;
  }
}

void CheckDirectory(const DirectoryImage& image) {
  test::SimFs fs;
  Require(fs.CreateDirectory(kShardDirectory).ok(), "the simulated disk makes a directory");
  for (const ImageFile& file : image.files) {
    auto opened = fs.Open(kShardDirectory + "/" + file.name(), wal::OpenMode::kCreate);
    Require(opened.ok() && (*opened)->Truncate(0).ok() && (*opened)->Write(0, file.bytes).ok(),
            "the simulated disk writes");
  }
  for (const ImageFile& file : image.files) {
    if (file.base == 0) continue;
    // The last of two files of one name counts.
    auto now = fs.disk().Contents(kShardDirectory + "/" + file.name());
    Require(now.ok(), "the file is there");
    const std::set<uint64_t> strict = ScanSegment(fs, {file.base, *now});
    std::set<uint64_t> offline;
    uint64_t damages = 0;
    const auto report = shards::VerifySegments(
        fs, {kShardDirectory + "/" + file.name()},
        {.on_record =
             [&](const shards::OfflineRecord& found) {
               offline.insert(found.record.sequence.value);
               return true;
             },
         .on_damage = [&](const shards::Damage& damage) { damages += !damage.harmless(); }});
    if (!report.ok()) continue;
    for (const uint64_t number : strict) {
      Require(offline.contains(number), "the offline reader misses a good record");
    }
    Require(report->damages == damages, "each damage is told");
  }
  uint64_t records = 0;
  const auto report = shards::VerifyShard(fs, kShardDirectory, std::nullopt,
                                          {.on_record =
                                               [&](const shards::OfflineRecord&) {
                                                 ++records;
                                                 return true;
                                               },
                                           .on_damage = [](const shards::Damage&) {}});
  if (report.ok()) Require(report->records == records, "each record is shown");
}

}  // namespace
}  // namespace tailrace::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using tailrace::fuzz::DirectoryImage;
  tailrace::fuzz::CheckDirectory(DirectoryImage::Decode(tailrace::fuzz::FuzzInput(data, size)));
  return 0;
}

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size,
                                          unsigned int seed) {
  return tailrace::fuzz::MutateImage(data, size, max_size, seed, /*chained=*/true);
}
