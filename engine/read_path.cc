#include "engine/read_path.h"

#include <algorithm>

#include "wal/mutants.h"

namespace tailrace::engine {
namespace {

constexpr size_t kPieceItems = 64;

}  // namespace

Result<FoundItem> FindItem(const WriteBuffer& buffer, ItemIndex& index, TableId table,
                           ByteView key) {
  index.Expect(table, key);  // The looks at the generations take about as long.
  {
    GenerationView view = buffer.View();
    if (TAILRACE_MUTANT("frozen-before-active")) std::swap(view.active, view.frozen);
    for (const Generation* generation : {view.active.get(), view.frozen.get()}) {
      if (generation == nullptr) continue;
      const auto item = generation->Find(table, key);
      if (!item) continue;
      FoundItem found{.image = std::nullopt, .lsn = Lsn{0}, .rests_on = item->lsn};
      if (item->image) {
        found.image = std::string(*item->image);
        found.lsn = item->lsn;
      }
      return found;
    }
  }
  TAILRACE_ASSIGN_OR_RETURN(auto stored, index.Get(table, key));
  // What is in the index is durable: nothing to wait for.
  FoundItem found;
  if (stored) {
    found.image = std::move(stored->image);
    found.lsn = stored->lsn;
  }
  return found;
}

Result<std::unique_ptr<MergedCursor>> MergedCursor::Open(const WriteBuffer& buffer,
                                                         ItemIndex& index, TableId table,
                                                         std::string lower, std::string upper,
                                                         Direction direction) {
  // The generations first, the index second: what is drained between the two is then seen twice,
  // not never.
  GenerationView view = buffer.View();
  TAILRACE_ASSIGN_OR_RETURN(auto cursor, index.NewCursor(table));
  return std::unique_ptr<MergedCursor>(new MergedCursor(
      std::move(view), std::move(cursor), table, std::move(lower), std::move(upper), direction));
}

MergedCursor::MergedCursor(GenerationView view, std::unique_ptr<IndexCursor> index, TableId table,
                           std::string lower, std::string upper, Direction direction)
    : table_(table),
      lower_(std::move(lower)),
      upper_(std::move(upper)),
      direction_(direction),
      index_(std::move(index)) {
  sources_.push_back({std::move(view.active), {}, 0, false});
  if (view.frozen) sources_.push_back({std::move(view.frozen), {}, 0, false});
  if (direction_ == Direction::kForward) {
    index_->SeekAtLeast(lower_);
  } else {
    index_->SeekBelow(upper_);
  }
  if (!index_->valid()) status_ = index_->status();
}

void MergedCursor::Refill(Source& source) {
  std::string lower = lower_;
  std::string upper = upper_;
  if (!source.piece.empty()) {
    const ByteView last = source.piece.back().first;
    if (direction_ == Direction::kForward) {
      lower = std::string(last) + '\0';  // The first key after `last`.
    } else {
      upper = std::string(last);
    }
  }
  source.piece = source.generation->Range(table_, lower, upper, kPieceItems, direction_);
  source.at = 0;
  source.exhausted = source.piece.size() < kPieceItems;
}

const Generation::KeyedItem* MergedCursor::Peek(Source& source) {
  if (source.at == source.piece.size()) {
    if (source.exhausted) return nullptr;
    Refill(source);
    if (source.piece.empty()) return nullptr;
  }
  return &source.piece[source.at];
}

bool MergedCursor::IndexInRange() const {
  if (!index_->valid()) return false;
  return direction_ == Direction::kForward ? upper_.empty() || index_->key() < upper_
                                           : index_->key() >= lower_;
}

// An index that stops at damage stops the cursor: items of the write buffer beyond it must not make
// what the index hides look absent.
void MergedCursor::AdvanceIndex() {
  direction_ == Direction::kForward ? index_->Next() : index_->Previous();
  if (!index_->valid()) status_ = index_->status();
}

bool MergedCursor::Precedes(ByteView a, ByteView b) const {
  return direction_ == Direction::kForward ? a < b : b < a;
}

// The first key that any source still has.
std::optional<ByteView> MergedCursor::NextKey() {
  std::optional<ByteView> next;
  for (Source& source : sources_) {
    const auto* item = Peek(source);
    if (item != nullptr && (!next || Precedes(item->first, *next))) next = item->first;
  }
  if (IndexInRange() && (!next || Precedes(index_->key(), *next))) next = index_->key();
  return next;
}

bool MergedCursor::Next() {
  while (status_.ok()) {
    const auto next = NextKey();
    if (!next) return false;
    key_.assign(*next);
    std::optional<BufferedItem> newest;
    for (Source& source : sources_) {
      const auto* item = Peek(source);
      if (item == nullptr || item->first != key_) continue;
      if (!newest) newest = item->second;
      ++source.at;
    }
    const bool in_index = IndexInRange() && index_->key() == key_;
    bool found = false;
    if (newest) {
      rests_on_ = std::max(rests_on_, newest->lsn);
      found = newest->image.has_value();
      lsn_ = newest->lsn;
      if (found) image_.assign(*newest->image);
    } else if (in_index) {
      found = true;
      image_.assign(index_->image());
      lsn_ = index_->lsn();
    }
    if (in_index) AdvanceIndex();
    if (found) return true;
  }
  return false;
}

}  // namespace tailrace::engine
