#include "wal/segment_loader.h"

#include <utility>

#include "wal/check.h"
#include "wal/named_thread.h"

namespace tailrace::wal {
namespace {

constexpr size_t kLoadingMax = 2;

}  // namespace

SegmentLoader::SegmentLoader(FileSystem& fs, std::vector<Segment> segments, JournalThreads threads)
    : fs_(fs), segments_(std::move(segments)), threads_(threads) {
  if (threads_ == JournalThreads::kOwn) BeginMore();
}

SegmentLoader::~SegmentLoader() {
  for (const auto& loading : loading_) loading->thread.join();
}

void SegmentLoader::BeginMore() {
  while (loading_.size() < kLoadingMax && begun_ < segments_.size()) {
    const Segment& segment = segments_[begun_++];
    Loading& loading = *loading_.emplace_back(std::make_unique<Loading>());
    loading.thread = NamedThread("tr-load", [this, &segment, &loading] {
      loading.loaded = SegmentImage::Load(fs_, segment.path, segment.header);
    });
  }
}

Result<SegmentImage> SegmentLoader::Next() {
  if (threads_ == JournalThreads::kNone) {
    TAILRACE_CHECK(begun_ < segments_.size(), "all segments were loaded");
    const Segment& segment = segments_[begun_++];
    return SegmentImage::Load(fs_, segment.path, segment.header);
  }
  TAILRACE_CHECK(!loading_.empty(), "all segments were loaded");
  loading_.front()->thread.join();
  Result<SegmentImage> loaded = *std::move(loading_.front()->loaded);
  loading_.pop_front();
  BeginMore();
  return loaded;
}

}  // namespace tailrace::wal
