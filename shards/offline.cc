#include "shards/offline.h"

#include <algorithm>
#include <utility>

#include "shards/offline_segment.h"
#include "shards/shard_header.h"
#include "wal/mutants.h"
#include "wal/segment.h"

namespace tailrace::shards {
namespace {

using Segment = OfflineSegmentReader::Segment;

struct SegmentPath {
  SequenceNumber base;
  std::string path;
};

Result<std::vector<SegmentPath>> ListSegments(wal::FileSystem& fs, const std::string& shard_path) {
  TAILRACE_ASSIGN_OR_RETURN(const auto entries, fs.List(shard_path));
  std::vector<SegmentPath> segments;
  for (const wal::DirectoryEntry& entry : entries) {
    const auto base = wal::ParseSegmentFileName(entry.name);
    if (!base || entry.is_directory) continue;
    segments.push_back({SequenceNumber{*base}, wal::JoinPath(shard_path, entry.name)});
  }
  return segments;
}

Result<Segment> LoadSegment(wal::FileSystem& fs, const SegmentPath& path) {
  Segment segment{.path = path.path, .base = path.base};
  TAILRACE_ASSIGN_OR_RETURN(segment.bytes,
                            wal::ReadWholeFile(fs, path.path, kOfflineSegmentBytesMax));
  return segment;
}

// An index file is optional: what cannot be read is not looked at.
void LoadIndex(wal::FileSystem& fs, const std::string& shard_path, Segment& segment) {
  segment.index_path = wal::JoinPath(shard_path, IndexFileName(segment.base));
  auto bytes = wal::ReadWholeFile(fs, segment.index_path, kIndexFileBytesMax);
  if (bytes.ok()) segment.index = std::move(*bytes);
}

void ReportHeader(OfflineSegmentReader& reader, const std::string& shard_path,
                  const std::string& message) {
  Damage damage{.kind = Damage::Kind::kShardHeader,
                .file = wal::JoinPath(shard_path, kShardHeaderFileName)};
  damage.message = message;
  reader.Report(std::move(damage));
}

// What the header file tells about the log; damage is reported.
Result<OfflineLog> ReadLogIdentity(wal::FileSystem& fs, const std::string& shard_path,
                                   OfflineSegmentReader& reader) {
  OfflineLog log;
  const size_t slash = shard_path.rfind('/');
  const auto named = ParseShardDirectoryName(
      slash == std::string::npos ? shard_path : shard_path.substr(slash + 1));
  const auto header = ReadShardHeader(fs, shard_path);
  const StatusCode code = header.status().code();
  if (code == StatusCode::kUnsupported || code == StatusCode::kIoError) return header.status();
  if (!header.ok()) {
    ReportHeader(reader, shard_path, header.status().message());
    return log;
  }
  if (named && named->value != header->shard().id()) {
    ReportHeader(reader, shard_path,
                 "the header is that of shard " + std::to_string(header->shard().id()));
  }
  log.store_id = StoreId{header->store()};
  log.shard = ShardId{header->shard().id()};
  return log;
}

// Cuts off what lies beyond the end that a checkpoint recorded.
void ApplyEnd(const frames::ShardEnd& end, std::vector<SegmentPath>& segments) {
  std::erase_if(segments, [&](const SegmentPath& segment) {
    return segment.base.value > end.segment_base();
  });
}

// A segment's header alone; absent if it is damaged.
Result<std::optional<wal::SegmentHeader>> ReadHeader(wal::FileSystem& fs, const std::string& path) {
  TAILRACE_ASSIGN_OR_RETURN(const auto file, fs.Open(path, wal::OpenMode::kRead));
  TAILRACE_ASSIGN_OR_RETURN(const std::string block,
                            wal::ReadPiece(*file, 0, wal::kSegmentHeaderBytes));
  wal::SegmentHeader header;
  const auto state = wal::DecodeSegmentHeader(block, header);
  if (state != wal::SegmentHeaderState::kValid) return std::optional<wal::SegmentHeader>();
  return std::optional(header);
}

// Leaves out segments wholly before `from`: those before one whose header shows it, by the record
// before its first one and by the stamp of its first.
Status ApplyFrom(wal::FileSystem& fs, const OfflineFrom& from, std::vector<SegmentPath>& segments) {
  while (segments.size() > 1) {
    TAILRACE_ASSIGN_OR_RETURN(const auto header, ReadHeader(fs, segments[1].path));
    if (!header || (header->previous >= from.sequence.value && header->wall_ms >= from.wall_ms)) {
      break;
    }
    segments.erase(segments.begin());
  }
  return Status::Ok();
}

// The first segment left goes on from what was before it: nothing that is still to be there.
Status CheckBegin(wal::FileSystem& fs, const OfflineFrom& from,
                  const std::vector<SegmentPath>& segments, OfflineSegmentReader& reader) {
  if (TAILRACE_MUTANT("beginning-not-missed")) return Status::Ok();
  if (!from.is_trim_point || segments.empty()) return Status::Ok();  // CheckEnd misses all of them.
  TAILRACE_ASSIGN_OR_RETURN(const auto header, ReadHeader(fs, segments[0].path));
  if (!header || header->previous == 0 || header->previous < from.sequence.value) {
    return Status::Ok();
  }
  Damage damage{.kind = Damage::Kind::kMissing, .file = segments[0].path};
  damage.next = SequenceNumber{header->base};
  damage.message = "the records up to " + std::to_string(header->previous) +
                   " are missing before this segment; the shard was trimmed to " +
                   std::to_string(from.sequence.value) + " only";
  reader.Report(std::move(damage));
  return Status::Ok();
}

void CheckEnd(const frames::ShardEnd& end, const std::string& shard_path,
              OfflineSegmentReader& reader) {
  const LogPoint recorded{SequenceNumber{end.last_sequence()}, end.ordinal(), end.chain()};
  if (end.segment_base() == 0 || (reader.before() && *reader.before() == recorded)) return;
  Damage damage{.kind = Damage::Kind::kMissing, .file = shard_path};
  if (reader.before()) {
    damage.after = reader.before()->sequence;
    const uint64_t ordinal = reader.before()->ordinal;
    damage.records_missing = recorded.ordinal > ordinal ? recorded.ordinal - ordinal : 0;
  }
  damage.message = "the log does not end with record " + std::to_string(end.last_sequence()) +
                   ", as a checkpoint recorded";
  reader.Report(std::move(damage));
}

}  // namespace

std::string_view DamageKindName(Damage::Kind kind) {
  switch (kind) {
    case Damage::Kind::kShardHeader:
      return "shard header";
    case Damage::Kind::kSegmentHeader:
      return "segment header";
    case Damage::Kind::kRecord:
      return "damaged record";
    case Damage::Kind::kMissing:
      return "missing records";
    case Damage::Kind::kOrder:
      return "record out of order";
    case Damage::Kind::kUnfinishedTail:
      return "unfinished tail";
    case Damage::Kind::kIndex:
      return "index";
  }
  return "unknown";
}

Result<std::vector<OfflineShard>> ListShards(wal::FileSystem& fs, const std::string& directory) {
  std::vector<OfflineShard> shards;
  TAILRACE_ASSIGN_OR_RETURN(const auto stream_entries, fs.List(directory));
  for (const wal::DirectoryEntry& stream_entry : stream_entries) {
    const auto stream = ParseStreamDirectoryName(stream_entry.name);
    if (!stream || !stream_entry.is_directory) continue;
    const std::string stream_path = wal::JoinPath(directory, stream_entry.name);
    TAILRACE_ASSIGN_OR_RETURN(const auto shard_entries, fs.List(stream_path));
    for (const wal::DirectoryEntry& shard_entry : shard_entries) {
      const auto id = ParseShardDirectoryName(shard_entry.name);
      if (!id || !shard_entry.is_directory) continue;
      OfflineShard shard{
          .path = wal::JoinPath(stream_path, shard_entry.name), .stream = *stream, .shard = *id};
      auto header = ReadShardHeader(fs, shard.path);
      shard.problem = header.status();
      if (header.ok()) shard.header = std::move(*header);
      TAILRACE_ASSIGN_OR_RETURN(const auto segments, ListSegments(fs, shard.path));
      for (const SegmentPath& segment : segments) {
        TAILRACE_ASSIGN_OR_RETURN(const auto file, fs.Open(segment.path, wal::OpenMode::kRead));
        TAILRACE_ASSIGN_OR_RETURN(const uint64_t bytes, file->SizeBytes());
        shard.bytes += bytes;
        ++shard.segments;
      }
      shards.push_back(std::move(shard));
    }
  }
  std::sort(shards.begin(), shards.end(), [](const OfflineShard& a, const OfflineShard& b) {
    return std::pair(a.stream, a.shard) < std::pair(b.stream, b.shard);
  });
  return shards;
}

std::map<ShardId, OfflineFrom> TrimPoints(const frames::StreamCatalogueState& streams) {
  std::map<ShardId, OfflineFrom> points;
  for (const auto& stream : streams.streams()) {
    for (const auto& shard : stream.shards()) {
      points[ShardId{shard.spec().id()}] = {.sequence = SequenceNumber{shard.trimmed_below()},
                                            .is_trim_point = true};
    }
  }
  return points;
}

Result<OfflineReport> VerifyShard(wal::FileSystem& fs, const std::string& shard_path,
                                  const std::optional<frames::ShardEnd>& end,
                                  const OfflineVisitor& visitor, const OfflineFrom& from) {
  OfflineReport report;
  OfflineSegmentReader reader(visitor, report);
  TAILRACE_ASSIGN_OR_RETURN(std::vector<SegmentPath> segments, ListSegments(fs, shard_path));
  TAILRACE_ASSIGN_OR_RETURN(OfflineLog log, ReadLogIdentity(fs, shard_path, reader));
  if (end) ApplyEnd(*end, segments);
  TAILRACE_RETURN_IF_ERROR(ApplyFrom(fs, from, segments));
  TAILRACE_RETURN_IF_ERROR(CheckBegin(fs, from, segments, reader));
  for (size_t i = 0; i < segments.size() && !report.stopped; ++i) {
    TAILRACE_ASSIGN_OR_RETURN(Segment segment, LoadSegment(fs, segments[i]));
    LoadIndex(fs, shard_path, segment);
    const bool is_last = i + 1 == segments.size();
    segment.tail_may_be_torn = is_last && !end;
    if (end && segment.base.value == end->segment_base() &&
        segment.bytes.size() > end->segment_offset()) {
      segment.bytes.resize(end->segment_offset());
      segment.index.reset();  // It may be that of the longer file.
    }
    TAILRACE_RETURN_IF_ERROR(reader.Read(segment, log));
  }
  if (end && !report.stopped) CheckEnd(*end, shard_path, reader);
  return report;
}

Result<OfflineReport> VerifySegments(wal::FileSystem& fs, std::vector<std::string> paths,
                                     const OfflineVisitor& visitor) {
  std::vector<SegmentPath> segments;
  for (std::string& path : paths) {
    const size_t slash = path.rfind('/');
    const auto base = wal::ParseSegmentFileName(
        slash == std::string::npos ? ByteView(path) : ByteView(path).substr(slash + 1));
    if (!base) return InvalidArgument(path + " is not named like a segment file");
    segments.push_back({SequenceNumber{*base}, std::move(path)});
  }
  std::sort(segments.begin(), segments.end(), [](const SegmentPath& a, const SegmentPath& b) {
    return std::pair(a.base, a.path) < std::pair(b.base, b.path);
  });
  OfflineReport report;
  OfflineSegmentReader reader(visitor, report);
  for (const SegmentPath& path : segments) {
    if (report.stopped) break;
    TAILRACE_ASSIGN_OR_RETURN(Segment segment, LoadSegment(fs, path));
    segment.tail_may_be_torn = true;
    OfflineLog log;
    reader.BreakOff();
    TAILRACE_RETURN_IF_ERROR(reader.Read(segment, log));
  }
  return report;
}

}  // namespace tailrace::shards
