#include "engine/replay.h"

#include <optional>
#include <utility>

#include "engine/catalogue_writer.h"
#include "engine/fold.h"
#include "engine/item_codec.h"
#include "engine/store_files.h"
#include "engine/stream_view.h"
#include "wal/format.h"
#include "wal/frame.h"
#include "wal/mutants.h"

namespace tailrace {
namespace {

bool IsSystem(const engine::Table& table) { return table.name.starts_with(engine::kSystemPrefix); }

// Decodes what the fold says of items, with the tables as they are before the frame.
class Decoder final : public engine::ItemSink {
 public:
  Decoder(const engine::Catalogue& catalogue, ReplaySink& sink)
      : catalogue_(catalogue), sink_(sink) {}

  void SetItem(TableId table, ByteView key, Lsn lsn, std::optional<ByteView> image) override {
    if (status_.ok()) status_ = Set(table, key, lsn, image);
  }

  const Status& status() const { return status_; }

 private:
  Status Set(TableId id, ByteView key, Lsn lsn, std::optional<ByteView> image) {
    const engine::Table* const table = catalogue_.Find(id);
    if (table == nullptr && catalogue_.Holds(id)) return Status::Ok();  // An index's entry.
    if (table == nullptr) {
      return Corruption("the commit at " + std::to_string(lsn.value) + " is about the table " +
                        std::to_string(id.value) + ", which does not exist there");
    }
    if (IsSystem(*table)) return Status::Ok();
    TAILRACE_ASSIGN_OR_RETURN(const Item keys, DecodeKey(table->keys, key));
    std::optional<Item> item;
    if (image) {
      TAILRACE_ASSIGN_OR_RETURN(item, DecodeItem(*image));
    }
    sink_.SetItem(engine::ViewTable(catalogue_, *table), keys, lsn, std::move(item));
    return Status::Ok();
  }

  const engine::Catalogue& catalogue_;
  ReplaySink& sink_;
  Status status_;
};

// The payload of an Epoch frame, where the frame is one.
std::optional<wal::EpochFrame> EpochOf(const wal::Frame& frame) {
  if (frame.type != wal::FrameType::kEpoch) return std::nullopt;
  return wal::DecodeEpochFrame(frame.payload);
}

}  // namespace

struct Replay::State {
  ReplaySink& sink;
  engine::FoldState fold = {};  // Ends where the last frame that changes anything ends.
  Lsn end = {};                 // The same of all frames, the journal's own included.
  bool begun = false;
  Status failure = {};

  Status Apply(const wal::Frame& frame);
  Status CheckFollows(const wal::Frame& frame) const;
  void TellTables(const engine::Catalogue& before);
};

// That no frame is missing before this one. Only less than the smallest frame may lie between two,
// at a segment's end; more where an epoch says so.
Status Replay::State::CheckFollows(const wal::Frame& frame) const {
  const auto epoch = EpochOf(frame);
  const std::string here = "the frame at " + std::to_string(frame.lsn.value);
  if (!begun) {
    if (epoch && epoch->old_epoch == Epoch{}) return Status::Ok();
    return FailedPrecondition("a replay begins with the journal's first frame, and " + here +
                              " is none: what came before it was drained and recycled");
  }
  const Lsn due = epoch ? epoch->old_end : frame.lsn;
  if (due < fold.end && !TAILRACE_MUTANT("replay-keeps-what-was-lost")) {
    return FailedPrecondition("an opening of the store took back what followed " +
                              std::to_string(due.value) + ", and the replay had reached " +
                              std::to_string(fold.end.value) + "; begin again");
  }
  if (due >= end + wal::kFrameHeaderBytes && !TAILRACE_MUTANT("replay-skips-frames")) {
    return FailedPrecondition("frames are missing between " + std::to_string(end.value) + " and " +
                              here + ": they were drained and recycled; begin again");
  }
  return Status::Ok();
}

Status Replay::State::Apply(const wal::Frame& frame) {
  if (begun && frame.end <= end) return Status::Ok();
  TAILRACE_RETURN_IF_ERROR(CheckFollows(frame));
  begun = true;
  end = frame.end;
  if (static_cast<uint8_t>(frame.type) < wal::kFirstCallerFrame) return Status::Ok();
  std::optional<engine::Catalogue> before;
  if (frame.type == shards::kCatalogueFrame) before = fold.catalogue;
  Decoder decoder(fold.catalogue, sink);
  TAILRACE_RETURN_IF_ERROR(engine::ApplyFrame(frame, fold, decoder));
  TAILRACE_RETURN_IF_ERROR(decoder.status());
  if (before) TellTables(*before);
  return Status::Ok();
}

// Tells which tables went and came. A name may go and come in one frame, so ids are compared.
void Replay::State::TellTables(const engine::Catalogue& before) {
  engine::Catalogue none;
  for (const auto& [name, table] : before.tables()) {
    if (fold.catalogue.Find(table.id) == nullptr && !IsSystem(table)) {
      sink.DropTable(engine::ViewTable(none, table));
    }
  }
  for (const auto& [name, table] : fold.catalogue.tables()) {
    const engine::Table* const old = before.Find(name);
    const bool is_new = old == nullptr || old->id != table.id;
    if (is_new && !IsSystem(table)) sink.CreateTable(engine::ViewTable(fold.catalogue, table));
  }
}

Replay::Replay(ReplaySink& sink) : state_(new State{.sink = sink}) {}
Replay::~Replay() = default;

Status Replay::Apply(const wal::Frame& frame) noexcept {
  if (state_->failure.ok()) state_->failure = state_->Apply(frame);
  return state_->failure;
}

Lsn Replay::end() const { return state_->end; }

std::vector<TableInfo> Replay::tables() const {
  std::vector<TableInfo> tables;
  for (const auto& [name, table] : state_->fold.catalogue.tables()) {
    if (!IsSystem(table)) tables.push_back(engine::ViewTable(state_->fold.catalogue, table));
  }
  return tables;
}

Status ReplayJournal(wal::FileSystem& fs, const std::string& directory, Replay& replay) noexcept {
  const std::string journal = engine::StorePaths(directory).journal;
  TAILRACE_ASSIGN_OR_RETURN(const auto segments,
                            wal::ScanJournal(fs, journal, [](const wal::Frame&) { return true; }));
  std::string problem;
  for (const wal::SegmentSummary& segment : segments) {
    if (segment.frames > 0 && !problem.empty()) return Corruption(problem);
    if (!segment.problem.empty()) problem = segment.path + ": " + segment.problem;
  }
  Status applied;
  const auto apply = [&](const wal::Frame& frame) {
    applied = replay.Apply(frame);
    return applied.ok();
  };
  TAILRACE_RETURN_IF_ERROR(wal::ScanJournal(fs, journal, apply).status());
  return applied;
}

}  // namespace tailrace
