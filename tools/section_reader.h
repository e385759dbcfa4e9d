// Keeps packages and installed size a section up to date from the stream of the table of packages:
// the derived table of the demo.
//
// Each shard's totals are kept in the same item as the reader's position in that shard, by one
// write: a record counts exactly once, however often the process dies. The table that people look
// at has the sums over all shards; its rows are written again from those totals whenever the reader
// begins, so a crash between the two leaves nothing wrong.
#pragma once

#include <memory>
#include <set>
#include <string>

#include "engine/durable_reader.h"
#include "engine/store.h"
#include "tools/package_index.h"

namespace tailrace::tools {

inline constexpr char kPackagesTable[] = "Packages";
inline constexpr char kSectionsTable[] = "Sections";  // Key: Section (S).

// One row of the derived table, and back.
Item SectionRow(const std::string& section, const SectionTotal& total);
Result<SectionTotals> ReadSectionRows(Store& store);

// One thread. The store outlives it.
class SectionReader {
 public:
  // Goes on where the last one stopped. The derived table is made if it is not there.
  static Result<std::unique_ptr<SectionReader>> Open(Store& store, StreamId stream);

  // Reads one batch, adds it up and keeps the position with the totals. False when nothing came
  // within `timeout_ms`. kFailedPrecondition: records expired before they were read.
  Result<bool> Step(uint64_t timeout_ms);

  // Writes the rows of sections that changed since the last call. Returns once they are safe.
  Status Publish();

  // Records that are counted, ever and by this object.
  uint64_t records_ever() const;
  uint64_t records_now() const { return records_now_; }

 private:
  struct ShardTotals {
    SectionTotals sections;
    uint64_t records = 0;
  };

  SectionReader(Store& store, std::unique_ptr<DurableReader> reader)
      : store_(store), reader_(std::move(reader)) {}

  Status Load();
  static Item ToAttachment(const ShardTotals& totals);
  static Result<ShardTotals> FromAttachment(const Item& attachment);

  Store& store_;
  std::unique_ptr<DurableReader> reader_;
  std::map<ShardId, ShardTotals> shards_;
  std::set<std::string> changed_;  // Sections whose row may be out of date.
  uint64_t records_now_ = 0;
};

}  // namespace tailrace::tools
