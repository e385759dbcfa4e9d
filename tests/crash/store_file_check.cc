#include "tests/crash/store_file_check.h"

#include <rocksdb/options.h>
#include <rocksdb/sst_file_reader.h>

#include <algorithm>
#include <memory>

#include "engine/cut.pb.h"
#include "engine/rocks_fs.h"
#include "engine/rocks_index.h"
#include "engine/store_files.h"
#include "shards/offline.h"
#include "shards/shard_header.h"
#include "tests/support/removed_segment.h"
#include "wal/coding.h"
#include "wal/journal.h"

namespace tailrace::test {
namespace {

const std::string kItems = std::string(kSimStoreDirectory) + "/items/";

// The highest LSN in a file, of items and of the cut alike.
Result<Lsn> HighestLsn(SimFs& fs, const std::string& path) {
  TAILRACE_ASSIGN_OR_RETURN(const auto env, engine::NewRocksEnv(fs, kItems));
  rocksdb::Options options;
  options.env = env.get();
  rocksdb::SstFileReader reader(options);
  TAILRACE_RETURN_IF_ERROR(engine::FromRocks(reader.Open(path)));
  Lsn highest;
  const std::unique_ptr<rocksdb::Iterator> at(reader.NewIterator({}));
  for (at->SeekToFirst(); at->Valid(); at->Next()) {
    const ByteView key(at->key().data(), at->key().size());
    const ByteView value(at->value().data(), at->value().size());
    if (key == engine::kCutKey) {
      engine::Cut cut;
      if (!cut.ParseFromString(std::string(value))) return Corruption("the cut cannot be read");
      // A new store begins with a cut in front of all frames.
      if (Lsn{cut.lsn()} != wal::kFirstLsn) highest = std::max(highest, Lsn{cut.lsn()});
    } else if (value.size() >= sizeof(uint64_t)) {
      highest = std::max(highest, Lsn{LoadLittle<uint64_t>(value.data()) + 1});
    }
  }
  TAILRACE_RETURN_IF_ERROR(engine::FromRocks(at->status()));
  return highest;
}

// Where the last frame ends that a power cut now could not take.
Result<Lsn> DurableEnd(const SimDisk& disk) {
  SimFs fs(disk.Crash({.keep = CrashChoice::Keep::kNone}));
  Lsn end;
  const auto scanned = wal::ScanJournal(fs, std::string(kSimStoreDirectory) + "/journal",
                                        [&](const wal::Frame& frame) {
                                          end = std::max(end, frame.end);
                                          return true;
                                        });
  // A store that is being made has none yet.
  if (!scanned.ok() && scanned.status().code() != StatusCode::kNotFound) return scanned.status();
  return end;
}

// The cut of a store that comes up after a power cut that loses all that is pending. Absent in a
// store that is being made.
Result<std::optional<engine::Cut>> DurableCut(const SimDisk& disk) {
  SimFs fs(disk.Crash({.keep = CrashChoice::Keep::kNone}));
  const auto index = engine::ItemIndex::Open(fs, kItems, {.background_work = false});
  if (index.status().code() == StatusCode::kNotFound) return std::optional<engine::Cut>();
  TAILRACE_RETURN_IF_ERROR(index.status());
  TAILRACE_ASSIGN_OR_RETURN(const auto bytes, (*index)->ReadCut());
  if (!bytes) return std::optional<engine::Cut>();
  engine::Cut cut;
  if (!cut.ParseFromString(*bytes)) return Corruption("the cut cannot be read");
  return std::optional(std::move(cut));
}

// Frames in the segment that some later frame says are durable.
Result<std::vector<Lsn>> ProvenFrames(const RemovedSegment& removed) {
  SimFs fs(removed.before);
  Lsn mark;
  std::vector<Lsn> within;
  TAILRACE_RETURN_IF_ERROR(wal::ScanJournal(fs, removed.directory, [&](const wal::Frame& frame) {
                             mark = std::max(mark, frame.mark);
                             const bool is_within = frame.lsn.value >= removed.base &&
                                                    frame.lsn.value < removed.next_base;
                             if (is_within) within.push_back(frame.lsn);
                             return true;
                           }).status());
  std::erase_if(within, [&](Lsn lsn) { return lsn >= mark; });
  return within;
}

Result<std::vector<SequenceNumber>> RecordsOf(const RemovedSegment& removed) {
  SimFs fs(removed.before);
  std::vector<SequenceNumber> records;
  const shards::OfflineVisitor visitor{.on_record =
                                           [&](const shards::OfflineRecord& record) {
                                             records.push_back(record.record.sequence);
                                             return true;
                                           },
                                       .on_damage = [](const shards::Damage&) {}};
  TAILRACE_RETURN_IF_ERROR(shards::VerifySegments(fs, {removed.path}, visitor).status());
  return records;
}

std::string Needed(const RemovedSegment& removed, uint64_t number, const std::string& why) {
  return removed.path + " is taken away, but " + std::to_string(number) + " in it is " + why;
}

std::string CheckJournalSegment(const SimOperation& operation, const RemovedSegment& removed) {
  const auto frames = ProvenFrames(removed);
  if (!frames.ok()) return "journal: " + frames.status().ToString();
  if (frames->empty()) return "";
  const auto cut = DurableCut(operation.disk);
  if (!cut.ok()) return "items: " + cut.status().ToString();
  const uint64_t from = *cut ? (*cut)->lsn() : 0;
  if (frames->back().value < from) return "";
  return Needed(removed, frames->back().value, "behind the durable cut at " + std::to_string(from));
}

bool IsInEveryState(const StoreTruth& truth, SequenceNumber sequence) {
  for (size_t i = std::min(truth.answered, truth.durable); i < truth.states.size(); ++i) {
    const auto known = truth.states[i].Sequences();
    if (std::find(known.begin(), known.end(), sequence.value) == known.end()) return false;
  }
  return true;
}

std::string CheckShardSegment(const SimOperation& operation, const RemovedSegment& removed,
                              const StoreTruth& truth) {
  const auto records = RecordsOf(removed);
  if (!records.ok()) return "shard log: " + records.status().ToString();
  if (records->empty()) return "";
  const auto cut = DurableCut(operation.disk);
  if (!cut.ok()) return "items: " + cut.status().ToString();
  if (!*cut) return "";
  const auto catalogue = shards::StreamCatalogue::FromProto((*cut)->catalogue().streams());
  if (!catalogue.ok()) return "catalogue: " + catalogue.status().ToString();
  const ByteView directory = removed.directory;
  const size_t slash = directory.rfind('/');
  const auto shard_id = shards::ParseShardDirectoryName(directory.substr(slash + 1));
  const ByteView parent = directory.substr(0, slash);
  const auto stream_id = shards::ParseStreamDirectoryName(parent.substr(parent.rfind('/') + 1));
  if (!shard_id || !stream_id) return removed.path + " is not a shard's";
  const shards::Shard* shard = catalogue->FindShard(*stream_id, *shard_id);
  for (const SequenceNumber record : *records) {
    // What comes later is folded again from the journal.
    if (record.value >= (*cut)->lsn()) return "";
    if (shard != nullptr && record >= shard->trimmed_below) {
      return Needed(removed, record.value, "not trimmed in the durable cut");
    }
    if (IsInEveryState(truth, record)) return Needed(removed, record.value, "for all to read");
  }
  return "";
}

}  // namespace

bool IsNewItemFile(const SimOperation& operation) {
  if (operation.call != SimCall::kLink && operation.call != SimCall::kRename) return false;
  return operation.path.starts_with(kItems) && operation.path.ends_with(".sst");
}

std::string CheckNewItemFile(const SimOperation& operation) {
  SimFs fs(operation.disk);
  const auto highest = HighestLsn(fs, operation.path);
  if (!highest.ok()) return "new item file: " + highest.status().ToString();
  const auto durable = DurableEnd(operation.disk);
  if (!durable.ok()) return "journal: " + durable.status().ToString();
  if (*highest <= *durable) return "";
  return operation.path + " holds LSN " + std::to_string(highest->value) +
         ", but the journal is durable only up to " + std::to_string(durable->value);
}

std::string CheckRemovedSegment(const SimOperation& operation, const StoreTruth& truth) {
  const auto removed = SegmentRemovedBy(operation);
  if (!removed) return "";
  const bool is_of_journal = removed->directory == std::string(kSimStoreDirectory) + "/journal";
  return is_of_journal ? CheckJournalSegment(operation, *removed)
                       : CheckShardSegment(operation, *removed, truth);
}

}  // namespace tailrace::test
