#include "shards/control.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "wal/check.h"
#include "wal/coding.h"
#include "wal/hash.h"
#include "wal/mutants.h"

namespace tailrace::shards {
namespace {

// The catalogue file, before the message; behind it XXH3 of all.
constexpr uint64_t kCatalogueMagic = 0x31544143'4c495254;  // "TRILCAT1" in file order.
constexpr uint32_t kCatalogueVersion = 1;
constexpr uint64_t kCatalogueMagicAt = 0;          // u64
constexpr uint64_t kCatalogueVersionAt = 8;        // u32
constexpr uint64_t kCatalogueEpochAt = 12;         // u32
constexpr uint64_t kCatalogueStoreAt = 16;         // u64
constexpr uint64_t kCatalogueNumberAt = 24;        // u64
constexpr uint64_t kCatalogueMessageBytesAt = 32;  // u64
constexpr uint64_t kCatalogueMessageAt = 40;
constexpr uint64_t kHashBytes = 8;

// How long a look waits for an owner that is changing the file: its thread may have lost the
// processor. One that died there leaves it so until the next owner comes.
constexpr uint64_t kUpdateWaitUs = 1'000'000;
constexpr int kLookAttemptsMax = 1000;

constexpr uint64_t kOpenEnding = UINT64_MAX;

uint64_t SlotWord(uint64_t slot) { return kControlHeaderWords + slot * kSlotWords; }

}  // namespace

// -------------------------------------------------------------------------------------- the owner

ControlWriter::ControlWriter(wal::FileSystem& fs, std::string directory, StoreId store, Epoch epoch)
    : fs_(fs), directory_(std::move(directory)), store_(store), epoch_(epoch) {}

void ControlWriter::TakeOver() {
  auto words = fs_.MapShared(path(), wal::MapAccess::kReadWrite);
  if (!words.ok() || (*words)->size() < kControlHeaderWords + kSlotWords * kControlSlotsMin) return;
  words_ = *std::move(words);
  Begin();
  StoreHeader(ControlState::kOpening, Lsn{});
  for (uint64_t word = kControlHeaderWords; word < words_->size(); ++word) words_->Store(word, 0);
  End();
  free_slots_.resize(slots());
  for (uint64_t i = 0; i < slots(); ++i) free_slots_[i] = slots() - 1 - i;
}

void ControlWriter::Begin() {
  words_->Store(kControlSequenceWord, words_->Load(kControlSequenceWord) | 1);
}

void ControlWriter::End() {
  // Before the sequence moves: who announces later saw the sequence of before, and will not sleep,
  // or that of after, and is not woken now.
  words_->Store(kControlWaitingWord, 0);
  words_->Store(kControlSequenceWord, words_->Load(kControlSequenceWord) + 1);
  words_->Wake(kControlSequenceWord);
}

void ControlWriter::StoreHeader(ControlState state, Lsn published) {
  words_->Store(kControlMagicWord, kControlMagic);
  words_->Store(kControlVersionWord, kControlVersion);
  words_->Store(kControlStoreWord, store_.value);
  words_->Store(kControlBootWord, fs_.BootId());
  words_->Store(kControlEpochWord, epoch_.value);
  words_->Store(kControlStateWord, static_cast<uint64_t>(state));
  words_->Store(kControlCatalogueWord, catalogue_version_);
  words_->Store(kControlPublishedWord, published.value);
}

void ControlWriter::StoreSlot(uint64_t slot, const PublishedShard& shard) {
  const uint64_t at = SlotWord(slot);
  words_->Store(at + kSlotShardWord, shard.shard.value);
  words_->Store(at + kSlotStreamWord, shard.stream.value);
  words_->Store(at + kSlotTrimmedBelowWord, shard.trimmed_below.value);
  words_->Store(at + kSlotEndingWord, shard.ending ? shard.ending->value : kOpenEnding);
  words_->Store(at + kSlotLastSequenceWord, shard.last.sequence.value);
  words_->Store(at + kSlotLastOrdinalWord, shard.last.ordinal);
  words_->Store(at + kSlotLastChainWord, shard.last.chain);
  words_->Store(at + kSlotSegmentBaseWord, shard.segment_base.value);
  words_->Store(at + kSlotSegmentEndWord, shard.segment_end);
}

void ControlWriter::WriteCatalogue(const frames::StreamCatalogueState& catalogue) {
  const std::string bytes = EncodeCatalogueFile(
      store_, {.epoch = epoch_, .version = catalogue_version_ + 1, .state = catalogue});
  const std::string target = wal::JoinPath(directory_, kCatalogueFileName);
  const std::string temporary = target + ".tmp";
  const auto write = [&]() -> Status {
    TAILRACE_ASSIGN_OR_RETURN(const auto file, fs_.Open(temporary, wal::OpenMode::kCreate));
    TAILRACE_RETURN_IF_ERROR(file->Truncate(0));
    TAILRACE_RETURN_IF_ERROR(file->Write(0, bytes));
    return fs_.Rename(temporary, target);
  };
  if (!write().ok()) return;
  ++catalogue_version_;
  catalogue_due_ = false;
}

void ControlWriter::Publish(const std::vector<PublishedShard>& shards,
                            const std::vector<ShardId>& gone, Lsn end) {
  std::vector<uint64_t> freed;
  for (const ShardId shard : gone) {
    const auto found = shards_.find(shard.value);
    if (found == shards_.end()) continue;
    if (found->second.slot) freed.push_back(*found->second.slot);
    shards_.erase(found);
  }
  for (const PublishedShard& shard : shards) shards_[shard.shard.value].published = shard;
  if (!words_ || shards_.size() > slots()) {
    const uint64_t wanted = std::max(kControlSlotsMin, std::bit_ceil(shards_.size()));
    if (wanted <= kControlSlotsMax && MakeFile(wanted, end).ok()) return;
    if (!words_) return;
  }
  if (shards.empty() && gone.empty() && free_slots_.size() + shards_.size() == slots() &&
      words_->Load(kControlStateWord) == static_cast<uint64_t>(ControlState::kOpen) &&
      words_->Load(kControlCatalogueWord) == catalogue_version_) {
    // It concerns no stream, and wakes nobody.
    words_->Store(kControlPublishedWord, end.value);
    return;
  }
  Begin();
  for (const uint64_t slot : freed) {
    words_->Store(SlotWord(slot) + kSlotShardWord, 0);
    free_slots_.push_back(slot);
  }
  GiveSlots();
  for (const PublishedShard& shard : shards) {
    const Entry& entry = shards_.at(shard.shard.value);
    if (entry.slot) StoreSlot(*entry.slot, entry.published);
  }
  StoreHeader(ControlState::kOpen, end);
  End();
}

// Gives slots to shards that have none, as far as there are any, and fills them.
void ControlWriter::GiveSlots() {
  if (shards_.size() <= slots() - free_slots_.size()) return;
  for (auto& [id, entry] : shards_) {
    if (entry.slot) continue;
    if (free_slots_.empty()) return;
    entry.slot = free_slots_.back();
    free_slots_.pop_back();
    StoreSlot(*entry.slot, entry.published);
  }
}

// Makes a file of so many slots, with all that is published, and puts it in place of the one
// before.
Status ControlWriter::MakeFile(uint64_t slot_count, Lsn published) {
  const std::string temporary = path() + ".tmp";
  const uint64_t words = kControlHeaderWords + slot_count * kSlotWords;
  const uint64_t bytes =
      (words * sizeof(uint64_t) + wal::kBlockBytes - 1) / wal::kBlockBytes * wal::kBlockBytes;
  {
    TAILRACE_ASSIGN_OR_RETURN(const auto file, fs_.Open(temporary, wal::OpenMode::kCreate));
    TAILRACE_RETURN_IF_ERROR(file->Truncate(0));
    const Status allocated = file->Allocate(bytes);
    if (!allocated.ok()) {
      (void)fs_.Remove(temporary);
      return allocated;
    }
  }
  TAILRACE_ASSIGN_OR_RETURN(auto other, fs_.MapShared(temporary, wal::MapAccess::kReadWrite));
  if (!words_) {
    // One that could not be taken over: its followers must look for the new one all the same.
    auto left_over = fs_.MapShared(path(), wal::MapAccess::kReadWrite);
    if (left_over.ok() && (*left_over)->size() >= kControlHeaderWords)
      words_ = *std::move(left_over);
  }
  std::swap(words_, other);
  free_slots_.clear();
  for (uint64_t i = slots(); i > 0; --i) free_slots_.push_back(i - 1);
  for (auto& [id, entry] : shards_) entry.slot.reset();
  Begin();
  GiveSlots();
  StoreHeader(ControlState::kOpen, published);
  End();
  const Status renamed = fs_.Rename(temporary, path());
  if (other) Supersede(*other);
  if (!renamed.ok()) words_ = nullptr;  // Nobody can find it: make another.
  return renamed;
}

void ControlWriter::Supersede(wal::SharedWords& words) {
  words.Store(kControlStateWord, static_cast<uint64_t>(ControlState::kSuperseded));
  words.Store(kControlSequenceWord, (words.Load(kControlSequenceWord) | 1) + 1);
  words.Wake(kControlSequenceWord);
}

// ----------------------------------------------------------------------------------- the follower

Result<std::unique_ptr<ControlReader>> ControlReader::Open(wal::FileSystem& fs,
                                                           const std::string& directory,
                                                           StoreId store) {
  const std::string path = wal::JoinPath(directory, kControlFileName);
  auto mapped = fs.MapShared(path, wal::MapAccess::kReadWrite);
  const bool may_write = mapped.ok();
  if (!may_write) mapped = fs.MapShared(path, wal::MapAccess::kRead);
  TAILRACE_ASSIGN_OR_RETURN(auto words, std::move(mapped));
  const uint64_t boot = fs.BootId();
  if (words->size() < kControlHeaderWords + kSlotWords ||
      words->Load(kControlMagicWord) != kControlMagic || boot == 0 ||
      words->Load(kControlBootWord) != boot) {
    return FailedPrecondition(path +
                              " is of the time before the machine was started, or half made");
  }
  if (words->Load(kControlVersionWord) != kControlVersion) {
    return Unsupported(path + " has version " + std::to_string(words->Load(kControlVersionWord)));
  }
  if (words->Load(kControlStoreWord) != store.value) {
    return FailedPrecondition(path + " is of another store");
  }
  return std::unique_ptr<ControlReader>(new ControlReader(std::move(words), may_write));
}

// Runs `read` until the file did not change meanwhile. False: it is being changed and stays so.
template <typename Read>
bool ControlReader::Consistently(const Read& read) const {
  for (int attempt = 0; attempt < kLookAttemptsMax; ++attempt) {
    const uint64_t before = sequence();
    if (TAILRACE_MUTANT("seqlock-ignored")) return read(), true;
    if (before % 2 != 0) {
      if (!Wait(before, kUpdateWaitUs, nullptr)) return false;
      continue;
    }
    read();
    if (sequence() == before) return true;
  }
  return false;
}

ControlReader::View ControlReader::LoadView() const {
  return {.state = static_cast<ControlState>(words_->Load(kControlStateWord)),
          .epoch = Epoch{static_cast<uint32_t>(words_->Load(kControlEpochWord))},
          .catalogue_version = words_->Load(kControlCatalogueWord),
          .published = Lsn{words_->Load(kControlPublishedWord)}};
}

std::optional<ControlReader::View> ControlReader::Look() const {
  View view;
  if (!Consistently([&] { view = LoadView(); })) return std::nullopt;
  return view;
}

std::optional<ControlReader::ShardView> ControlReader::Look(ShardId shard) const {
  ShardView look;
  const bool consistent = Consistently([&] {
    look.view = LoadView();
    const auto slot = FindSlot(shard);
    look.shard = slot ? LoadSlot(*slot) : std::nullopt;
  });
  if (!consistent) return std::nullopt;
  return look;
}

std::optional<PublishedShard> ControlReader::LoadSlot(uint64_t slot) const {
  const uint64_t at = SlotWord(slot);
  PublishedShard shard{
      .stream = StreamId{words_->Load(at + kSlotStreamWord)},
      .shard = ShardId{words_->Load(at + kSlotShardWord)},
      .trimmed_below = SequenceNumber{words_->Load(at + kSlotTrimmedBelowWord)},
      .ending = std::nullopt,
      .last = {SequenceNumber{words_->Load(at + kSlotLastSequenceWord)},
               words_->Load(at + kSlotLastOrdinalWord), words_->Load(at + kSlotLastChainWord)},
      .segment_base = SequenceNumber{words_->Load(at + kSlotSegmentBaseWord)},
      .segment_end = words_->Load(at + kSlotSegmentEndWord)};
  const uint64_t ending = words_->Load(at + kSlotEndingWord);
  if (ending != kOpenEnding) shard.ending = SequenceNumber{ending};
  return shard;
}

// Slots are few and change hands rarely, so all of them are looked through when one is not known.
std::optional<uint64_t> ControlReader::FindSlot(ShardId shard) const {
  const MutexLock lock(mutex_);
  const auto holds = [&](uint64_t slot) {
    return words_->Load(SlotWord(slot) + kSlotShardWord) == shard.value;
  };
  const auto known = slot_of_.find(shard.value);
  if (known != slot_of_.end() && holds(known->second)) return known->second;
  slot_of_.clear();
  for (uint64_t slot = 0; slot < slots(); ++slot) {
    const uint64_t held = words_->Load(SlotWord(slot) + kSlotShardWord);
    if (held != 0) slot_of_.emplace(held, slot);
  }
  const auto found = slot_of_.find(shard.value);
  return found == slot_of_.end() ? std::nullopt : std::optional<uint64_t>(found->second);
}

// ------------------------------------------------------------------------------ the catalogue file

std::string EncodeCatalogueFile(StoreId store, const PublishedCatalogue& catalogue) {
  const std::string message = catalogue.state.SerializeAsString();
  std::string bytes(kCatalogueMessageAt, '\0');
  StoreLittle<uint64_t>(bytes.data() + kCatalogueMagicAt, kCatalogueMagic);
  StoreLittle<uint32_t>(bytes.data() + kCatalogueVersionAt, kCatalogueVersion);
  StoreLittle<uint32_t>(bytes.data() + kCatalogueEpochAt, catalogue.epoch.value);
  StoreLittle<uint64_t>(bytes.data() + kCatalogueStoreAt, store.value);
  StoreLittle<uint64_t>(bytes.data() + kCatalogueNumberAt, catalogue.version);
  StoreLittle<uint64_t>(bytes.data() + kCatalogueMessageBytesAt, message.size());
  bytes += message;
  char hash[kHashBytes];
  StoreLittle<uint64_t>(hash, Hash64(bytes));
  bytes.append(hash, sizeof hash);
  return bytes;
}

Result<PublishedCatalogue> DecodeCatalogueFile(ByteView bytes, StoreId store) {
  if (bytes.size() < kCatalogueMessageAt + kHashBytes ||
      LoadLittle<uint64_t>(bytes.data() + kCatalogueMagicAt) != kCatalogueMagic) {
    return Corruption("this is not a catalogue file");
  }
  const uint64_t hash_at = bytes.size() - kHashBytes;
  if (LoadLittle<uint64_t>(bytes.data() + hash_at) != Hash64(bytes.substr(0, hash_at))) {
    return Corruption("the hash of the catalogue file differs");
  }
  const uint32_t version = LoadLittle<uint32_t>(bytes.data() + kCatalogueVersionAt);
  if (version != kCatalogueVersion) {
    return Unsupported("the catalogue file has version " + std::to_string(version));
  }
  if (LoadLittle<uint64_t>(bytes.data() + kCatalogueStoreAt) != store.value) {
    return FailedPrecondition("the catalogue file is of another store");
  }
  PublishedCatalogue catalogue;
  catalogue.epoch = Epoch{LoadLittle<uint32_t>(bytes.data() + kCatalogueEpochAt)};
  catalogue.version = LoadLittle<uint64_t>(bytes.data() + kCatalogueNumberAt);
  const ByteView message = bytes.substr(kCatalogueMessageAt, hash_at - kCatalogueMessageAt);
  if (LoadLittle<uint64_t>(bytes.data() + kCatalogueMessageBytesAt) != message.size() ||
      !catalogue.state.ParseFromArray(message.data(), static_cast<int>(message.size()))) {
    return Corruption("the catalogue file cannot be read");
  }
  return catalogue;
}

}  // namespace tailrace::shards
