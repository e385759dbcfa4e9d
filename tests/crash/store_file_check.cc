#include "tests/crash/store_file_check.h"

#include <rocksdb/options.h>
#include <rocksdb/sst_file_reader.h>

#include <algorithm>
#include <memory>

#include "engine/cut.pb.h"
#include "engine/rocks_fs.h"
#include "engine/rocks_index.h"
#include "tests/crash/store_workload.h"
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

}  // namespace tailrace::test
