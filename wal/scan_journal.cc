// ScanJournal: the journal as tools see it, damage and all.
#include <algorithm>
#include <optional>
#include <utility>

#include "wal/frame.h"
#include "wal/journal.h"
#include "wal/segment.h"
#include "wal/segment_image.h"

namespace tailrace::wal {
namespace {

struct ScannedFile {
  SegmentSummary summary;
  std::optional<EpochFrame> epoch_frame;
};

Result<ScannedFile> ReadHeader(FileSystem& fs, const std::string& path, uint64_t named_base) {
  ScannedFile scanned;
  SegmentSummary& summary = scanned.summary;
  summary.path = path;
  summary.header.base = named_base;
  summary.valid_end = Lsn{named_base};
  TAILRACE_ASSIGN_OR_RETURN(auto file, fs.Open(path, OpenMode::kRead));
  TAILRACE_ASSIGN_OR_RETURN(const std::string block, ReadPiece(*file, 0, kSegmentHeaderBytes));
  SegmentHeader header;
  switch (DecodeSegmentHeader(block, header)) {
    case SegmentHeaderState::kInvalid:
      summary.problem = "the segment header is damaged or was never written";
      return scanned;
    case SegmentHeaderState::kNewer:
      summary.problem = "written by a newer version of Tailrace";
      return scanned;
    case SegmentHeaderState::kValid:
      break;
  }
  summary.header = header;
  if (header.base != named_base) {
    summary.problem = "the file was renamed or copied: its header names another position";
  } else if (header.kind != LogKind::kJournal) {
    summary.problem = "not a segment of a journal";
  } else if (header.base == header.epoch_start) {
    TAILRACE_ASSIGN_OR_RETURN(const SegmentImage image, SegmentImage::Load(fs, path, header));
    ParsedFrame frame;
    if (image.FrameAt(image.base(), frame) == FrameProblem::kNone &&
        frame.header.type == FrameType::kEpoch) {
      scanned.epoch_frame = DecodeEpochFrame(frame.payload);
    }
  }
  return scanned;
}

// Where the frames of `epoch` end for ever, if a later epoch says so.
std::optional<Lsn> OldEndOf(const std::vector<ScannedFile>& files, Epoch epoch) {
  for (const ScannedFile& file : files) {
    if (file.epoch_frame && file.epoch_frame->old_epoch == epoch) return file.epoch_frame->old_end;
  }
  return std::nullopt;
}

// Whether the segment's file was recycled since it was looked at: a journal that is in use gives up
// its oldest segments, and then nobody needs what was in them.
bool WasRecycled(FileSystem& fs, const SegmentSummary& summary) {
  const auto file = fs.Open(summary.path, OpenMode::kRead);
  if (!file.ok()) return file.status().code() == StatusCode::kNotFound;
  const auto block = ReadPiece(**file, 0, kSegmentHeaderBytes);
  SegmentHeader header;
  return block.ok() && DecodeSegmentHeader(*block, header) == SegmentHeaderState::kValid &&
         (header.base != summary.header.base || header.epoch != summary.header.epoch);
}

// False when `visit` wants no more.
Result<bool> VisitFrames(FileSystem& fs, SegmentSummary& summary, std::optional<Lsn> old_end,
                         const std::function<bool(const Frame&)>& visit) {
  TAILRACE_ASSIGN_OR_RETURN(const SegmentImage image,
                            SegmentImage::Load(fs, summary.path, summary.header));
  bool go_on = true;
  const WalkEnd walk = image.Walk(old_end.value_or(image.end()), [&](const ParsedFrame& frame) {
    const Lsn at{frame.header.position};
    go_on = visit(Frame{.lsn = at,
                        .end = at + frame.header.frame_bytes(),
                        .type = frame.header.type,
                        .epoch = frame.header.epoch,
                        .payload = frame.payload,
                        .mark = Lsn{frame.header.mark}});
    if (go_on) ++summary.frames;
    return go_on;
  });
  summary.valid_end = walk.at;
  if (walk.problem != FrameProblem::kNone) {
    summary.problem = "offset " + std::to_string(image.OffsetOf(walk.at)) + ": " +
                      std::string(FrameProblemName(walk.problem));
  }
  return go_on;
}

}  // namespace

Result<std::vector<SegmentSummary>> ScanJournal(FileSystem& fs, const std::string& directory,
                                                const std::function<bool(const Frame&)>& visit) {
  TAILRACE_ASSIGN_OR_RETURN(const auto entries, fs.List(directory));
  std::vector<ScannedFile> files;
  for (const DirectoryEntry& entry : entries) {
    const auto base = ParseSegmentFileName(entry.name);
    if (!base || entry.is_directory) continue;
    auto scanned = ReadHeader(fs, JoinPath(directory, entry.name), *base);
    if (scanned.status().code() == StatusCode::kNotFound) continue;  // Recycled just now.
    TAILRACE_RETURN_IF_ERROR(scanned.status());
    files.push_back(*std::move(scanned));
  }
  std::vector<SegmentSummary> summaries;
  bool go_on = true;
  for (ScannedFile& scanned : files) {
    if (go_on && scanned.summary.problem.empty()) {
      const auto visited =
          VisitFrames(fs, scanned.summary, OldEndOf(files, scanned.summary.header.epoch), visit);
      const bool is_whole = visited.ok() && scanned.summary.problem.empty();
      if (!is_whole && WasRecycled(fs, scanned.summary)) continue;
      TAILRACE_RETURN_IF_ERROR(visited.status());
      go_on = *visited;
    }
    summaries.push_back(scanned.summary);
  }
  return summaries;
}

}  // namespace tailrace::wal
