#include "engine/rocks_tables.h"

#include <rocksdb/cache.h>
#include <rocksdb/filter_policy.h>

#include <algorithm>
#include <bit>
#include <utility>

#include "wal/mutants.h"

namespace tailrace::engine {
namespace {

// Most reads are of one item, and cost what the block around it costs to read, check and unpack.
constexpr size_t kTableBlockBytes = 2048;
constexpr double kFilterBitsPerKey = 10;
constexpr size_t kPinnedPart = 2;  // One part in so many of the cache, at most.

// Few and large: in files of older versions the filter and the index are a block each, of a
// megabyte if the file is large. One that fits into no shard is read and unpacked for every look.
int CacheShardBits(uint64_t block_cache_bytes) {
  constexpr uint64_t kShardBytes = 4ull << 20;
  constexpr int kBitsMax = 6;
  const uint64_t shards = std::max<uint64_t>(1, block_cache_bytes / kShardBytes);
  return std::min(kBitsMax, static_cast<int>(std::bit_width(shards)) - 1);
}

rocksdb::BlockBasedTableOptions MakeTableOptions(std::shared_ptr<rocksdb::Cache> cache,
                                                 rocksdb::PinningTier filters_pinned) {
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = std::move(cache);
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(kFilterBitsPerKey, false));
  table.format_version = 5;
  table.checksum = rocksdb::kXXH3;
  table.block_size = kTableBlockBytes;
  table.cache_index_and_filter_blocks = true;
  table.metadata_cache_options.unpartitioned_pinning = filters_pinned;
  table.metadata_cache_options.partition_pinning = rocksdb::PinningTier::kFlushedAndSimilar;
  table.metadata_cache_options.top_level_index_pinning = rocksdb::PinningTier::kAll;
  // In pieces: whole, those of ten million items are larger than the cache, and each look would
  // read and unpack a megabyte. Filters stay whole: in pieces they cost a look twice.
  table.index_type = rocksdb::BlockBasedTableOptions::kTwoLevelIndexSearch;
  return table;
}

// RocksDB's own factory twice, with one cache: which of the two opens a file decides what it pins.
class PinningTableFactory final : public rocksdb::TableFactory {
 public:
  explicit PinningTableFactory(const std::shared_ptr<rocksdb::Cache>& cache)
      : cache_(*cache),
        pins_all_(rocksdb::NewBlockBasedTableFactory(
            MakeTableOptions(cache, rocksdb::PinningTier::kAll))),
        pins_level_0_(rocksdb::NewBlockBasedTableFactory(
            MakeTableOptions(cache, rocksdb::PinningTier::kFlushedAndSimilar))) {}

  const char* Name() const override { return pins_all_->Name(); }
  const rocksdb::Customizable* Inner() const override { return pins_all_.get(); }
  std::string GetPrintableOptions() const override { return pins_all_->GetPrintableOptions(); }
  bool IsDeleteRangeSupported() const override { return pins_all_->IsDeleteRangeSupported(); }

  using TableFactory::NewTableReader;
  rocksdb::Status NewTableReader(const rocksdb::ReadOptions& read,
                                 const rocksdb::TableReaderOptions& options,
                                 std::unique_ptr<rocksdb::RandomAccessFileReader>&& file,
                                 uint64_t file_bytes, std::unique_ptr<rocksdb::TableReader>* reader,
                                 bool prefetch) const override {
    const bool room = cache_.GetPinnedUsage() < cache_.GetCapacity() / kPinnedPart ||
                      TAILRACE_MUTANT("filters-stay-without-bound");
    return (room ? pins_all_ : pins_level_0_)
        ->NewTableReader(read, options, std::move(file), file_bytes, reader, prefetch);
  }

  rocksdb::TableBuilder* NewTableBuilder(const rocksdb::TableBuilderOptions& options,
                                         rocksdb::WritableFileWriter* file) const override {
    return pins_all_->NewTableBuilder(options, file);
  }

 private:
  const rocksdb::Cache& cache_;  // Of both.
  const std::unique_ptr<rocksdb::TableFactory> pins_all_;
  const std::unique_ptr<rocksdb::TableFactory> pins_level_0_;
};

}  // namespace

std::shared_ptr<rocksdb::TableFactory> NewTableFactory(uint64_t block_cache_bytes) {
  return std::make_shared<PinningTableFactory>(
      rocksdb::NewLRUCache(block_cache_bytes, CacheShardBits(block_cache_bytes)));
}

}  // namespace tailrace::engine
